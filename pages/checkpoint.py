"""Checkpoint: what the headers of the weights hold, tensor by tensor, beside what the formula says."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import streamlit as st

from calculator.model import Model
from calculator.report import charts
from calculator.sources import memory
from calculator.sources.checkpoint import Checkpoint, Comparison, compare, load
from calculator.sources.checkpoint.compare import collapsed
from calculator.sources.checkpoint.report import TITLES, csv_rows
from calculator.sources.hub import http
from calculator.sources.hub.ids import is_repo, parse_file
from pages.shared import show as ui
from pages.shared.headers import offer
from pages.shared.show import Inputs

HOUR = 3600  # seconds headers from the Hub are kept
MOST = 400  # rows of the table of differences


def show(inputs: Inputs) -> None:
    st.title("Checkpoint", anchor=False)
    st.markdown("The formula beside the headers of the weights: names, shapes, types and bytes. No weights are read.")
    asked = wanted(inputs)
    if not asked:
        st.info(
            "Type the repository with the weights above, for instance Qwen/Qwen2.5-7B: this model has no name that the "
            "Hub knows.",
            icon=":material/arrow_upward:",
        )
        return
    found, comparison = compared(inputs.model, asked, st.session_state.get("hub_token") or None)
    st.caption(
        f"Formula: {ui.plain(inputs.model.name)}, {ui.linked(inputs.model.source)}. Headers: {ui.plain(found.source)}; "
        f"{len(found.files):,} {'file' if len(found.files) == 1 else 'files'}, {found.format}."
    )
    offer(inputs.model, found)
    verdict(comparison)
    if inputs.model.certainty:
        st.info(
            "No family of formulas knows this model type: its formula was made from these headers, so that both "
            "agree says nothing about the type.",
            icon=":material/info:",
        )
    headline(comparison, not inputs.model.certainty)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        by_class(comparison)
    with right.container(border=True, height="stretch"):
        by_type(found)
    side_by_side(comparison)
    differences(comparison)
    with st.container(horizontal=True, horizontal_alignment="right"):
        name = ui.file_name(inputs, "")
        ui.download("Comparison (CSV)", lambda: csv_rows(comparison), f"{name}checkpoint", "csv_comparison")
        ui.download("All tensors (CSV)", lambda: tensor_rows(found), f"{name}tensors", "csv_tensors")


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
    with st.spinner("Reading the headers from the Hub…"):
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


def headline(c: Comparison, known: bool) -> None:
    off = c.stored.parameters - c.formula.parameters
    with st.grid(4):
        cell("Parameters, formula", f"{c.formula.parameters:,}", "from the config" if known else "from the headers")
        cell("Parameters, headers", f"{c.stored.parameters:,}", "equal" if not off else f"{off:+,}")
        priced = ui.gib(c.formula.nbytes) if c.priced else "not priced"
        cell(
            "Weights, formula", priced, f"{c.formula.nbytes:,} bytes" if c.priced else "no config says how GGUF is made"
        )
        cell("Weights, headers", ui.gib(c.stored.nbytes), f"{c.stored.nbytes:,} bytes")
    beside = ", ".join(f"{reason} {nbytes:,} bytes" for reason, nbytes in c.beside.items())
    st.caption(
        f"In all the files hold {c.tensors:,} tensors and {c.file_bytes:,} bytes"
        + (f"; beside the model: {beside}." if beside else ".")
    )


def cell(label: str, value: str, below: str) -> None:
    st.metric(label, value, delta=below, delta_color="off", delta_arrow="off", border=True, height="stretch")


def by_class(c: Comparison) -> None:
    """Bytes by class of tensor, formula and headers."""
    sides = [(TITLES[role], a, b) for role, (a, b) in c.by_role.items()]
    scale, unit = (2**30, "GiB") if c.file_bytes >= 2**30 else (2**20, "MiB")
    rows = [
        {"label": title, "series": series, "value": side.nbytes / scale, "text": ui.gib(side.nbytes)}
        for title, a, b in sides
        for series, side in (("formula", a), ("headers", b))
        if c.priced or series == "headers"
    ]
    st.subheader("Bytes by class of tensor", anchor=False)
    said = ", ".join(f"{r['label']} {r['series']} {r['text']}" for r in rows)
    series = ("formula", "headers") if c.priced else ("headers",)
    ui.draw(rows, charts.paired_bars(tuple(t for t, _, _ in sides), unit, series), f"Bytes by class of tensor: {said}.")


def by_type(found: Checkpoint) -> None:
    """Bytes by the type that the tensors are stored in."""
    largest = max(found.by_dtype.values(), default=1)
    scale, unit = (2**30, "GiB") if largest >= 2**30 else (2**20, "MiB")
    rows = [
        {"label": dtype, "value": size / scale, "text": ui.gib(size), "room": largest / scale * 1.5}
        for dtype, size in found.by_dtype.items()
    ]
    st.subheader("Bytes by stored type", anchor=False)
    said = ", ".join(f"{r['label']} {r['text']}" for r in rows)
    ui.draw(rows, charts.plain_bars(tuple(found.by_dtype), unit), f"Bytes by stored type: {said}.")


def side_by_side(c: Comparison) -> None:
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
    st.subheader("Side by side", anchor=False)
    ui.table(rows, columns, "Parameters and bytes by class of tensor, formula and headers")


def differences(c: Comparison) -> None:
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
    st.subheader("Tensors that differ", anchor=False)
    ui.table(rows, columns, "Tensors that differ between formula and headers, with the reason")
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
