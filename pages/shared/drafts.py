"""A target and the draft that proposes its tokens, in one budget of memory."""

from __future__ import annotations

import streamlit as st

from calculator.errors import CalculatorError
from calculator.model import Model
from calculator.report import charts
from calculator.sources import catalogue
from calculator.sources.load import from_hub
from calculator.speculation import OWN, own_draft, speculate
from pages.shared import show as ui
from pages.shared.guard import error
from pages.shared.model import bundled
from pages.shared.show import Inputs, Paper

KINDS = {"weights": "Weights", "kv_cache": "KV cache", "activations": "Activations"}


def choose_draft() -> None:
    """Draw the draft's field: a model named as one, `mtp` for the target's own prediction layers, or nothing."""
    st.text_input(
        "Draft",
        key="draft",
        bind="query-params",
        persist_state="session",
        placeholder="org/name, or mtp",
        help="For speculative decoding: a second model in one budget, a bundled name or a Hugging Face id; mtp is the "
        "model's own prediction layers.",
        max_chars=200,
    )


def both(paper: Paper, inputs: Inputs) -> None:
    """Memory of the target, of the draft and of both; a sentence where the draft cannot be read or priced."""
    if not inputs.draft or inputs.workload.mode == "pretraining":
        return
    with ui.card("With the draft", "Weights and caches of both add up; the two run in turn, so the larger peak counts"):
        try:
            draft = _named(inputs.draft, inputs.model)
            rows = speculate(inputs.model, draft, inputs.workload).rows()
        except CalculatorError as problem:
            error(problem)
            return
        bars = [
            charts.Bar(
                f"{str(row['part']).capitalize()}: {row['model'].split('/')[-1]}" if row["part"] != "both" else "Both",
                ui.size(row["total"]),
                {title: row[kind] / 2**30 for kind, title in KINDS.items() if row[kind]},
            )
            for row in rows
        ]
        share = rows[1]["total"] / rows[2]["total"]
        finding = f"Both need {bars[2].remark}, of which the draft is {ui.percent(share)}."
        paper.chart("memory_with_draft", charts.stacked(bars, charts.KINDS, finding, ui.ink()))
    paper.tables["draft"] = lambda: rows


def _named(name: str, target: Model) -> Model:
    if name.lower() == OWN:
        return own_draft(target)
    entry = catalogue.find(name)
    return bundled(entry.id) if entry is not None else from_hub(name, token=st.session_state.get("hub_token") or None)
