"""The caches: the least that the architecture needs, and what engines reserve for it, with the arithmetic."""

from __future__ import annotations

import streamlit as st

from calculator.report import charts
from pages.shared import show as ui
from pages.shared.show import Inputs, Paper

LEAST = "The architecture's minimum"


def caches(paper: Paper, inputs: Inputs) -> None:
    """Bars of the minimum and of every engine, and how each comes to its number, folded until someone asks. Nothing
    where nothing is kept."""
    if not keeps(inputs):
        return
    with ui.folded("The cache, and what engines reserve for it", "engines", ":material/database:") as opened:
        if opened:
            _reserved(paper, inputs)


def _reserved(paper: Paper, inputs: Inputs) -> None:
    e = inputs.estimate
    held = {LEAST: e.memory.kv_cache, **{r.title: r.bytes for r in e.reserved if r.bytes is not None}}
    ranked = [
        charts.Rank(title, size, ui.size(size), charts.KINDS["KV cache"] if title == LEAST else charts.PLAIN)
        for title, size in held.items()
    ]
    finding = "Bytes of cache: " + ", ".join(f"{r.name} {r.text}" for r in ranked) + "."
    st.markdown(
        ":gray[The minimum is what attention reads later. Engines round up to pages, pad layers of different kinds to "
        "one size, and some keep more than is read.]"
    )
    paper.chart("cache_by_engine", charts.ranked(ranked, finding, ui.ink(), unit="bytes"))
    for r in e.reserved:
        size = "not known here" if r.bytes is None else f"{r.bytes:,} bytes"
        st.markdown(f"**{r.title}**: {size}\n" + "\n".join(f"- {step}" for step in r.steps))
        st.caption(f"Source: {r.source}")


def keeps(inputs: Inputs) -> bool:
    """Whether the workload leaves a cache behind."""
    return inputs.workload.mode != "pretraining" and bool(inputs.estimate.memory.kv_cache)
