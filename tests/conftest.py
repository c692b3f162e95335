"""The app as AppTest runs it: opened at a link, its charts with their data, the files its buttons make."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

os.environ["CALCULATOR_RAISE"] = "1"  # the app's guard lets what nobody foresaw through to the tests
ROOT = Path(__file__).parents[1]
PAGES = ("overview", "fit", "speed", "training", "scaling", "compare", "experts", "checkpoint", "methods")


class Chart(NamedTuple):
    """A chart as the browser gets it: the specification with its rows in it, and the words for those who cannot see."""

    spec: dict[str, Any]
    alt: str

    @property
    def layers(self) -> list[dict[str, Any]]:
        return list(self.spec["layer"])

    def rows(self, mark: str) -> list[dict[str, Any]]:
        """The rows of the first layer of a kind of mark."""
        return next(la["data"]["values"] for la in self.layers if la["mark"]["type"] == mark)

    def encodings(self) -> Iterator[tuple[str, dict[str, Any], list[Any]]]:
        """(channel, definition, its cells) of every field that is read from rows."""
        for la in self.layers:
            made = {step.get("as") for step in la.get("transform", ())}  # by the browser, out of the rows
            for channel, definition in la["encoding"].items():
                for each in definition if isinstance(definition, list) else [definition]:
                    if "field" in each and each["field"] not in made:
                        yield channel, each, [row[each["field"]] for row in la["data"]["values"]]


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

    def read(at: Any) -> list[Chart]:
        return [Chart(json.loads(e.proto.spec), e.proto.alt) for e in at.get("vega_lite_chart")]

    return read


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Name -> the chart with its raw rows, of every picture drawn since."""
    from pages.shared.show import Paper

    found: dict[str, Any] = {}
    draw = Paper.chart

    def keep(paper: Paper, name: str, drawn: Any, **more: Any) -> None:
        found[name] = drawn
        draw(paper, name, drawn, **more)

    monkeypatch.setattr(Paper, "chart", keep)
    return found


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    """File name -> what makes the file, of every download button drawn since."""
    import streamlit as st

    files: dict[str, Callable[[], str]] = {}
    button = st.download_button

    def keep(label: str, data: Callable[[], str], file_name: str, *args: Any, **options: Any) -> bool:
        files[file_name] = data
        files[file_name.split("_")[-1] if "_n" not in file_name else re.split(r"_n\d+_[^_]+_", file_name)[-1]] = data
        return button(label, data, file_name, *args, **options)

    monkeypatch.setattr(st, "download_button", keep)
    return files
