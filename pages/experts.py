"""Experts: total against active parameters, what share of the traffic experts are, and what uneven routing costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from calculator.estimation import estimate
from calculator.model import Model
from calculator.record.vocabulary import TITLES
from calculator.report import charts
from calculator.whatif import as_mixture, balance, mlp_width
from pages.shared import show as ui
from pages.shared.show import Figure, Inputs, Paper

BATCHES = np.unique(np.round(2 ** (np.arange(0, 49) / 4)).astype(np.int64))  # 1 to 4,096 sequences


def show(inputs: Inputs) -> None:
    paper, named, model = Paper(inputs, "experts"), ui.plain(inputs.name), inputs.model
    if not model.text.causal:
        paper.answer(f"{named} is an encoder and has no decode step")
        st.info(f"{named} is an encoder and generates no tokens; this page is about the experts of a decode step.")
        return
    if model.experts is None and mlp_width(model) is None:
        paper.answer(f"{named} has no experts")
        st.info(f"{named} has no experts, and no MLP that could become experts.")
        return
    if model.experts is not None:
        paper.answer(sentence(named, model), f"{model.experts.experts:,} routed experts in each mixture layer")
        counts(paper, model)
        mixture(paper, inputs)
        paper.data()
        return
    place = st.container()
    changed = what_if(inputs)
    with place:
        paper.answer(
            f"What if {named} were a mixture? {sentence('It', changed)}",
            f"{named} is dense: every token runs the whole MLP. On this page each MLP becomes a router and several "
            "smaller MLPs; no such checkpoint exists.",
        )
    compared(paper, inputs, changed)
    mixture(paper, Inputs(changed, inputs.workload, inputs.hardware))
    paper.data()


def sentence(who: str, model: Model) -> str:
    p, e = model.parameters, model.experts
    assert e is not None
    return (
        f"{who} reads :primary[{ui.count(p.active)}\u00a0of {ui.count(p.total)}] parameters for a token: "
        f"{e.top_k} of {e.experts:,} experts a layer."
    )


def counts(paper: Paper, model: Model) -> None:
    p, experts = model.parameters, model.experts
    assert experts is not None
    routed = p.by_component.get("experts", 0)
    paper.figures(
        Figure("Parameters", ui.count(p.total), f"{p.total:,}", "Every stored tensor once."),
        Figure(
            "Active per token",
            ui.count(p.active),
            f"{ui.percent(p.active / p.total)} of all",
            f"All but the routed experts that a token is not sent to: {p.active:,}.",
        ),
        Figure(
            "Routed experts",
            f"{experts.experts:,}",
            f"{experts.top_k} per token, width {experts.intermediate:,}",
            "Of every mixture layer.",
        ),
        Figure(
            "In routed experts", ui.count(routed), f"{ui.percent(routed / p.total)} of all", f"{routed:,} parameters."
        ),
    )


def what_if(inputs: Inputs) -> Model:
    """The dense model with its MLPs as experts, by the numbers typed here."""
    width = mlp_width(inputs.model) or 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        experts = int(st.number_input("Experts", 2, 4096, 8, key="whatif_experts", bind="query-params", width=170))
        top_k = int(
            st.number_input("Experts per token", 1, 4096, 2, key="whatif_top_k", bind="query-params", width=170)
        )
        typed = st.number_input(
            "Expert width",
            1,
            10**7,
            None,
            key="whatif_width",
            bind="query-params",
            width=170,
            placeholder=f"{max(1, width // top_k):,}",
            help="Empty: the MLP's width over the experts per token, so that a token costs what it did.",
        )
    return as_mixture(inputs.model, experts, top_k, int(typed) if typed else max(1, width // top_k))


def compared(paper: Paper, inputs: Inputs, model: Model) -> None:
    """Dense beside what-if."""
    rows = []
    for name, each in (("dense, as published", inputs.model), ("as experts", model)):
        e = estimate(each, inputs.workload)
        rows.append(
            {
                "variant": name,
                "parameters": each.parameters.total,
                "active": each.parameters.active,
                "memory_bytes": e.memory.total,
                "flops": e.flops.total,
                "traffic_bytes": e.traffic.total,
                "intensity": e.intensity,
            }
        )
    scale, unit = ui.flops_scale(max(r["flops"] for r in rows))
    shown = [
        {**r, "memory": r["memory_bytes"] / 2**30, "moved": r["traffic_bytes"] / 2**30, "work": r["flops"] / scale}
        for r in rows
    ]
    columns = {
        "variant": ui.text("Model"),
        "parameters": ui.number("Parameters"),
        "active": ui.number("Active"),
        "memory": ui.number("Memory (GiB)", "%,.2f"),
        "work": ui.number(f"Compute ({unit})", "%,.2f"),
        "moved": ui.number("Moved (GiB)", "%,.2f"),
        "intensity": ui.number("FLOP per byte", "%,.2f"),
    }
    with ui.card("Dense, and as a mixture"):
        paper.table("as_experts", shown, columns, "The dense model beside the same model as experts", raw=lambda: rows)


def mixture(paper: Paper, inputs: Inputs) -> None:
    with ui.sides():
        with ui.card("Experts that a layer reads in one decode step"):
            reached(paper, inputs)
        with ui.card("Who moves the bytes of a decode step"):
            share(paper, inputs)
    with ui.card("Uneven routing", "What a router costs that does not spread its tokens evenly"):
        routing(paper, inputs)


def decode_sweep(inputs: Inputs, **changes: Any) -> Any:
    """A decode step over batch sizes."""
    length = inputs.estimate.sequence_length
    workload = inputs.workload.with_(mode="decode", batch_size=BATCHES, sequence_length=length)
    return estimate(inputs.model, workload.with_(**changes))


def reached(paper: Paper, inputs: Inputs) -> None:
    """Distinct experts whose weights a decode step reads."""
    experts = inputs.model.experts
    assert experts is not None
    series = {}
    for rule in ("balanced", "uniform"):
        sweep = decode_sweep(inputs, routing=rule, expert_capacity_factor=None)
        op = next(op for op in sweep.operations if op.component == "experts" and op.weights)
        touched = np.broadcast_to(op.weight_reads * experts.experts / op.weight_bytes, BATCHES.shape)
        series[f"{rule} routing"] = [
            charts.Point(int(b), float(v), f"{v:,.1f}") for b, v in zip(BATCHES, touched, strict=True)
        ]
    full = next((p.x for p in series["uniform routing"] if p.value > 0.95 * experts.experts), None)
    finding = (
        f"With {full:,} sequences a step reads nearly all {experts.experts:,} experts of a layer."
        if full
        else f"A step reads {series['uniform routing'][-1].text} of {experts.experts:,} experts at the right end."
    )
    shades = dict(zip(series, charts.SERIES, strict=False))
    titles = ("Sequences", "Experts")
    here = float(inputs.workload.batch_size)
    paper.chart("experts_read", charts.lines(series, shades, titles, finding, ui.ink(), log=False, here=here))


def share(paper: Paper, inputs: Inputs) -> None:
    """Share of a decode step's bytes by component, as the batch grows."""
    sweep = decode_sweep(inputs)
    total = np.broadcast_to(sweep.traffic.total, BATCHES.shape)
    series = {}
    for c, values in sweep.traffic.by_component.items():
        if np.any(values):
            shares = np.broadcast_to(values, BATCHES.shape) / total
            series[TITLES[c]] = [
                charts.Point(int(b), float(v), ui.percent(float(v))) for b, v in zip(BATCHES, shares, strict=True)
            ]
    experts = np.broadcast_to(sweep.traffic.by_component.get("experts", 0), BATCHES.shape) / total
    finding = (
        f"Experts move {ui.percent(experts[0])} of the bytes with one sequence, {ui.percent(experts[-1])} at the end."
    )
    here = float(inputs.workload.batch_size)
    titles = ("Sequences", "Share of bytes")
    drawn = charts.areas(series, charts.PARTS, titles, finding, ui.ink(), shares=True, here=here)
    paper.chart("bytes_moved", drawn)


def routing(paper: Paper, inputs: Inputs) -> None:
    """What uneven routing costs, under a capacity factor or without one."""
    experts = inputs.model.experts
    assert experts is not None
    skew = st.slider(
        "Skew of the router",
        0.0,
        2.0,
        0.5,
        0.05,
        key="skew",
        bind="query-params",
        width=420,
        help="Expert loads fall off as 1/rank^skew (Zipf). 0 is perfectly even.",
    )
    factors = (None, 1.0, 1.25, 1.5, 2.0, 4.0)
    chosen = inputs.workload.expert_capacity_factor
    rows = []
    for factor in dict.fromkeys((*factors, chosen)):
        b = balance(experts.experts, skew, factor)
        flops = estimate(inputs.model, inputs.workload.with_(expert_capacity_factor=factor)).flops.by_component[
            "experts"
        ]
        rows.append(
            {
                "capacity": "dropless" if factor is None else f"{factor:g}",
                "dropped": b.dropped,
                "padding": b.padding,
                "imbalance": b.imbalance if factor is None else min(b.imbalance, factor),
                "flops": flops,
            }
        )
    loads = [load * experts.experts for load in balance(experts.experts, skew).loads]
    finding = f"The busiest expert has {loads[0]:.2f} times the mean, the idlest {loads[-1]:.2f} times."
    scale, unit = ui.flops_scale(max(r["flops"] for r in rows))
    shown = [{**r, "work": r["flops"] / scale} for r in rows]
    columns = {
        "capacity": ui.text("Capacity"),
        "dropped": ui.number("Dropped", "percent"),
        "padding": ui.number("Unused", "percent"),
        "imbalance": ui.number("Slowest", "%.2f", help="Over the mean"),
        "work": ui.number(f"Compute ({unit})", "%,.2f"),
    }
    with st.grid(2, min_column_width=400):
        with st.container():
            shade = charts.PARTS["Experts"]
            titles = ("Expert, by load", "Load over mean")
            paper.chart("load", charts.steps(loads, titles, shade, finding, ui.ink()))
        with st.container():
            said = "Dropped tokens and unused capacity by capacity factor"
            paper.table("routing", shown, columns, said, raw=lambda: rows)


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
