"""Compare: several models and precisions side by side, at the sidebar's mode, batch and length."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.families import FAMILIES
from calculator.formats.named import FORMATS
from calculator.passes.totals import intensity_class
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.report import charts
from calculator.sources import catalogue
from pages.shared import show as ui
from pages.shared.model import bundled
from pages.shared.show import Inputs

DEFAULTS = ["meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b"]


def show(inputs: Inputs) -> None:
    ui.heading("Compare models", inputs)
    estimates = chosen(inputs)
    rows = [row(name, precision, e) for (name, precision), e in estimates.items()]
    memory(estimates)
    figures = {"flops_per_token": "FLOPs per token", "cache_bytes_per_token": "KV cache of one more token"}
    if inputs.workload.mode == "pretraining":
        del figures["cache_bytes_per_token"]
    for place, (field, title) in zip(st.columns(len(figures), gap="medium"), figures.items(), strict=True):
        with place.container(border=True, height="stretch"):
            bars(rows, field, title)
    st.subheader("Side by side", anchor=False)
    ui.table(
        [{**r, **{k: r[k] / 2**30 for k in ("weights", "kv_cache", "activations", "total")}} for r in rows],
        COLUMNS,
        "The models side by side",
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        ui.download("Comparison (CSV)", rows, f"comparison_{inputs.workload.mode}", "csv_compare")


def chosen(inputs: Inputs) -> dict[tuple[str, str], Estimate]:
    """The sidebar's model first, then those picked here, each in each precision."""
    ids = [entry.id for entry in catalogue.entries() if entry.config.get("model_type") in FAMILIES]
    left, right = st.columns([3, 1])
    with left:
        picked = st.multiselect(
            "Beside the sidebar's model", ids, default=DEFAULTS, key="models", bind="query-params", max_selections=12
        )
    with right:
        formats = st.multiselect(
            "Weight precisions", ["auto", *FORMATS], default=["auto"], key="precisions", bind="query-params"
        ) or ["auto"]
    models = {inputs.model.name: inputs.model, **{name: bundled(name) for name in picked}}
    return {
        (name, dtype): estimate(model, inputs.workload.with_(dtype=dtype))
        for name, model in models.items()
        for dtype in formats
    }


def label(name: str, precision: str) -> str:
    short = name.split("/")[-1]
    return short if precision == "auto" else f"{short}, {precision}"


def row(name: str, precision: str, e: Estimate) -> dict[str, Any]:
    batch, p = e.workload.batch_size, e.model.parameters
    tokens = batch * (1 if e.workload.mode == "decode" else e.sequence_length)
    return {
        "model": name,
        "precision": precision,
        "stored_as": e.precision,
        "parameters": p.total,
        "active": p.active,
        "layers": e.model.layers,
        "context": e.model.context_length,
        "length": e.sequence_length,
        "weights": e.memory.weights,
        "kv_cache": e.memory.kv_cache,
        "activations": e.memory.activations,
        "total": e.memory.total,
        "cache_bytes_per_token": e.cache_growth,
        "flops": e.flops.total,
        "flops_per_token": e.flops.total / tokens,
        "traffic": e.traffic.total,
        "intensity": e.intensity,
        "class": intensity_class(e.intensity),
    }


def memory(estimates: dict[tuple[str, str], Estimate]) -> None:
    order = tuple(label(*key) for key in estimates)
    rows = [
        {
            "label": label(*key),
            "series": TITLES[kind],
            "value": getattr(e.memory, kind) / 2**30,
            "rank": rank,
            "text": ui.gib(getattr(e.memory, kind)),
        }
        for key, e in estimates.items()
        for rank, kind in enumerate(MEMORY_KINDS)
        if getattr(e.memory, kind)
    ]
    kinds = tuple(TITLES[k] for k in MEMORY_KINDS if any(r["series"] == TITLES[k] for r in rows))
    with st.container(border=True):
        st.subheader("Memory", anchor=False)
        totals = ", ".join(f"{label(*key)} {ui.gib(e.memory.total)}" for key, e in estimates.items())
        ui.draw(rows, charts.grouped_bars(order, "GiB", kinds), f"Memory by kind: {totals}.")


def bars(rows: list[dict[str, Any]], field: str, title: str) -> None:
    """One bar per model."""
    words = ui.flops if field == "flops_per_token" else ui.gib
    scale, unit = ui.flops_scale(max(r[field] for r in rows)) if field == "flops_per_token" else (2**10, "KiB")
    data = [
        {"label": label(r["model"], r["precision"]), "value": r[field] / scale, "text": words(r[field])} for r in rows
    ]
    longest = max(d["value"] for d in data)
    st.subheader(title, anchor=False)
    ui.draw(
        [{**d, "room": longest * 1.3} for d in data],
        charts.plain_bars(tuple(d["label"] for d in data), unit),
        f"{title}: " + ", ".join(f"{d['label']} {d['text']}" for d in data) + ".",
    )


_number = st.column_config.NumberColumn
COLUMNS: dict[str, Any] = {
    "model": st.column_config.TextColumn("Model", pinned=True),
    "stored_as": st.column_config.TextColumn("Weights stored as"),
    "parameters": _number("Parameters", format="%,d"),
    "active": _number("Active", format="%,d"),
    "layers": _number("Layers"),
    "context": _number("Context", format="%,d"),
    "weights": _number("Weights (GiB)", format="%,.2f"),
    "kv_cache": _number("KV cache (GiB)", format="%,.3f"),
    "activations": _number("Activations (GiB)", format="%,.3f"),
    "total": _number("Total (GiB)", format="%,.2f"),
    "cache_bytes_per_token": _number("Cache bytes per token", format="%,.0f"),
    "flops_per_token": _number("FLOPs per token", format="%.3e"),
    "intensity": _number("FLOP per byte", format="%,.2f"),
    "class": st.column_config.TextColumn("Class"),
}


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
