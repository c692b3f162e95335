"""Serving: how a machine or a rack carries a traffic, what its replicas do, what that costs, and how to start it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.errors import CalculatorError
from calculator.report import charts
from calculator.search.fewest import MOST
from calculator.search.plan import Phase, Plan
from calculator.search.racks import Rack, Traffic, racks
from calculator.serving.seconds import measured
from pages.shared import show as ui
from pages.shared.guard import error
from pages.shared.plans import CUSTOM, SEVERAL, asked, machine_of, planned
from pages.shared.show import Figure, Inputs, Paper
from pages.shared.start import Started, starts

GIB = 2**30
PARTS = {"products": "Products", "memory": "Memory", "collectives": "Links", "launches": "Launches"}
SHADES = {"Products": "#2A6CE6", "Memory": "#C7850E", "Links": "#0B7780", "Launches": "#6B655C"}
HELD = {"weights": "Weights", "cache": "KV cache", "activations": "Activations", "overhead": "Runtime"}


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "serving")
    place = st.container(gap="small")  # the answer stands above the fields that it depends on
    with ui.card("The traffic", "Prompts are as long as the sidebar's length, answers as what it generates"):
        machine, traffic = asked(inputs)
    with place:
        plan = answered(paper, inputs, machine, traffic)
    if plan is None:
        return
    if plan.prefill is not None and plan.decode is not None:
        with ui.sides():
            with ui.card("Where the time goes", "Of one pass of one replica"):
                times(paper, plan.prefill, plan.decode)
            with ui.card("Memory of the fullest device"):
                held(paper, plan)
        with ui.card("Replicas"):
            phases(paper, plan)
    with ui.card("Guard rails", "What has to hold for the plan to be one"):
        guards(paper, plan)
    others(paper, inputs, traffic)
    starts(started(plan))
    paper.data(plan=lambda: [summary(plan)])


def answered(paper: Paper, inputs: Inputs, machine: Rack | None, traffic: Traffic) -> Plan | None:
    """The answer and the figures; None where there is no plan to speak of."""
    try:
        rack = machine or machine_of(inputs)
        plan = None if rack is None else planned(inputs, rack, traffic)
    except CalculatorError as problem:
        paper.answer(f"How {ui.plain(inputs.name)} is served")
        error(problem)
        return None
    if plan is None:
        device, name = inputs.device, ui.plain(inputs.name)
        if device is None:
            paper.answer(f"Choose a machine to see how it serves {name}", "Below, or a device in the sidebar.")
        else:
            held = f"{name} is more than {MOST}\u00a0{ui.plain(ui.device_name(device))} hold."
            paper.answer(held, "Choose a machine below.")
        return None
    paper.answer(sentence(inputs, plan), terms(inputs, plan))
    paper.figures(*figures(plan))
    return plan


def sentence(inputs: Inputs, plan: Plan) -> str:
    """What it carries, or why not."""
    name, where = ui.plain(inputs.name), ui.plain(plan.rack.name)
    if plan.decode is None:
        return f"{name} does not run on {where}."
    carried = f":primary[{rate(plan.requests_per_second)}]"
    users = f" from {plan.users:,} users at once" if plan.users > 1 else ""
    late = [what for what, holds, _ in plan.guards if not holds and what in ("TTFT", "TPOT")]
    if late:
        return f"No layout of {where} answers {name} in time: at best {carried}, with {late[0]} too late."
    wanted = plan.traffic.requests_per_second
    if wanted and plan.racks > 1:
        each = f", each of which carries {carried}"
        return f"{rate(wanted)} of {name} take {plan.racks:,}\u00a0×\u00a0{where}{each}."
    enough = f", {plan.requests_per_second / wanted:.1f} times what is asked" if wanted else users
    carry = "carry" if plan.rack.id == CUSTOM and plan.rack.devices > 1 else "carries"
    return f"{where[0].upper()}{where[1:]} {carry} {carried} of {name}{enough}."


def rate(requests: float) -> str:
    """Requests a second in words."""
    return f"{ui.digits(requests)}\u00a0requests a second"


def terms(inputs: Inputs, plan: Plan) -> str:
    t = plan.traffic
    hit = f", {t.prefix_hit:.0%} of them cached" if t.prefix_hit else ""
    return (
        f"Prompts of {t.prompt_length:,} tokens{hit}, answers of {t.output_length:,} · weights "
        f"{ui.stored(inputs.estimate.precision)} · {ui.engine(inputs.hardware.engine)} · {ui.plain(plan.shape)}"
    )


def figures(plan: Plan) -> list[Figure]:
    t, cost = plan.traffic, plan.cost_per_million_tokens
    if plan.ttft is None or plan.tpot is None:
        return []
    hourly, now = plan.cost_per_hour, plan.asked
    joules = plan.joules_per_token
    energy = f", {ui.digits(joules)} J each" if joules else ""
    return [
        Figure(
            "Throughput",
            f"{ui.digits(plan.output_tokens_per_second)} tok/s",
            f"{ui.digits(plan.per_device)} from each of {plan.rack.devices:,} devices" if plan.rack.devices > 1 else "",
            "Requests a second that the slower of the phases lets through × tokens of an answer. Prompts arrive at "
            "random; their queue leaves time for the first token's target.",
        ),
        Figure(
            "First token (TTFT)",
            ui.seconds(now.ttft if now else plan.ttft),
            f"of {ui.seconds(t.ttft)}, with the queue{likely(plan, 'ttft')}",
            f"{loads(plan, 'ttft')}The prompt's pass and, between pools, handing over its cache; and the wait for "
            "prompts before it: "
            f"utilization × service / (2 (1 − utilization)), Pollaczek and Khinchine. {LIKELY}",
        ),
        Figure(
            "Next token (TPOT)",
            ui.seconds(now.tpot if now else plan.tpot),
            f"of {ui.seconds(t.tpot)}{likely(plan, 'tpot')}",
            f"{loads(plan, 'tpot')}A step of the sequences that generate at once, and what prompts take of it: "
            f"{(now or plan).users:,}{f', and {plan.users:,} at the most' if now else ''}. {LIKELY}",
        ),
        Figure(
            "Cost",
            f"${cost:,.2f}" if cost is not None else "–",
            f"a million tokens, \\${hourly:,.{0 if hourly >= 100 else 2}f}/h{energy}"
            if hourly
            else "no price is known",
            "Devices × price an hour / 3,600 / tokens a second × a million output tokens. The price is the median of "
            "list prices unless the sidebar has one for its devices.",
        ),
    ]


LIKELY = "*Likely* held 8 of 10 measured cases of models that the time model was not fitted to."


def likely(plan: Plan, kind: str) -> str:
    """The measured range of a time."""
    found = plan.likely(kind, plan.asked)
    unmeasured = "" if measured(plan.device) else " (unmeasured device)"
    return f", likely {ui.seconds(found[0])} to {ui.seconds(found[1])}{unmeasured}" if found else ""


def loads(plan: Plan, kind: str) -> str:
    """The rates that a time is of, where one was asked for."""
    if plan.asked is None:
        return ""
    asked, most = rate(plan.asked.requests_per_second), rate(plan.requests_per_second)
    each = " to each of them" if plan.racks > 1 else ""
    return f"At {asked}{each}; at the most, {most}, {ui.seconds(getattr(plan, kind))}. "


def times(paper: Paper, prefill: Phase, decode: Phase) -> None:
    """What a prompt's pass and a step are made of."""
    bars = []
    for label, phase in (("A prompt", prefill), (f"A step of {decode.batch:,}", decode)):
        parts = {title: 1e3 * float(getattr(phase.passed, name)) for name, title in PARTS.items()}
        whole = sum(parts.values())
        bars.append(charts.Bar(label, ui.seconds(whole / 1e3), {n: v for n, v in parts.items() if v}))
    finding = f"{PARTS[prefill.bottleneck]} take {prefill.share:.0%} of a prompt, {PARTS[decode.bottleneck].lower()} "
    finding += f"{decode.share:.0%} of a step."
    full = {bar.label: sum(bar.parts.values()) for bar in bars}
    paper.chart("time_by_phase", charts.stacked(bars, SHADES, finding, ui.ink(), unit="ms", full=full))


def held(paper: Paper, plan: Plan) -> None:
    """What the fullest device of each pool holds while it is full."""
    assert plan.prefill is not None
    assert plan.decode is not None
    pools = [("Replica", plan.decode)] if plan.together else [("Prompts", plan.prefill), ("Generation", plan.decode)]
    bars = []
    for label, phase in pools:
        found = phase.fit
        mean = plan.traffic.prompt_length + (plan.traffic.output_length // 2 if phase is plan.decode else 0)
        cache = float(found.budget.cache.needed(mean)) * phase.batch / found.layout.attention_dp
        shares = {
            "weights": found.weights,
            "cache": cache,
            "activations": found.activations,
            "overhead": found.overhead,
        }
        parts = {HELD[name]: size / GIB for name, size in shares.items() if size}
        bars.append(charts.Bar(label, ui.size(sum(shares.values())), parts))
    capacity = plan.decode.fit.capacity
    limit = charts.Limit(capacity / GIB, f"usable: {ui.size(capacity)}")
    finding = "; ".join(f"{bar.label} {bar.remark}" for bar in bars) + f" of {ui.size(capacity)}."
    paper.chart("memory_by_pool", charts.stacked(bars, charts.KINDS, finding, ui.ink(), limits=[limit]))


def phases(paper: Paper, plan: Plan) -> None:
    rows = plan.rows()
    shown = [
        {
            **row,
            "phase": {"prefill": "Prompts", "decode": "Generation"}[row["phase"]],
            "bottleneck": f"{PARTS[row['bottleneck']]}, {row['bottleneck_share']:.0%}",
            "milliseconds": 1e3 * row["seconds"],
        }
        for row in rows
    ]
    columns = {
        "phase": ui.text("Phase"),
        "replicas": ui.number("Replicas"),
        "devices_a_replica": ui.number("Devices of one"),
        "layout": ui.text("Layout"),
        "batch": ui.number("Sequences of one"),
        "milliseconds": ui.number("A prompt, a token (ms)", "%.1f"),
        "tokens_per_second": ui.number("All (tok/s)", "%,.0f"),
        "bottleneck": ui.text("Most of the time"),
    }
    paper.table("replicas", shown, columns, "Replicas of each phase", raw=lambda: rows)


def guards(paper: Paper, plan: Plan) -> None:
    lines = [
        f":{'green' if holds else 'red'}[:material/{'check' if holds else 'close'}:] **{what}**: {ui.plain(figures)}"
        for what, holds, figures in plan.guards
    ]
    st.markdown("  \n".join(lines))
    paper.tables["guards"] = lambda: plan.to_dict()["guards"]


def others(paper: Paper, inputs: Inputs, traffic: Traffic) -> None:
    """The other machines, found when someone asks."""
    with ui.folded("Other machines", "machines", ":material/dns:") as opened:
        if not opened:
            return
        if len(inputs.estimate.operations) > SEVERAL:
            st.info("Too many of its layers differ to plan every machine at once; choose one above.")
            return
        found = [planned(inputs, rack, traffic) for rack in racks()]
        found = [plan for plan in found if plan.requests_per_second]
        if not found:
            st.info("No machine holds it.")
            return
        found.sort(key=lambda plan: plan.cost_per_million_tokens or float("inf"))
        ranked = [
            charts.Rank(
                plan.rack.name,
                plan.requests_per_second,
                f"{ui.digits(plan.requests_per_second)}/s · {_dollars(plan.cost_per_million_tokens)}",
                charts.PLAIN,
            )
            for plan in found
        ]
        first = found[0]
        finding = f"{first.rack.name} is the cheapest, {_dollars(first.cost_per_million_tokens)} a million tokens."
        st.markdown(f":gray[Requests a second and dollars a million output tokens, cheapest first. {finding}]")
        paper.chart("machines", charts.ranked(ranked, finding, ui.ink(), unit="requests a second"))
        paper.tables["machines"] = lambda: [summary(plan) for plan in found]


def _dollars(cost: float | None) -> str:
    return f"${cost:,.2f}" if cost is not None else "no price"


def started(plan: Plan) -> list[Started]:
    if plan.prefill is None or plan.decode is None:
        return []
    if plan.together:
        return [Started("", plan.decode.fit)]
    return [
        Started(f"{plan.prefill.replicas} replicas for prompts", plan.prefill.fit, "prefill"),
        Started(f"{plan.decode.replicas} replicas to generate", plan.decode.fit, "decode"),
    ]


def summary(plan: Plan) -> dict[str, Any]:
    """The plan as one row."""
    told = plan.to_dict()
    plain = {k: v for k, v in told.items() if isinstance(v, str | int | float | bool) or v is None}
    return {"rack": plan.rack.name, **{f"asked_{k}": v for k, v in told["traffic"].items()}, **plain}


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
