"""The caches: the least that the architecture needs, and what engines reserve for it, with the arithmetic."""

from __future__ import annotations

import streamlit as st

from calculator.report import charts
from pages.shared import show as ui
from pages.shared.show import Inputs

LEAST = "The architecture's minimum"


def caches(inputs: Inputs) -> None:
    """Bars of the minimum and of every engine, and how each comes to its number. Nothing where nothing is kept."""
    e = inputs.estimate
    if not keeps(inputs):
        return
    known = [r for r in e.reserved if r.bytes is not None]
    held = {LEAST: e.memory.kv_cache, **{r.title: r.bytes or 0 for r in known}}
    largest = max(held.values())
    scale, unit = (2**30, "GiB") if largest >= 2**30 else (2**20, "MiB")
    rows = [
        {"label": title, "value": size / scale, "text": ui.gib(size), "room": largest / scale * 1.5}
        for title, size in held.items()
    ]
    with st.container(border=True):
        st.subheader("KV cache and state: the minimum, and what engines reserve", anchor=False)
        described = ", ".join(f"{row['label']} {row['text']}" for row in rows)
        ui.draw(rows, charts.plain_bars(tuple(held), unit), f"Bytes of cache: {described}.")
        st.caption(
            "The minimum is what attention reads later. Engines round up to pages, pad layers of different kinds to "
            "one size, and some keep more than is read."
        )
        with st.expander("How each engine gets there", icon=":material/calculate:", key="engines", bind="query-params"):
            for r in e.reserved:
                size = "not known here" if r.bytes is None else f"{r.bytes:,} bytes"
                st.markdown(f"**{r.title}**: {size}\n" + "\n".join(f"- {step}" for step in r.steps))
                st.caption(f"Source: {r.source}")


def keeps(inputs: Inputs) -> bool:
    """Whether the workload leaves a cache behind."""
    return inputs.workload.mode != "pretraining" and bool(inputs.estimate.memory.kv_cache)
