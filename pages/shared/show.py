"""How the pages show things: the heading, cards, charts with a description, tables with a CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

import pandas as pd
import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.model import Model
from calculator.numbers import units as fmt
from calculator.record.workload import Workload
from calculator.report import clean

Rows = Sequence[Mapping[str, Any]]
plain = clean.markdown
SOURCES = {"huggingface.co", "github.com", "arxiv.org", "raw.githubusercontent.com"}
MODE_WORDS = {"pretraining": "one training step", "prefill": "prefill", "decode": "one decode step"}


@dataclass(frozen=True)
class Inputs:
    """What the sidebar says."""

    model: Model
    workload: Workload

    @cached_property
    def estimate(self) -> Estimate:
        return estimate(self.model, self.workload)


def heading(title: str, inputs: Inputs) -> None:
    """The page's title and one line that says what is being looked at, with conventions."""
    e, w = inputs.estimate, inputs.workload
    with st.container():  # the browser draws anew whatever comes after a place where warnings appear
        st.title(plain(title), anchor=False)
        st.markdown(
            f"{MODE_WORDS[w.mode].capitalize()} · batch {w.batch_size:,} × {e.sequence_length:,} tokens · "
            f"weights {plain(e.precision)}" + ("" if w.mode == "pretraining" else f" · KV cache {e.kv_precision}")
        )
        for sentence in e.warnings:
            st.warning(plain(sentence), icon=":material/warning:")


def linked(text: str) -> str:
    """Text as it reads, with the addresses that bundled models name as their source as short Markdown links."""
    pieces = re.split(r"(https?://[\w.-]+/[\w./@%-]*[\w/])", text)
    return "".join(_link(p) if i % 2 and urlsplit(p).netloc in SOURCES else plain(p) for i, p in enumerate(pieces))


def _link(address: str) -> str:
    _, _, host, *path = address.split("/")
    return f"[{host}/{'/'.join(path[:2])}]({address})"


def frame(rows: Rows, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows for Streamlit, which sends whole numbers as 64 bit: larger ones become floats. (CSV keeps them whole.)"""
    shown = [{k: float(v) if isinstance(v, int) and abs(v) >= 2**63 else v for k, v in row.items()} for row in rows]
    return pd.DataFrame(shown, columns=columns)


def draw(rows: Rows, spec: Mapping[str, Any], description: str, key: str | None = None) -> None:
    """A chart with its text for those who cannot see it."""
    st.vega_lite_chart(frame(rows), dict(spec), width="stretch", alt=description, key=key)


def download(label: str, rows: Rows | Callable[[], Rows], name: str, key: str) -> None:
    """A CSV download; the file is made when the button is pressed."""

    def content() -> str:
        return clean.as_csv(rows() if callable(rows) else rows)

    st.download_button(
        label, content, f"{name}.csv", "text/csv", key=key, on_click="ignore", icon=":material/download:"
    )


def table(rows: Rows, columns: Mapping[str, Any], description: str, *, height: int | Literal["auto"] = "auto") -> None:
    """A table of the named columns."""
    st.dataframe(
        frame(rows, list(columns)), hide_index=True, column_config=dict(columns), alt=description, height=height
    )


def file_name(inputs: Inputs, what: str) -> str:
    """model_mode_what, fit for a file."""
    words = "".join(ch if ch.isalnum() or ch in "-." else "_" for ch in inputs.model.name.split("/")[-1])
    return f"{words}_{inputs.workload.mode}_{what}"


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


gib, flops, count, intensity, percent = fmt.gib, fmt.flops, fmt.count, fmt.intensity, fmt.percent
