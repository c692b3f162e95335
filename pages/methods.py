"""Methods: docs/METHODS.md with the current model's numbers, and the validation table."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from calculator.numbers.symbols import MEANINGS
from calculator.report.why import explain
from pages.shared import show as ui
from pages.shared.show import Inputs

DOCS = Path(__file__).parent.parent / "docs"


def show(inputs: Inputs) -> None:
    ui.heading("Methods", inputs)
    section = st.segmented_control(
        "Section",
        ["methods", "model", "validation"],
        default="methods",
        required=True,
        key="section",
        bind="query-params",
        label_visibility="collapsed",
    )
    if section == "model":
        current(inputs)
    else:
        with st.container(height=760, border=False):  # wide tables and formulas scroll in their own box
            st.markdown(document("VALIDATION.md" if section == "validation" else "METHODS.md"))


@st.cache_data(show_spinner=False)
def document(name: str) -> str:
    """A document without its title, which the page has already."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return text.split("\n", 1)[1] if text.startswith("# ") else text


def current(inputs: Inputs) -> None:
    """Every formula of the sidebar's model and workload, filled in."""
    listed = explain(inputs.model, inputs.workload)
    legend = {s: v for x in listed for f in x.formulas.values() for s, v in f.legend.items() if s in MEANINGS}
    st.markdown(
        "\n".join(
            [
                "| Symbol | Meaning | Value |",
                "|---|---|---:|",
                *(f"| {s} | {MEANINGS[s]} | {v:,} |" for s, v in legend.items()),
            ]
        )
    )
    rows = [
        {
            "operation": x.operation.name,
            "layers": x.operation.layers,
            "amount": amount,
            "formula": f.symbols,
            "values": f.values,
            "value": f.value,
            "count": x.operation.count,
        }
        for x in listed
        for amount, f in x.formulas.items()
    ]
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    columns = {
        "operation": text("Operation", pinned=True),
        "layers": text("Layers"),
        "amount": text("Amount"),
        "formula": text("Formula, per layer"),
        "values": text("With the values"),
        "value": number("Per layer", format="%,d"),
        "count": number("Layers", format="%d"),
    }
    ui.table(rows, columns, "Every formula of this model", height=640)
    with st.container(horizontal=True, horizontal_alignment="right"):
        ui.download("Formulas (CSV)", rows, ui.file_name(inputs, "formulas"), "csv_formulas")


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
