"""The paper that every page is drawn on: masthead, answer, figures, cards, charts, tables, and all of it as data."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

import pandas as pd
import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.hardware import Device
from calculator.model import Model
from calculator.record.workload import Workload
from calculator.report.charts import DARK, LIGHT, PICK, Chart, Ink
from calculator.report.why import Explained, explain
from pages.shared import buttons, files, words
from pages.shared.recipe import Recipe
from pages.shared.workload import Hardware

Rows = Sequence[Mapping[str, Any]]
plain, linked, unbroken, stored, engine = words.plain, words.linked, words.unbroken, words.stored, words.engine
devices, device_name, likely, flops_scale = words.devices, words.device_name, words.likely, words.flops_scale
gib, flops, count, intensity, percent = words.gib, words.flops, words.count, words.intensity, words.percent
size, digits, seconds, tokens = words.size, words.digits, words.seconds, words.tokens
NAME, PURPOSE = "Transformer calculator", "Exact memory, compute and speed"
MODE_WORDS = {"pretraining": "one training step", "prefill": "prefill", "decode": "one decode step"}
LINE = 36  # pixels of a table's line


NOTHING = Hardware(None, None, "vllm", None)


@dataclass(frozen=True)
class Inputs:
    """What the sidebar says."""

    model: Model
    workload: Workload
    hardware: Hardware = NOTHING
    recipe: Recipe = field(default_factory=Recipe)
    draft: str = ""
    here: Any = None  # the page, for links to its parts
    dropped: tuple[str, ...] = ()  # what the link said that no field takes, in words

    @cached_property
    def estimate(self) -> Estimate:
        """The estimate of what is in the sidebar."""
        return estimate(self.model, self.workload)

    @cached_property
    def explained(self) -> list[Explained]:
        """Every operation with its amounts as formulas; made once for all that is said of it."""
        return explain(self.model, self.workload)

    def forget(self) -> None:
        """Let go of the estimate once the page is drawn: the page's downloads keep these inputs as long as the session
        lives, and make it again where someone asks for one."""
        for made in ("estimate", "explained"):
            self.__dict__.pop(made, None)

    @property
    def device(self) -> Device | None:
        """The device that was chosen, None for none."""
        return self.hardware.device

    @property
    def name(self) -> str:
        """The model's name without its owner."""
        return self.model.name.split("/")[-1]


class Figure(NamedTuple):
    """A figure: its label, its value, what it means here, and why it is so, in Markdown."""

    label: str
    value: str
    meaning: str = ""
    why: str = ""


def ink() -> Ink:
    """The colours of what is not data, by the visitor's theme."""
    return DARK if st.context.theme.type == "dark" else LIGHT


@dataclass
class Paper:
    """One page as it is drawn; what is drawn is kept for the page's data."""

    inputs: Inputs | None
    page: str
    tables: dict[str, Callable[[], Rows]] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._masthead = masthead()

    def answer(self, sentence: str, terms: str = "") -> None:
        """The page's heading, which answers its question, and the terms it holds on."""
        with st.container(gap="xsmall"):  # the browser draws anew whatever comes after a place where warnings appear
            st.title(unbroken(sentence), anchor=False)
            if terms:
                st.markdown(f":gray[{terms}]")
            change()
            say_dropped(self.inputs.dropped if self.inputs else ())
            for warning in self.inputs.estimate.warnings if self.inputs else ():
                st.warning(plain(warning), icon=":material/warning:")

    def figures(self, *cards: Figure) -> None:
        """Four across, two by two on a phone: two rows of two, never three and one."""
        with st.grid(2, min_column_width=330):
            for pair in (cards[:2], cards[2:4]):
                with st.container(horizontal=True, wrap=False, height="stretch", gap="small"):
                    for card in pair:
                        with st.container(border=True, height="stretch", gap="xxsmall"):
                            st.metric(card.label, card.value)
                            if card.meaning:
                                st.markdown(f":small[:gray[{card.meaning}]]")
                            if card.why:
                                with st.popover("Why", type="tertiary", icon=":material/function:"):
                                    st.markdown(card.why)

    def chart(self, name: str, drawn: Chart, *, picked: Callable[[str, str], None] | None = None) -> None:
        """A chart with its finding for those who cannot see it. `picked` is called with where a cell was clicked."""
        self.charts[name] = drawn
        if picked is None:
            st.vega_lite_chart(None, drawn.spec, width="stretch", alt=drawn.finding)
            return
        key = f"{self.page}_{name}_picked"

        def tell() -> None:
            for cell in st.session_state[key].selection.get(PICK, ()):
                picked(str(cell.get("x")), str(cell.get("y")))

        st.vega_lite_chart(
            None, drawn.spec, width="stretch", alt=drawn.finding, on_select=tell, selection_mode=PICK, key=key
        )

    def table(
        self,
        name: str,
        rows: Rows,
        columns: Mapping[str, Any],
        description: str,
        *,
        raw: Callable[[], Rows] | None = None,
        height: int | Literal["auto"] = "auto",
    ) -> None:
        """A table of the named columns. `raw` makes its rows with raw numbers, where `rows` holds others."""
        self.tables[name] = raw or (lambda: rows)
        shown = frame(rows, list(columns))
        # With another key when the rows change: a table keeps the widths that its columns had, and cuts numbers.
        key = f"{self.page}_{name}_{zlib.crc32(repr((rows, list(columns))).encode())}"
        st.dataframe(
            shown,
            hide_index=True,
            column_config=dict(columns),
            alt=description,
            height=height,
            row_height=LINE,
            placeholder="–",
            key=key,
        )

    def data(self, **more: Callable[[], Rows]) -> None:
        """Fill the masthead's Data: every table as CSV, and all of it with the charts as one archive."""
        self.tables |= more
        with self._masthead, st.popover("Data", icon=":material/table:", type="tertiary", key="data"):
            st.markdown("Raw numbers, in bytes, FLOPs and seconds, each row with what was asked.")
            st.download_button(
                "Everything (ZIP)",
                lambda: files.archive(self.inputs, self.tables, self.charts),
                f"{files.name(self.inputs, self.page)}.zip",
                "application/zip",
                key="zip",
                on_click="ignore",
                icon=":material/folder_zip:",
            )
            for name in self.tables:
                self._download(name)
            if self.charts:
                buttons.save_pictures([files.name(self.inputs, name) for name in self.charts])
                st.caption(
                    "The archive also holds each picture's data and its Vega-Lite specification. A picture's own "
                    "corner saves it as PNG."
                )

    def _download(self, name: str) -> None:
        st.download_button(
            f"{files.title(name)} (CSV)",
            lambda: files.table(self.inputs, self.tables[name]()),
            f"{files.name(self.inputs, name)}.csv",
            "text/csv",
            key=f"csv_{name}",
            on_click="ignore",
            icon=":material/download:",
        )


def say_dropped(sentences: Sequence[str]) -> None:
    """What the link said that no field takes."""
    for sentence in sentences:
        st.warning(plain(sentence), icon=":material/link_off:")


def change() -> None:
    """The button that opens the sidebar on a phone; elsewhere it stands open."""
    if "Mobi" in str(st.context.headers.get("User-Agent", "")):
        buttons.open_drawer()


def masthead() -> Any:
    """Name and purpose of the product, the link to what is seen, and the place for the page's data."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{NAME}**  \n:small[:gray[{PURPOSE}]]", width="stretch")
        with st.popover("Link", icon=":material/link:", type="tertiary", key="link"):
            st.markdown("This address holds every setting of the page.")
            query = urlencode({k: v for k, v in st.query_params.items() if k != "embed"}, quote_via=quote, safe="/,:@")
            address = str(st.context.url or "").split("?")[0]
            address += "/" * (address.count("/") == 2)  # of the first page: the host alone
            address = f"{address}?{query}" if query else address or "/"
            st.code(address, language=None, wrap_lines=True)
            buttons.copy_link(address)
        return st.container(width="content")


@contextmanager
def card(title: str, explanation: str = "") -> Iterator[None]:
    """A framed part of a page."""
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.header(title, anchor=False, help=explanation or None)
        yield


@contextmanager
def folded(title: str, key: str, icon: str) -> Iterator[bool]:
    """A part of a page that is only made once it is opened, which the link tells: whether it is open.

    What is not made costs nothing when the sidebar changes.
    """
    fold = st.expander(title, key=key, icon=icon, bind="query-params")
    with fold:
        yield bool(fold.open)


def sides() -> Any:
    """Cards side by side, beneath each other where there is no room."""
    return st.grid(2, min_column_width=400)


def frame(rows: Rows, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows for Streamlit, which sends whole numbers as 64 bit: larger ones become floats. (CSV keeps them whole.)"""
    shown = [{k: float(v) if isinstance(v, int) and abs(v) >= 2**63 else v for k, v in row.items()} for row in rows]
    return pd.DataFrame(shown, columns=columns)


def number(title: str, pattern: str = "%,d", top: float = 0, **more: Any) -> Any:
    """A column of numbers; with a bar in the cell where `top` is given."""
    if top:
        return st.column_config.ProgressColumn(title, format=pattern, min_value=0, max_value=top, **more)
    return st.column_config.NumberColumn(title, format=pattern, **more)


def text(title: str, **more: Any) -> Any:
    """A column of words."""
    return st.column_config.TextColumn(title, **more)
