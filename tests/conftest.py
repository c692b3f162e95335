"""The app as AppTest runs it: opened at a link, its charts with their data, the files its buttons make."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

os.environ["CALCULATOR_RAISE"] = "1"  # the app's guard lets what nobody foresaw through to the tests
ROOT = Path(__file__).parents[1]
PAGES = ("overview", "scaling", "compare", "experts", "checkpoint", "methods")


class Chart(NamedTuple):
    """A chart as the browser gets it: the specification, the rows, and the words for those who cannot see it."""

    spec: dict[str, Any]
    rows: list[dict[str, Any]]
    alt: str

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    def encodings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(channel, definition) of every field that is read from the rows."""
        for layer in self.spec.get("layer", [self.spec]):
            if "data" in layer:
                continue
            for channel, definition in {**self.spec.get("encoding", {}), **layer.get("encoding", {})}.items():
                for each in definition if isinstance(definition, list) else [definition]:
                    if "field" in each:
                        yield channel, each


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens a page of the app at a link, `open_page("scaling", mode="decode", batch=7)`, as the first visitor of a cold
    server does: until the app has run once, Streamlit runs pages/scaling.py itself as the script."""
    import streamlit as st
    from streamlit.components.v2.component_manager import BidiComponentManager
    from streamlit.testing.v1 import AppTest

    st.cache_data.clear()
    st.cache_resource.clear()
    # Every AppTest looks through all installed packages for components of theirs, which takes ten times the page.
    monkeypatch.setattr(BidiComponentManager, "discover_and_register_components", lambda *args, **options: None)

    def open_page(page: str = "overview", /, **link: object) -> AppTest:
        at = AppTest.from_file(ROOT / "app.py", default_timeout=60)
        at.query_params.update({name: str(value) for name, value in link.items()})
        if page != "overview":
            at.switch_page(f"pages/{page}.py")
        return at.run()

    return open_page


@pytest.fixture
def charts_of() -> Callable[[Any], list[Chart]]:
    """The charts of a page, in order."""
    import pyarrow as pa

    def read(at: Any) -> list[Chart]:
        found = []
        for element in at.get("vega_lite_chart"):
            rows = pa.ipc.open_stream(element.proto.data.data).read_pandas().to_dict("records")
            found.append(Chart(json.loads(element.proto.spec), rows, element.proto.alt))
        return found

    return read


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    """File name -> what makes the file, of every download button drawn since."""
    import streamlit as st

    files: dict[str, Callable[[], str]] = {}
    button = st.download_button

    def keep(label: str, data: Callable[[], str], file_name: str, *args: Any, **options: Any) -> bool:
        files[file_name] = data
        return button(label, data, file_name, *args, **options)

    monkeypatch.setattr(st, "download_button", keep)
    return files
