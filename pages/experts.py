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
from pages.shared.show import Inputs

BATCHES = np.unique(np.round(2 ** (np.arange(0, 49) / 4)).astype(np.int64))  # 1 to 4,096 sequences


def show(inputs: Inputs) -> None:
    short = inputs.model.name.split("/")[-1]
    named = ui.plain(short)
    if not inputs.model.text.causal:
        ui.heading(f"Experts of {short}", inputs)
        st.info(f"{named} is an encoder and generates no tokens; this page is about the experts of a decode step.")
        return
    if inputs.model.experts is not None:
        ui.heading(f"Experts of {short}", inputs)
        counts(inputs.model)
        mixture(inputs)
        return
    if mlp_width(inputs.model) is None:
        ui.heading(f"Experts of {short}", inputs)
        st.info(f"{named} has no experts, and no MLP that could become experts.")
        return
    ui.heading(f"{short} as a mixture of experts", inputs)
    st.markdown(
        f"{named} is dense: every token runs the whole MLP. Below, each MLP becomes a router and several smaller MLPs."
    )
    model = what_if(inputs)
    compared(inputs, model)
    mixture(Inputs(model, inputs.workload))


def counts(model: Model) -> None:
    p, experts = model.parameters, model.experts
    assert experts is not None
    routed = p.by_component.get("experts", 0)
    with st.grid(4):
        st.metric(
            "Parameters",
            ui.count(p.total),
            f"{p.total:,}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )
        st.metric(
            "Active per token",
            ui.count(p.active),
            f"{ui.percent(p.active / p.total)} of all",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help="All but the routed experts that a token is not sent to.",
        )
        st.metric(
            "Routed experts",
            f"{experts.experts:,}",
            f"{experts.top_k} per token, width {experts.intermediate:,}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )
        st.metric(
            "In routed experts",
            ui.count(routed),
            f"{ui.percent(routed / p.total)} of all",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
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


def compared(inputs: Inputs, model: Model) -> None:
    """Dense beside what-if."""
    rows = []
    for name, each in (("dense, as published", inputs.model), ("as experts", model)):
        e = estimate(each, inputs.workload)
        rows.append(
            {
                "model": name,
                "parameters": each.parameters.total,
                "active": each.parameters.active,
                "memory": e.memory.total,
                "flops": e.flops.total,
                "traffic": e.traffic.total,
                "intensity": e.intensity,
            }
        )
    number = st.column_config.NumberColumn
    shown = [{**r, "memory": r["memory"] / 2**30, "traffic": r["traffic"] / 2**30} for r in rows]
    ui.table(
        shown,
        {
            "model": st.column_config.TextColumn("Model"),
            "parameters": number("Parameters", format="%,d"),
            "active": number("Active", format="%,d"),
            "memory": number("Memory (GiB)", format="%,.2f"),
            "flops": number("FLOPs", format="%.4e"),
            "traffic": number("Moved (GiB)", format="%,.2f"),
            "intensity": number("FLOP per byte", format="%,.2f"),
        },
        "The dense model beside the same model as experts",
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        ui.download("What-if (CSV)", rows, ui.file_name(inputs, "as_experts"), "csv_whatif")


def mixture(inputs: Inputs) -> None:
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        reached(inputs)
    with right.container(border=True, height="stretch"):
        share(inputs)
    with st.container(border=True):
        routing(inputs)


def decode_sweep(inputs: Inputs, **changes: Any) -> Any:
    """A decode step over batch sizes."""
    length = inputs.estimate.sequence_length
    workload = inputs.workload.with_(mode="decode", batch_size=BATCHES, sequence_length=length)
    return estimate(inputs.model, workload.with_(**changes))


def reached(inputs: Inputs) -> None:
    """Distinct experts whose weights a decode step reads."""
    experts = inputs.model.experts
    assert experts is not None
    rows = []
    for rule in ("balanced", "uniform"):
        sweep = decode_sweep(inputs, routing=rule, expert_capacity_factor=None)
        op = next(op for op in sweep.operations if op.component == "experts" and op.weights)
        touched = op.weight_reads * experts.experts / op.weight_bytes
        rows += [
            {"x": int(b), "series": f"{rule} routing", "value": float(v), "text": f"{v:,.1f}"}
            for b, v in zip(BATCHES, np.broadcast_to(touched, BATCHES.shape), strict=True)
        ]
    st.subheader("Experts a layer reads in one decode step", anchor=False)
    ui.draw(
        rows,
        charts.lines(
            "Batch size (sequences)", "Experts", ("balanced routing", "uniform routing"), log_y=False, dashes=True
        ),
        f"Distinct experts read per layer as the batch grows, out of {experts.experts}.",
    )


def share(inputs: Inputs) -> None:
    """Share of a decode step's bytes by component, as the batch grows."""
    sweep = decode_sweep(inputs)
    total = np.broadcast_to(sweep.traffic.total, BATCHES.shape)
    present = [c for c, v in sweep.traffic.by_component.items() if np.any(v)]
    rows = [
        {"x": int(b), "component": TITLES[c], "value": float(v / t), "rank": rank, "text": ui.percent(float(v / t))}
        for rank, c in enumerate(present)
        for b, v, t in zip(BATCHES, np.broadcast_to(sweep.traffic.by_component[c], BATCHES.shape), total, strict=True)
    ]
    st.subheader("Who moves the bytes of a decode step", anchor=False)
    experts = np.broadcast_to(sweep.traffic.by_component.get("experts", 0), BATCHES.shape) / total
    ui.draw(
        rows,
        charts.component_shares("Batch size (sequences)", tuple(TITLES[c] for c in present)),
        "Share of the bytes moved by each component as the batch grows; experts from "
        f"{ui.percent(experts[0])} to {ui.percent(experts[-1])}.",
    )


def routing(inputs: Inputs) -> None:
    """What uneven routing costs, under a capacity factor or without one."""
    experts = inputs.model.experts
    assert experts is not None
    st.subheader("Routing balance", anchor=False)
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
    left, right = st.columns([2, 3], gap="medium")
    loads = balance(experts.experts, skew).loads
    with left:
        data = [{"x": i + 1, "value": load * experts.experts} for i, load in enumerate(loads)]
        ui.draw(
            data,
            charts.load_bars(),
            f"Load of the experts over their mean: from {data[0]['value']:.2f} to {data[-1]['value']:.2f}.",
        )
    with right:
        number, bar = st.column_config.NumberColumn, st.column_config.ProgressColumn
        ui.table(
            rows,
            {
                "capacity": st.column_config.TextColumn("Capacity factor"),
                "dropped": bar("Tokens dropped", format="percent", min_value=0, max_value=1, width="small"),
                "padding": bar("Capacity unused", format="percent", min_value=0, max_value=1, width="small"),
                "imbalance": number("Slowest / mean", format="%.2f"),
                "flops": number("Expert FLOPs", format="%.3e"),
            },
            "Dropped tokens and unused capacity by capacity factor",
        )
        ui.download("Routing (CSV)", rows, ui.file_name(inputs, "routing"), "csv_routing")


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
