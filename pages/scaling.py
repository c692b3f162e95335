"""Scaling: memory, FLOPs and intensity against length or batch, flash against eager, precisions side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.formats.named import FORMATS
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.record.workload import Workload
from calculator.report import charts
from pages.shared import show as ui
from pages.shared.show import Inputs

AXES = {"length": "Sequence length (tokens)", "batch": "Batch size (sequences)"}
REACH = {"length": (4096, 16384, 32768, 131072, 1048576), "batch": (16, 64, 256, 1024, 4096)}
STEPS = 4  # points between one power of two and the next


def show(inputs: Inputs) -> None:
    ui.heading(f"Scaling {inputs.model.name.split('/')[-1]}", inputs)
    axis, points = choose_axis(inputs)
    sweep = swept(inputs, axis, points, inputs.workload)
    rows = sweep_rows(inputs, sweep, points)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        memory(sweep, points, AXES[axis])
    with right.container(border=True, height="stretch"):
        kernels(inputs, axis, points)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        work(sweep, points, AXES[axis])
    with right.container(border=True, height="stretch"):
        precisions(inputs)
    st.subheader("The sweep", anchor=False)
    shown = [
        {**r, **{k: r[k] / 2**30 for k in r if k.endswith("_bytes")}} for r in rows if r[axis] & (r[axis] - 1) == 0
    ]
    ui.table(shown, table_columns(inputs), "The sweep at powers of two")
    with st.container(horizontal=True, horizontal_alignment="right"):
        ui.download("Sweep (CSV)", rows, ui.file_name(inputs, f"sweep_{axis}"), "csv_sweep")


def choose_axis(inputs: Inputs) -> tuple[str, Any]:
    """What varies and how far; the points are whole numbers, evenly spread on a logarithmic axis."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axis = (
            st.segmented_control("Vary", list(AXES), default="length", required=True, key="vary", bind="query-params")
            or "length"
        )
        reach = st.selectbox(
            "Up to",
            [str(n) for n in REACH[axis]],
            index=3 if axis == "length" else 2,
            key=f"to_{axis}",
            bind="query-params",
            width=160,
        )
    first = 128 if axis == "length" else 1
    exponents = np.arange(STEPS * int(np.log2(int(reach) / first)) + 1) / STEPS
    return axis, np.unique(np.round(first * 2**exponents).astype(np.int64))


def swept(inputs: Inputs, axis: str, points: Any, workload: Workload) -> Estimate:
    """The estimate over all points at once."""
    length = workload.sequence_length or inputs.estimate.sequence_length
    fields = {"sequence_length": points} if axis == "length" else {"batch_size": points, "sequence_length": length}
    return estimate(inputs.model, workload.with_(**fields))


def sweep_rows(inputs: Inputs, sweep: Estimate, points: Any) -> list[dict[str, Any]]:
    w = sweep.workload
    columns = {
        "batch": w.batch_size,
        "length": sweep.sequence_length,
        **{f"{kind}_bytes": getattr(sweep.memory, kind) for kind in (*MEMORY_KINDS, "total")},
        "flops": sweep.flops.total,
        "matmul_flops": sweep.flops.matmul,
        "traffic_bytes": sweep.traffic.total,
        "intensity": sweep.intensity,
    }
    arrays = {name: np.broadcast_to(value, points.shape).tolist() for name, value in columns.items()}
    return [{name: values[i] for name, values in arrays.items()} for i in range(len(points))]


def memory(sweep: Estimate, points: Any, x: str) -> None:
    kinds = [k for k in MEMORY_KINDS if np.any(getattr(sweep.memory, k))]
    rows = []
    for rank, kind in enumerate(kinds):
        amounts = np.broadcast_to(getattr(sweep.memory, kind), points.shape)
        rows += [
            {"x": int(p), "series": TITLES[kind], "value": float(v) / 2**30, "rank": rank, "text": ui.gib(float(v))}
            for p, v in zip(points, amounts, strict=True)
        ]
    total = np.broadcast_to(sweep.memory.total, points.shape)
    st.subheader("Memory", anchor=False)
    ui.draw(
        rows,
        charts.areas(x, "GiB", tuple(TITLES[k] for k in kinds)),
        f"Memory by kind over {x}: from {ui.gib(float(total[0]))} to {ui.gib(float(total[-1]))}.",
    )


def kernels(inputs: Inputs, axis: str, points: Any) -> None:
    """Flash against eager attention: activations."""
    rows, ends = [], []
    for kernel in ("flash", "eager"):
        sweep = swept(inputs, axis, points, inputs.workload.with_(attention=kernel))
        amounts = np.broadcast_to(sweep.memory.activations, points.shape)
        rows += [
            {"x": int(p), "series": f"{kernel} attention", "value": float(v) / 2**30, "text": ui.gib(float(v))}
            for p, v in zip(points, amounts, strict=True)
        ]
        ends.append(f"{kernel} {ui.gib(float(amounts[-1]))}")
    st.subheader("Activations, flash against eager", anchor=False)
    ui.draw(
        rows,
        charts.lines(AXES[axis], "GiB", ("flash attention", "eager attention"), dashes=True),
        f"Activation memory of flash and eager attention; at the right end {', '.join(ends)}.",
    )


def work(sweep: Estimate, points: Any, x: str) -> None:
    """FLOPs in total and of attention, and intensity."""
    attention = sweep.flops.by_component.get("attention", 0)
    series = {"all operations": sweep.flops.total, "attention with its projections": attention}
    rows = [
        {"x": int(p), "series": name, "value": float(v), "text": ui.flops(float(v))}
        for name, values in series.items()
        if np.any(values)
        for p, v in zip(points, np.broadcast_to(values, points.shape), strict=True)
    ]
    reuse = np.broadcast_to(sweep.intensity, points.shape)
    st.subheader("FLOPs", anchor=False)
    st.caption(f"Intensity goes from {ui.intensity(float(reuse[0]))} to {ui.intensity(float(reuse[-1]))}.")
    ui.draw(
        rows,
        charts.lines(x, "FLOP", tuple(dict.fromkeys(r["series"] for r in rows))),
        f"FLOPs over {x}, in total and for attention.",
    )


def precisions(inputs: Inputs) -> None:
    """Memory of the sidebar's workload in every weight format."""
    rows, order = [], []
    for name in ("auto", *FORMATS):
        e = estimate(inputs.model, inputs.workload.with_(dtype=name))
        order.append(name)
        rows += [
            {
                "label": name,
                "series": TITLES[kind],
                "value": getattr(e.memory, kind) / 2**30,
                "rank": rank,
                "text": ui.gib(getattr(e.memory, kind)),
            }
            for rank, kind in enumerate(MEMORY_KINDS)
            if getattr(e.memory, kind)
        ]
    kinds = tuple(TITLES[k] for k in MEMORY_KINDS if any(r["series"] == TITLES[k] for r in rows))
    st.subheader("Memory by weight precision", anchor=False)
    st.caption("At the sidebar's batch and length; the KV cache keeps its own precision.")
    ui.draw(
        rows,
        charts.grouped_bars(tuple(order), "GiB", kinds),
        "Memory by kind in every weight precision: " + ", ".join(order) + ".",
    )


def table_columns(inputs: Inputs) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    kinds = MEMORY_KINDS if inputs.workload.mode == "pretraining" else ("weights", "kv_cache", "activations")
    return {
        "batch": number("Batch", format="%,d"),
        "length": number("Length", format="%,d"),
        **{f"{k}_bytes": number(f"{TITLES[k]} (GiB)", format="%,.3f") for k in kinds},
        "total_bytes": number("Total (GiB)", format="%,.3f"),
        "flops": number("FLOPs", format="%.4e"),
        "traffic_bytes": number("Moved (GiB)", format="%,.3f"),
        "intensity": number("FLOP per byte", format="%,.2f"),
    }


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
