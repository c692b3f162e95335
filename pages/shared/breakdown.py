"""The tables of an estimate, by component and by operation: folded until someone asks, always in the page's data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from calculator.record.vocabulary import TITLES
from pages.shared import show as ui
from pages.shared.caches import keeps
from pages.shared.columns import COLUMNS
from pages.shared.show import Inputs, Paper

KIND = {"compute": "flops", "intensity": "reuse"}
"""Tables by their title, where their name in files is another."""


def breakdown(paper: Paper, inputs: Inputs) -> None:
    """One of the tables, chosen by its title."""
    names = ["memory", "compute", "intensity", "operations", "formats"]
    if keeps(inputs):
        names += ["cache", "engines"]
    for kind in (KIND.get(name, name) for name in names):
        paper.tables[kind] = _raw(inputs, kind)
    with ui.folded("Breakdown by component and operation", "breakdown", ":material/table_rows:") as opened:
        if opened:
            _table(paper, inputs, names)


def _table(paper: Paper, inputs: Inputs, names: list[str]) -> None:
    e = inputs.estimate
    named = (
        st.segmented_control(
            "Table",
            names,
            default="memory",
            required=True,
            key="table",
            bind="query-params",
            persist_state="session",
            label_visibility="collapsed",
        )
        or "memory"
    )
    chosen = KIND.get(named, named)
    rows = [{**r, "component": TITLES[r["component"]]} if "component" in r else r for r in e.rows(chosen)]
    height: int | Literal["auto"] = 460 if chosen == "operations" else "auto"
    shown, columns = COLUMNS[chosen](rows)
    paper.table(chosen, shown, columns, f"{named.capitalize()} table", raw=_raw(inputs, chosen), height=height)


def _raw(inputs: Inputs, kind: str) -> Callable[[], list[dict[str, Any]]]:
    """What makes a table of the estimate, which the inputs make again where it was let go of."""
    return lambda: inputs.estimate.rows(kind)
