"""Checkpoint: what the headers of the weights hold, tensor by tensor, beside what the formula says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import streamlit as st

from calculator.errors import CalculatorError
from calculator.model import Model
from calculator.report import charts
from calculator.sources import memory
from calculator.sources.checkpoint import Checkpoint, Comparison, compare, load
from calculator.sources.checkpoint.compare import collapsed
from calculator.sources.checkpoint.report import TITLES, csv_rows
from calculator.sources.hub import http
from calculator.sources.hub.ids import is_repo, parse_file
from pages.overview import scaled
from pages.shared import show as ui
from pages.shared.guard import as_drawn, error
from pages.shared.headers import offer
from pages.shared.show import Figure, Inputs, Paper

HOUR = 3600  # seconds headers from the Hub are kept
PURPOSE = "The formula beside the headers of the weights: names, shapes, types and bytes. No weights are read."
MOST = 400  # rows of the table of differences


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "checkpoint")
    place = st.container()
    asked = wanted(inputs)
    if not asked:
        with place:
            paper.answer("Does the formula agree with the weights?", PURPOSE)
        st.info(
            "Type the repository with the weights above, for instance Qwen/Qwen2.5-7B: this model has no name that the "
            "Hub knows.",
            icon=":material/arrow_upward:",
        )
        return
    token = st.session_state.get("hub_token") or None
    try:
        with st.spinner("Reading the headers from the Hub…"):
            found, comparison = compared(inputs.model, asked, token)
    except CalculatorError as problem:
        with place:
            paper.answer("The weights' headers could not be read", PURPOSE)
        error(problem)
        return
    files = f"{len(found.files):,} {'file' if len(found.files) == 1 else 'files'}, {found.format}"
    with place:
        paper.answer(
            sentence(comparison),
            f"Formula: {ui.plain(inputs.model.name)}, {ui.linked(inputs.model.source)}. "
            f"Headers: {ui.plain(found.source)}; {files}. No weights are read.",
        )
    offer(inputs.model, found)
    verdict(comparison)
    if inputs.model.certainty:
        st.info(
            "No family of formulas knows this model type: its formula was made from these headers, so that both "
            "agree says nothing about the type.",
            icon=":material/info:",
        )
    headline(paper, comparison, not inputs.model.certainty)
    with ui.sides():
        with ui.card("Bytes by class of tensor"):
            by_class(paper, comparison)
        with ui.card("Bytes by stored type"):
            by_type(paper, found)
    with ui.card("Side by side"):
        side_by_side(paper, comparison)
    differences(paper, comparison)
    # Looked up again where someone asks: a session that kept 46,000 tensors would hold them as long as it lives.
    again = as_drawn(lambda: compared(inputs.model, asked, token))
    paper.data(checkpoint=lambda: csv_rows(again()[1]), tensors=lambda: tensor_rows(again()[0]))


def sentence(c: Comparison) -> str:
    """Whether formula and headers agree."""
    amount = ui.size(c.stored.nbytes).replace(" ", "\u00a0")
    if c.equal:
        return f"Formula and headers agree: :primary[{c.stored.parameters:,}] parameters in {amount}."
    off = c.stored.parameters - c.formula.parameters
    if not off:
        return f"The parameters agree, :primary[{c.stored.parameters:,}]; the bytes differ."
    return f"The headers hold :primary[{abs(off):,}] parameters {'more' if off > 0 else 'fewer'} than the formula."


def wanted(inputs: Inputs) -> str:
    """The repository to read: the one typed here, otherwise the model's own."""
    state = st.session_state
    # The id in the sidebar keeps a revision or a file that the model's name lacks.
    named = str(state.get("hub") or "").strip() if state.get("source") == "hub" else inputs.model.name
    own = named if "/" in named and is_repo(parse_file(named)[0]) else ""
    typed = st.text_input(
        "Repository with the weights",
        key="repo",
        bind="query-params",
        placeholder=own or "org/name, org/name@revision or org/name:Q4_K_M",
        help="Empty: the model's own repository. Another one, for instance a quantized copy, may be compared too.",
    )
    return typed.strip() or own


def compared(model: Model, text: str, token: str | None) -> tuple[Checkpoint, Comparison]:
    """The headers and the comparison, kept for those whose token opened them: comparing 46,000 tensors takes a
    second."""
    repo_id, revision, file = parse_file(text)
    found = load.from_hub(repo_id, revision, token, file)
    opened_by = memory.scope(http.token_sent(token, repo_id))
    key = ("comparison", identity(model), repo_id, revision, file, found.source, opened_by)
    return found, memory.current().made(key, HOUR, lambda: compare(model, found))


def identity(model: Model) -> str:
    """By the model's contents: another upload has the same name."""
    said = json.dumps(dict(model.config), sort_keys=True, default=str)
    return hashlib.sha256(f"{model.name}\n{model.source}\n{said}".encode()).hexdigest()


def verdict(c: Comparison) -> None:
    """Equal or not, and why not."""
    reasons = ", ".join(f"{n:,} × {reason}" for reason, n in c.reasons.items())
    if c.equal and not c.rows:
        st.success("Equal: every tensor has the name, the shape and the bytes of the formula.", icon=":material/check:")
    elif c.equal:
        st.success(f"Equal, and every difference has a reason: {reasons}.", icon=":material/check:")
    elif c.parameters_equal:
        st.warning(f"The parameters are equal, the bytes are not: {reasons}.", icon=":material/difference:")
    else:
        st.warning(f"The parameters differ: {reasons}.", icon=":material/difference:")


def headline(paper: Paper, c: Comparison, known: bool) -> None:
    off = c.stored.parameters - c.formula.parameters
    priced = ui.gib(c.formula.nbytes) if c.priced else "not priced"
    by_formula = f"{c.formula.nbytes:,} bytes" if c.priced else "no config says how GGUF is made"
    paper.figures(
        Figure("Parameters, formula", f"{c.formula.parameters:,}", "from the config" if known else "from the headers"),
        Figure("Parameters, headers", f"{c.stored.parameters:,}", "equal" if not off else f"{off:+,}"),
        Figure("Weights, formula", priced, by_formula),
        Figure("Weights, headers", ui.gib(c.stored.nbytes), f"{c.stored.nbytes:,} bytes"),
    )
    beside = ", ".join(f"{reason} {nbytes:,} bytes" for reason, nbytes in c.beside.items())
    st.caption(
        f"In all the files hold {c.tensors:,} tensors and {c.file_bytes:,} bytes"
        + (f"; beside the model: {beside}." if beside else ".")
    )


def by_class(paper: Paper, c: Comparison) -> None:
    """Bytes by class of tensor, formula and headers."""
    scale, unit = scaled(c.file_bytes)
    shades = dict(zip((TITLES[role] for role in c.by_role), charts.PARTS.values(), strict=False))
    sides = [("Formula", 0, c.formula), ("Headers", 1, c.stored)] if c.priced else [("Headers", 1, c.stored)]
    bars = [
        charts.Bar(
            label,
            ui.gib(whole.nbytes),
            {TITLES[role]: pair[n].nbytes / scale for role, pair in c.by_role.items() if pair[n].nbytes},
        )
        for label, n, whole in sides
    ]
    said = ", ".join(f"{bar.label.lower()} {bar.remark}" for bar in bars)
    finding = f"In all {said}."
    paper.chart("bytes_by_class", charts.stacked(bars, shades, finding, ui.ink(), unit=unit))


def by_type(paper: Paper, found: Checkpoint) -> None:
    """Bytes by the type that the tensors are stored in."""
    whole = sum(found.by_dtype.values()) or 1
    rows = [
        charts.Rank(dtype, size, f"{ui.gib(size)} · {ui.percent(size / whole)}", charts.PLAIN)
        for dtype, size in sorted(found.by_dtype.items(), key=lambda item: -item[1])
    ]
    finding = f"{rows[0].name} holds the most, {rows[0].text}." if rows else "No tensor is stored."
    paper.chart("bytes_by_type", charts.ranked(rows, finding, ui.ink(), unit="bytes", height=200))


def side_by_side(paper: Paper, c: Comparison) -> None:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    sides = [*((TITLES[role], a, b) for role, (a, b) in c.by_role.items()), ("Total", c.formula, c.stored)]
    rows = [
        {
            "class": title,
            "formula": a.parameters,
            "headers": b.parameters,
            "formula_bytes": a.nbytes if c.priced else None,
            "headers_bytes": b.nbytes,
            "equal": "yes" if a.parameters == b.parameters and (not c.priced or a.nbytes == b.nbytes) else "no",
        }
        for title, a, b in sides
    ]
    columns = {
        "class": text("Tensors", pinned=True),
        "formula": number("Parameters, formula", format="%,d"),
        "headers": number("Parameters, headers", format="%,d"),
        "formula_bytes": number("Bytes, formula", format="%,d"),
        "headers_bytes": number("Bytes, headers", format="%,d"),
        "equal": text("Equal"),
    }
    paper.table("side_by_side", rows, columns, "Parameters and bytes by class of tensor, formula and headers")


def differences(paper: Paper, c: Comparison) -> None:
    """The tensors that differ or that one side lacks, alike ones as one row."""
    if not c.rows:
        return
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    alike = collapsed(c.rows)
    rows = [
        {
            "tensor": pattern,
            "reason": row.reason,
            "formula": shape(row.formula),
            "headers": shape(row.stored),
            "dtype": row.dtype or "",
            "count": count,
            "bytes": nbytes,
        }
        for pattern, row, count, nbytes in alike[:MOST]
    ]
    columns = {
        "tensor": text("Tensor", pinned=True),
        "reason": text("Why"),
        "formula": text("Shape, formula"),
        "headers": text("Shape, headers"),
        "dtype": text("Type"),
        "count": number("Count", format="%,d"),
        "bytes": number("Bytes", format="%,d"),
    }
    with ui.card("Tensors that differ"):
        paper.table("differences", rows, columns, "Tensors that differ between formula and headers, with the reason")
        if len(alike) > MOST:
            st.caption(f"{len(alike) - MOST:,} more kinds are in the CSV file.")


def shape(sizes: tuple[int, ...] | None) -> str:
    return "" if sizes is None else " × ".join(map(str, sizes)) or "scalar"


def tensor_rows(found: Checkpoint) -> list[dict[str, Any]]:
    """Every stored tensor with raw numbers."""
    return [
        {
            "tensor": t.name,
            "dtype": t.dtype,
            "shape": "x".join(map(str, t.shape)),
            "elements": t.elements,
            "bytes": t.nbytes,
            "file": t.file,
        }
        for t in found.tensors
    ]


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
