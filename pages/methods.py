"""Methods: docs/METHODS.md with the current model's numbers, and the validation table."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from calculator.numbers.symbols import MEANINGS
from calculator.report.why import explain
from pages.shared import show as ui
from pages.shared.show import Inputs, Paper

DOCS = Path(__file__).parent.parent / "docs"


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "methods")
    # Tables wider than a phone scroll in themselves, not with the page.
    st.html("<style>[data-testid=stMain] table { display: block; overflow-x: auto; }</style>")
    section = (
        st.segmented_control(
            "Section",
            ["methods", "model", "validation"],
            default="methods",
            required=True,
            key="section",
            bind="query-params",
            label_visibility="collapsed",
        )
        or "methods"
    )
    if section == "model":
        current(paper, inputs)
    else:
        paper.answer(*TITLES[section])
        chapter(inputs, section)
    paper.data()


def chapter(inputs: Inputs, section: str) -> None:
    """The contents as links, and the chapter that the link names."""
    before, chapters = parted(document("VALIDATION.md" if section == "validation" else "METHODS.md"))
    named = [anchor for _, anchor, _ in chapters]
    asked = st.query_params.get("chapter")
    at = named.index(asked) if asked in named else 0
    st.markdown("\n\n".join(p for p in before.split("\n\n") if not p.startswith("Contents:")))
    with st.container(horizontal=True, gap="xsmall"):
        for title, anchor, _ in chapters:
            if anchor == named[at]:
                st.markdown(f"**{ui.plain(title)}**", width="content")
            else:
                linked(inputs, title, anchor)
    title, anchor, body = chapters[at]
    st.header(title, anchor=anchor)
    st.markdown(body)
    if at + 1 < len(chapters):
        linked(inputs, f"Next: {chapters[at + 1][0]}", named[at + 1])


def linked(inputs: Inputs, title: str, anchor: str) -> None:
    """A link to a chapter that keeps the rest of the address."""
    address = {**st.query_params.to_dict(), "chapter": anchor}
    st.page_link(inputs.here, label=ui.plain(title), query_params=address)


TITLES = {
    "methods": ("How every number is made", "The rules behind this app, the command line and the Python package."),
    "validation": ("How right the numbers are", "Predicted beside published and measured, each with its source."),
}


def parted(text: str) -> tuple[str, list[tuple[str, str, str]]]:
    """What stands before the first chapter, and each chapter's title, anchor and text."""
    before, *rest = re.split(r"(?m)^## ", text)
    chapters = []
    for chapter in rest:
        title, _, body = chapter.partition("\n")
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        chapters.append((title.strip(), anchor, body))
    return before, chapters


@st.cache_data(show_spinner=False)
def document(name: str) -> str:
    """A document without its title, which the page has already."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return text.split("\n", 1)[1] if text.startswith("# ") else text


def current(paper: Paper, inputs: Inputs) -> None:
    """Every formula of the sidebar's model and workload, filled in."""
    paper.answer(
        f"Every formula of {ui.plain(inputs.name)}, filled in", "Amounts of one layer; a total multiplies by layers."
    )
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
    paper.table("formulas", rows, columns, "Every formula of this model", height=640)


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
