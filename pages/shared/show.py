"""The paper that every page is drawn on: masthead, answer, figures, cards, charts, tables, and all of it as data."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import pandas as pd
import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers import units as fmt
from calculator.record.workload import Workload
from calculator.report import clean
from calculator.report.charts import DARK, LIGHT, Chart, Ink
from pages.shared import buttons
from pages.shared.recipe import Recipe
from pages.shared.workload import Hardware

Rows = Sequence[Mapping[str, Any]]
plain = clean.markdown
NAME, PURPOSE = "Transformer calculator", "Exact memory, compute and speed"
SOURCES = {"huggingface.co", "github.com", "arxiv.org", "raw.githubusercontent.com"}
MODE_WORDS = {"pretraining": "one training step", "prefill": "prefill", "decode": "one decode step"}
SPELLED = {1: "one", 2: "two", 4: "four", 8: "eight"}
LINE = 36  # pixels of a table's line
gib, flops, count, intensity, percent = fmt.gib, fmt.flops, fmt.count, fmt.intensity, fmt.percent
size, digits, seconds, tokens = fmt.size, fmt.digits, fmt.seconds, fmt.tokens


NAMED = {"flops": "Compute", "reuse": "Intensity"}
"""Tables by their title where their files have another name."""
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

    @cached_property
    def estimate(self) -> Estimate:
        """The estimate of what is in the sidebar."""
        return estimate(self.model, self.workload)

    def forget(self) -> None:
        """Let go of the estimate once the page is drawn: the page's downloads keep these inputs as long as the session
        lives, and make it again where someone asks for one."""
        self.__dict__.pop("estimate", None)

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


def device_name(device: Device) -> str:
    """A device without its memory and socket: H200 SXM 141GB is an H200."""
    return re.sub(r"\s+(?:\(.*|(?:SXM\d?|PCIe|NVL)\b.*|\d+(?:/\d+)?\s?GB.*)$", "", device.name)


def likely(t: Any) -> str:
    """The range of a time and its bound, in the unit of what is expected."""
    amount, _ = seconds(t.expected).rsplit(" ", 1)
    scale = float(amount.replace(",", "").lstrip("<")) / t.expected
    low, high, least = (digits(v * scale) for v in (t.low, t.high, t.lower_bound))
    return f"likely {low}–{high}, never under {least}"


def devices(number: int, device: Device) -> str:
    """So many devices in words."""
    return f"{SPELLED.get(number, f'{number:,}')}\u00a0{plain(device_name(device))}"


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
            st.title(sentence.replace(" × ", "\u00a0×\u00a0"), anchor=False)
            if terms:
                st.markdown(f":gray[{terms}]")
            if "Mobi" in str(st.context.headers.get("User-Agent", "")):  # elsewhere the sidebar stands open
                buttons.open_drawer()
            for warning in self.inputs.estimate.warnings if self.inputs else ():
                st.warning(plain(warning), icon=":material/warning:")

    def figures(self, *cards: Figure) -> None:
        """Four across, two by two on a phone: two grids of two, never three and one."""
        with st.grid(2, min_column_width=330):
            for pair in (cards[:2], cards[2:4]):
                with st.grid(2, min_column_width=150):
                    for card in pair:
                        with st.container(border=True, height="stretch", gap="xxsmall"):
                            st.metric(card.label, card.value)
                            if card.meaning:
                                st.markdown(f":small[:gray[{card.meaning}]]")
                            if card.why:
                                with st.popover("Why", type="tertiary", icon=":material/function:"):
                                    st.markdown(card.why)

    def chart(self, name: str, drawn: Chart) -> None:
        """A chart with its finding for those who cannot see it."""
        self.charts[name] = drawn
        st.vega_lite_chart(None, drawn.spec, width="stretch", alt=drawn.finding)

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
                self._archive,
                f"{self._file(self.page)}.zip",
                "application/zip",
                key="zip",
                on_click="ignore",
                icon=":material/folder_zip:",
            )
            for name in self.tables:
                self._download(name)
            if self.charts:
                buttons.save_pictures([self._file(name) for name in self.charts])
                st.caption(
                    "The archive also holds each picture's data and its Vega-Lite specification. A picture's own "
                    "corner saves it as PNG."
                )

    def _download(self, name: str) -> None:
        st.download_button(
            f"{NAMED.get(name, name.replace('_', ' ').capitalize())} (CSV)",
            lambda: clean.as_csv(self._told(self.tables[name]())),
            f"{self._file(name)}.csv",
            "text/csv",
            key=f"csv_{name}",
            on_click="ignore",
            icon=":material/download:",
        )

    def _told(self, rows: Rows) -> Rows:
        """The rows, each with what was asked."""
        if self.inputs is None:
            return rows
        w = self.inputs.workload
        asked = {
            "model": self.inputs.model.name,
            "mode": w.mode,
            "batch": w.batch_size,
            "length": self.inputs.estimate.sequence_length,
            "weights_as": w.dtype,
            "precision": self.inputs.estimate.precision,
        }
        return [{**{k: v for k, v in asked.items() if k not in row}, **row} for row in rows]

    def _file(self, what: str) -> str:
        """model_mode_batch_length_precision_what, fit for a file."""
        if self.inputs is None:
            return what
        w = self.inputs.workload
        words = [
            self.inputs.name,
            w.mode,
            f"b{w.batch_size}",
            f"n{self.inputs.estimate.sequence_length}",
            w.dtype,
            what,
        ]
        return "_".join("".join(ch if ch.isalnum() or ch in "-." else "_" for ch in str(word)) for word in words)

    def _archive(self) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, rows in self.tables.items():
                archive.writestr(f"{self._file(name)}.csv", clean.as_csv(self._told(rows())))
            for name, drawn in self.charts.items():
                archive.writestr(f"charts/{self._file(name)}.csv", clean.as_csv(self._told(drawn.rows)))
                archive.writestr(f"charts/{self._file(name)}.vl.json", json.dumps(standalone(drawn)))
        return packed.getvalue()


def standalone(drawn: Chart) -> dict[str, Any]:
    """A chart's specification for any Vega-Lite viewer."""
    schema = "https://vega.github.io/schema/vega-lite/v6.json"
    return {"$schema": schema, "description": drawn.finding, "width": 900, "background": "white", **drawn.spec}


def masthead() -> Any:
    """Name and purpose of the product, the link to what is seen, and the place for the page's data."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{NAME}**  \n:small[:gray[{PURPOSE}]]", width="stretch")
        with st.popover("Link", icon=":material/link:", type="tertiary", key="link"):
            st.markdown("This address holds every setting of the page.")
            query = urlencode({k: v for k, v in st.query_params.items() if k != "embed"}, quote_via=quote, safe="/,:@")
            address = str(st.context.url or "").split("?")[0]
            st.code(f"{address}?{query}" if query else address or "/", language=None, wrap_lines=True)
        return st.container(width="content")


@contextmanager
def card(title: str, explanation: str = "") -> Iterator[None]:
    """A framed part of a page."""
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.header(title, anchor=False, help=explanation or None)
        yield


def sides() -> Any:
    """Cards side by side, beneath each other where there is no room."""
    return st.grid(2, min_column_width=400)


def linked(text: str) -> str:
    """Text as it reads, with the addresses that bundled models name as their source as short Markdown links."""
    pieces = re.split(r"(https?://[\w.-]+/[\w./@%-]*[\w/])", text)
    return "".join(_link(p) if i % 2 and urlsplit(p).netloc in SOURCES else _between(p) for i, p in enumerate(pieces))


def _between(text: str) -> str:
    """Text between addresses, with the spaces at its ends."""
    return f"{' ' * text[:1].isspace()}{plain(text)}{' ' * text[1:][-1:].isspace()}"


def _link(address: str) -> str:
    _, _, host, *path = address.split("/")
    return f"[{host}/{'/'.join(path[:2])}]({address})"


def frame(rows: Rows, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows for Streamlit, which sends whole numbers as 64 bit: larger ones become floats. (CSV keeps them whole.)"""
    shown = [{k: float(v) if isinstance(v, int) and abs(v) >= 2**63 else v for k, v in row.items()} for row in rows]
    return pd.DataFrame(shown, columns=columns)


def flops_scale(largest: float) -> tuple[float, str]:
    """A unit in which the largest amount reads well."""
    for unit, scale in (
        ("ZFLOP", 1e21),
        ("EFLOP", 1e18),
        ("PFLOP", 1e15),
        ("TFLOP", 1e12),
        ("GFLOP", 1e9),
        ("MFLOP", 1e6),
    ):
        if largest >= scale:
            return scale, unit
    return 1.0, "FLOP"


def number(title: str, pattern: str = "%,d", top: float = 0, **more: Any) -> Any:
    """A column of numbers; with a bar in the cell where `top` is given."""
    if top:
        return st.column_config.ProgressColumn(title, format=pattern, min_value=0, max_value=top, **more)
    return st.column_config.NumberColumn(title, format=pattern, **more)


def text(title: str, **more: Any) -> Any:
    """A column of words."""
    return st.column_config.TextColumn(title, **more)
