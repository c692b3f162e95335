"""What the columns of the breakdown tables are called and how their numbers are shown."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from pages.shared import show as ui


def _some(amount: float) -> float | None:
    """Nothing where nothing is, or too little to show: a dash reads better than 0.000 of something."""
    return amount if amount >= 0.0005 else None


def _memory_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, share = st.column_config.NumberColumn, st.column_config.ProgressColumn
    kinds = [k for k in (*MEMORY_KINDS, "total") if any(r[k] for r in rows)]
    shown = [{**r, **{k: _some(r[k] / 2**30) for k in kinds}, "share": _some(r["share"])} for r in rows]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        **{k: number(f"{TITLES.get(k, 'Total')} (GiB)", format="%,.3f") for k in kinds},
        "share": share("Share", format="percent", min_value=0, max_value=1),
    }


def _flops_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number = st.column_config.NumberColumn
    scale, unit = ui.flops_scale(max((r["total"] for r in rows), default=1))
    shown = [
        {**r, **{k: _some(r[k] / scale) for k in ("matmul", "other", "total")}, "share": _some(r["share"])}
        for r in rows
    ]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        "matmul": number(f"Matrix products ({unit})", format="%,.4f"),
        "other": number(f"Elementwise and scans ({unit})", format="%,.4f"),
        "total": number(f"Total ({unit})", format="%,.4f"),
        "share": st.column_config.ProgressColumn("Share", format="percent", min_value=0, max_value=1),
    }


def _reuse_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number = st.column_config.NumberColumn
    scale, unit = ui.flops_scale(max((r["flops"] for r in rows), default=1))
    shown = [{**r, "flops": r["flops"] / scale, "bytes": r["bytes"] / 2**30} for r in rows]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        "flops": number(f"Compute ({unit})", format="%,.4f"),
        "bytes": number("Moved (GiB)", format="%,.3f"),
        "intensity": number("FLOP per byte", format="%,.2f"),
        "class": st.column_config.TextColumn("Class"),
    }


def _operation_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    scale, unit = ui.flops_scale(max((r["flops"] for r in rows), default=1))
    memory = ("weight_bytes", "cache_bytes", "traffic")
    shown = [{**r, "flops": _some(r["flops"] / scale), **{k: _some(r[k] / 2**20) for k in memory}} for r in rows]
    return shown, {
        "operation": text("Operation", pinned=True),
        "component": text("Component"),
        "layers": text("Layers"),
        "count": number("Count", format="%d"),
        "parameters": number("Parameters", format="%,d"),
        "flops": number(f"Compute ({unit})", format="%,.4f"),
        "weight_bytes": number("Weights (MiB)", format="%,.2f"),
        "cache_bytes": number("Cache (MiB)", format="%,.2f"),
        "traffic": number("Moved (MiB)", format="%,.2f"),
        "intensity": number("FLOP per byte", format="%,.2f"),
        "class": text("Class"),
    }


def _cache_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    shown = [{**r, "bytes": r["bytes"] / 2**20, "most_tokens": str(r["most_tokens"])} for r in rows]
    return shown, {
        "kind": text("Kept", pinned=True),
        "layers": text("Layers"),
        "count": number("Count", format="%d"),
        "component": text("Component"),
        "bytes_per_token": number("Bytes a token, all layers", format="%,d"),
        "most_tokens": text("Most tokens"),
        "bytes": number("Held (MiB)", format="%,.3f"),
    }


def _engine_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    shown = [{**r, "bytes": None if r["bytes"] is None else r["bytes"] / 2**20} for r in rows]
    return shown, {
        "title": text("Engine", pinned=True),
        "bytes": number("Reserved (MiB)", format="%,.3f"),
        "times_minimum": number("× minimum", format="%.3f"),
        "steps": text("How", width="large"),
        "source": text("Source", width="medium"),
    }


def _format_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    shown = [{**r, "bytes": r["bytes"] / 2**20} for r in rows]
    return shown, {
        "component": text("Component", pinned=True),
        "format": text("Format"),
        "bits_per_weight": number("Bits a weight", format="%.3f"),
        "tensors": number("Tensors", format="%,d"),
        "bytes": number("Weights (MiB)", format="%,.2f"),
        "rule": text("Rule"),
        "where": text("Where it stands"),
        "example": text("For instance"),
    }


COLUMNS = {
    "formats": _format_columns,
    "cache": _cache_columns,
    "engines": _engine_columns,
    "memory": _memory_columns,
    "flops": _flops_columns,
    "reuse": _reuse_columns,
    "operations": _operation_columns,
}
