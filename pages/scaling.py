"""Scaling: memory, compute and intensity against length or batch, kernels and precisions side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from calculator.estimation import Estimate, estimate
from calculator.formats.named import FORMATS
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.record.workload import Workload
from calculator.report import charts
from pages.overview import precision, scaled
from pages.shared import show as ui
from pages.shared.needs import usable
from pages.shared.show import Inputs, Paper

AXES = {"length": "Tokens of each sequence", "batch": "Sequences"}
REACH = {"length": (4096, 16384, 32768, 131072, 1048576), "batch": (16, 64, 256, 1024, 4096)}
LIMIT = "The red mark is what the engine may fill of one device, all of it in training; its own runtime is not in here."
STEPS = 4  # points between one power of two and the next


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "scaling")
    place = st.container()
    axis, points = choose_axis()
    sweep = swept(inputs, axis, points, inputs.workload)
    with place:
        paper.answer(sentence(inputs, sweep, axis, points), terms(inputs, axis))
    here = float(inputs.estimate.sequence_length if axis == "length" else inputs.workload.batch_size)
    with ui.sides():
        with ui.card("Memory", LIMIT):
            memory(paper, inputs, sweep, points, AXES[axis], here)
        with ui.card("Compute", "FLOPs of all operations, and of attention with its projections"):
            work(paper, sweep, points, AXES[axis], here)
        if inputs.workload.mode == "decode":
            with ui.card("What a step reads", "Weights are read once for all sequences, the cache once for each"):
                reads(paper, sweep, points, AXES[axis], here)
        else:
            with ui.card("Activations, flash against eager", "Eager attention writes all scores to memory"):
                kernels(paper, inputs, axis, points, here)
        with ui.card("Intensity", "FLOPs for each byte moved; above the ridge of a device compute sets the pace"):
            reuse(paper, inputs, sweep, points, AXES[axis], here)
    with ui.card(
        "Memory by precision of the weights", f"At the sidebar's batch and length; the cache keeps its own. {LIMIT}"
    ):
        precisions(paper, inputs)
    rows = sweep_rows(sweep, points)
    paper.tables[f"sweep_{axis}"] = lambda: rows
    with ui.folded("The sweep, number by number", "sweep", ":material/table_rows:") as opened:
        if opened:
            powers = [r for r in rows if r[axis] & (r[axis] - 1) == 0]
            shown = [
                {**r, **{k: r[k] / 2**30 for k in r if k.endswith("_bytes")}, "flops": r["flops"] / 1e12}
                for r in powers
            ]
            columns = table_columns(inputs)
            paper.table(f"sweep_{axis}", shown, columns, "The sweep at powers of two", raw=lambda: rows)
    paper.data()


def sentence(inputs: Inputs, sweep: Estimate, axis: str, points: Any) -> str:
    """How far the memory goes, and where the chosen device ends."""
    total = np.broadcast_to(sweep.memory.total, points.shape)
    last = ui.size(float(total[-1])).replace(" ", "\u00a0")
    unit = "tokens" if axis == "length" else "sequences"
    until = f"{ui.plain(inputs.name)} grows to :primary[{last}] at {ui.tokens(int(points[-1]))} {unit}"
    device = inputs.device
    if device is None:
        return f"{until}, from {ui.size(float(total[0]))}."
    room = usable(inputs, device)
    inside = [int(p) for p, t in zip(points, total, strict=True) if t <= room]
    if not inside:
        return f"{until}; one {ui.device_name(device)} is too small for any of it."
    if len(inside) == len(points):
        return f"{until}, which one {ui.device_name(device)} holds."
    return f"{until}; one {ui.device_name(device)} ends near {ui.tokens(_rounded(inside[-1]))}."


def _rounded(value: int) -> int:
    """Down to what reads well."""
    step = 1 << max(0, value.bit_length() - 3)
    return value // step * step


def terms(inputs: Inputs, axis: str) -> str:
    e, w = inputs.estimate, inputs.workload
    fixed = f"batch {w.batch_size:,}" if axis == "length" else f"{e.sequence_length:,} tokens each"
    cache = "" if w.mode == "pretraining" else f" · KV cache {ui.stored(e.kv_precision)}"
    return f"{ui.MODE_WORDS[w.mode].capitalize()} · {fixed} · weights {ui.stored(precision(inputs))}{cache}"


def choose_axis() -> tuple[str, Any]:
    """What varies and how far; the points are whole numbers, evenly spread on a logarithmic axis."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axis = (
            st.segmented_control("Vary", list(AXES), default="length", required=True, key="vary", bind="query-params")
            or "length"
        )
        reach = st.selectbox(
            "Up to",
            [f"{n:,}" for n in REACH[axis]],
            index=3 if axis == "length" else 2,
            key=f"to_{axis}",
            bind="query-params",
            width=160,
        )
    first = 128 if axis == "length" else 1
    exponents = np.arange(STEPS * int(np.log2(int(reach.replace(",", "")) / first)) + 1) / STEPS
    return axis, np.unique(np.round(first * 2**exponents).astype(np.int64))


def swept(inputs: Inputs, axis: str, points: Any, workload: Workload) -> Estimate:
    """The estimate over all points at once."""
    length = workload.sequence_length or inputs.estimate.sequence_length
    fields = {"sequence_length": points} if axis == "length" else {"batch_size": points, "sequence_length": length}
    return estimate(inputs.model, workload.with_(**fields))


def sweep_rows(sweep: Estimate, points: Any) -> list[dict[str, Any]]:
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


def points_of(points: Any, values: Any, scale: float, words: Any) -> list[charts.Point]:
    amounts = np.broadcast_to(values, points.shape)
    return [charts.Point(int(p), float(v) / scale, words(float(v))) for p, v in zip(points, amounts, strict=True)]


def memory(paper: Paper, inputs: Inputs, sweep: Estimate, points: Any, x: str, here: float) -> None:
    total = np.broadcast_to(sweep.memory.total, points.shape)
    scale, unit = scaled(float(total[-1]))
    series = {
        TITLES[k]: points_of(points, getattr(sweep.memory, k), scale, ui.size)
        for k in MEMORY_KINDS
        if np.any(getattr(sweep.memory, k))
    }
    device = inputs.device
    limit = (usable(inputs, device) / scale, f"1 × {ui.device_name(device)}") if device else None
    finding = f"Memory grows from {ui.size(float(total[0]))} to {ui.size(float(total[-1]))}."
    drawn = charts.areas(series, charts.KINDS, (x, unit), finding, ui.ink(), here=here, limit=limit)
    paper.chart("memory", drawn)


def kernels(paper: Paper, inputs: Inputs, axis: str, points: Any, here: float) -> None:
    """Flash against eager attention: activations."""
    series, ends = {}, []
    for kernel in ("flash", "eager"):
        sweep = swept(inputs, axis, points, inputs.workload.with_(attention=kernel))
        series[f"{kernel} attention"] = points_of(points, sweep.memory.activations, 2**30, ui.size)
        ends.append(f"{kernel} {series[f'{kernel} attention'][-1].text}")
    finding = f"At the right end the activations are {', '.join(ends)}."
    shades = dict(zip(series, charts.SERIES, strict=False))
    paper.chart("kernels", charts.lines(series, shades, (AXES[axis], "GiB"), finding, ui.ink(), here=here))


def work(paper: Paper, sweep: Estimate, points: Any, x: str, here: float) -> None:
    """FLOPs in total and of attention."""
    attention = sweep.flops.by_component.get("attention", 0)
    largest = float(np.max(sweep.flops.total))
    scale, unit = ui.flops_scale(largest)
    series = {"all operations": points_of(points, sweep.flops.total, scale, ui.flops)}
    if np.any(attention):
        series["attention with its projections"] = points_of(points, attention, scale, ui.flops)
    shades = dict(zip(series, charts.SERIES, strict=False))
    share = float(np.broadcast_to(attention, points.shape)[-1]) / largest
    finding = f"Compute reaches {ui.flops(largest)}, {share:.0%} of it in attention."
    paper.chart("compute", charts.lines(series, shades, (x, unit), finding, ui.ink(), here=here))


def reads(paper: Paper, sweep: Estimate, points: Any, x: str, here: float) -> None:
    """Of a decode step: the bytes of weights and of the cache."""
    t = sweep.traffic
    series = {
        "Weights": points_of(points, t.weights, 2**30, ui.size),
        "KV cache": points_of(points, t.cache, 2**30, ui.size),
        "Activations": points_of(points, t.activations, 2**30, ui.size),
    }
    crossing = next(
        (p.x for p, q in zip(series["KV cache"], series["Weights"], strict=True) if p.value > q.value), None
    )
    finding = (
        f"From {int(crossing):,} on a step reads more cache than weights."
        if crossing is not None
        else "A step reads more weights than cache everywhere here."
    )
    paper.chart("reads", charts.lines(series, charts.KINDS, (x, "GiB read a step"), finding, ui.ink(), here=here))


def reuse(paper: Paper, inputs: Inputs, sweep: Estimate, points: Any, x: str, here: float) -> None:
    series = {"FLOP per byte": points_of(points, sweep.intensity, 1, ui.intensity)}
    device = inputs.device
    limit = (device.ridge(), f"ridge of {ui.device_name(device)}") if device and device.peak else None
    first, last = series["FLOP per byte"][0].text, series["FLOP per byte"][-1].text
    finding = f"Intensity goes from {first} to {last}."
    shades = {"FLOP per byte": charts.SERIES[0]}
    drawn = charts.lines(series, shades, (x, "FLOP per byte"), finding, ui.ink(), here=here, limit=limit)
    paper.chart("intensity", drawn)


def precisions(paper: Paper, inputs: Inputs) -> None:
    """Memory of the sidebar's workload in every weight format."""
    found = {name: estimate(inputs.model, inputs.workload.with_(dtype=name)) for name in ("auto", *FORMATS)}
    scale, unit = scaled(max(e.memory.total for e in found.values()))
    kinds = [k for k in MEMORY_KINDS if any(getattr(e.memory, k) for e in found.values())]
    bars = [
        charts.Bar(
            f"{name} ({e.precision})" if name == "auto" else name,
            ui.size(e.memory.total),
            {TITLES[k]: getattr(e.memory, k) / scale for k in kinds},
        )
        for name, e in sorted(found.items(), key=lambda item: item[1].memory.total)
    ]
    device = inputs.device
    most = max(e.memory.total for e in found.values())
    room = usable(inputs, device) if device is not None else 0.0
    limits = [charts.Limit(room / scale, f"1 × {ui.device_name(device)}")] if device and room < 2 * most else []
    finding = f"{bars[0].label} needs the least, {bars[0].remark}; {bars[-1].label} the most, {bars[-1].remark}."
    drawn = charts.stacked(bars, charts.KINDS, finding, ui.ink(), unit=unit, limits=limits, thick=22)
    paper.chart("precisions", drawn)


def table_columns(inputs: Inputs) -> dict[str, Any]:
    kinds = MEMORY_KINDS if inputs.workload.mode == "pretraining" else ("weights", "kv_cache", "activations")
    return {
        "batch": ui.number("Batch"),
        "length": ui.number("Length"),
        **{f"{k}_bytes": ui.number(f"{TITLES[k]} (GiB)", "%,.2f") for k in kinds},
        "total_bytes": ui.number("Total (GiB)", "%,.2f"),
        "flops": ui.number("Compute (TFLOP)", "%,.3f"),
        "traffic_bytes": ui.number("Moved (GiB)", "%,.2f"),
        "intensity": ui.number("FLOP per byte", "%,.1f"),
    }


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
