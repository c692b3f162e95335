"""Compare: any models, precisions and devices side by side, at the sidebar's mode, batch and length."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.report import charts
from pages.overview import scaled
from pages.shared import show as ui
from pages.shared.cases import Case, chosen
from pages.shared.needs import usable
from pages.shared.show import Inputs, Paper

# What the button says, four in a line on a phone, and what the picture shows.
FIGURES = {"Memory": "Memory", "Time": "Time", "Compute": "Compute of a token", "Cache": "Cache of a token"}


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "compare")
    place = st.container()
    cases = chosen(inputs)
    if not cases:
        with place:
            paper.answer("Choose models to compare", "")
        st.info("Choose models above, or include the sidebar's own.", icon=":material/arrow_upward:")
        return
    with place:
        paper.answer(sentence(inputs, cases), terms(inputs, cases))
    table(paper, inputs, cases)
    with ui.card(
        "One figure side by side",
        "A red mark is what the engine may fill of one of the sidebar's devices; its own runtime is not in the bars.",
    ):
        figure(paper, inputs, cases)
    paper.data()


def cost(inputs: Inputs, case: Case) -> float | None:
    """US dollars of a million tokens of one pass after another; None without a price."""
    if case.passed is None or case.device is None or case.needed is None:
        return None
    own = case.device is inputs.device
    price = inputs.hardware.price if own else case.device.price or None
    tokens = case.estimate.workload.batch_size * (
        1 if case.estimate.workload.mode == "decode" else case.estimate.sequence_length
    )
    return price * case.needed * case.passed.time.expected / 3600 / tokens * 1e6 if price else None


def sentence(inputs: Inputs, cases: list[Case]) -> str:
    """Who wins, and by how much."""
    w = inputs.workload
    timed = [c for c in cases if c.passed is not None]
    if len(timed) > 1:
        ranked = sorted(timed, key=lambda c: c.passed.time.expected if c.passed else 0)
        first, last = ranked[0], ranked[-1]
        assert first.passed is not None
        assert last.passed is not None
        ratio = last.passed.time.expected / first.passed.time.expected
        what = "next token" if w.mode == "decode" else "prompt"
        on = f" on {ui.devices(first.needed or 1, first.device)}" if first.device else ""
        return (
            f":primary[{ui.plain(first.name)}] is fastest: a {what} in "
            f"{ui.seconds(first.passed.time.expected)}{on}. {ui.plain(last.name)} takes {ui.digits(ratio)} times that."
        )
    ranked = sorted(cases, key=lambda c: c.estimate.memory.total)
    least, most = ranked[0], ranked[-1]
    said = f":primary[{ui.plain(least.name)}] needs the least memory, {ui.size(least.estimate.memory.total)}"
    if most is least:
        return f"{said}."
    return f"{said}; {ui.plain(most.name)} needs {ui.size(most.estimate.memory.total)}."


def terms(inputs: Inputs, cases: list[Case]) -> str:
    w = inputs.workload
    lengths = {c.estimate.sequence_length for c in cases}
    length = f"{lengths.pop():,}" if len(lengths) == 1 else "each model's default of"
    precisions = ", ".join(dict.fromkeys(c.precision for c in cases))
    return (
        f"{ui.MODE_WORDS[w.mode].capitalize()} · batch {w.batch_size:,} × {length} tokens · weights {precisions} "
        f"(auto is each checkpoint's own)" + (f" · {ui.engine(inputs.hardware.engine)}" if inputs.device else "")
    )


def row(inputs: Inputs, c: Case) -> dict[str, Any]:
    e, p = c.estimate, c.estimate.model.parameters
    tokens = e.workload.batch_size * (1 if e.workload.mode == "decode" else e.sequence_length)
    return {
        "name": c.name,
        "model": c.model,
        "weights_as": c.precision,
        "precision": e.precision,
        "device": c.device.name if c.device else None,
        "devices": c.needed,
        "parameters": p.total,
        "active": p.active,
        "layers": e.model.layers,
        "context": e.model.context_length,
        "length": e.sequence_length,
        **{f"{k}_bytes": getattr(e.memory, k) for k in MEMORY_KINDS},
        "total_bytes": e.memory.total,
        "cache_bytes_per_token": e.cache_growth,
        "seconds": c.passed.time.expected if c.passed else None,
        "seconds_bound": c.passed.time.lower_bound if c.passed else None,
        "dollars_per_million_tokens": cost(inputs, c),
        "flops": e.flops.total,
        "flops_per_token": e.flops.total / tokens,
        "traffic_bytes": e.traffic.total,
        "intensity": e.intensity,
    }


def table(paper: Paper, inputs: Inputs, cases: list[Case]) -> None:
    rows = [row(inputs, c) for c in cases]
    key = "seconds" if all(r["seconds"] is not None for r in rows) else "total_bytes"
    rows.sort(key=lambda r: r[key])
    decode = inputs.workload.mode == "decode"
    slowest = max((r["seconds"] or 0 for r in rows), default=0)
    factor, unit = (1e3, "ms") if slowest < 10 else (1.0, "s")
    dear = max((r["dollars_per_million_tokens"] or 0 for r in rows), default=0)
    shown = [
        {
            **r,
            "total": r["total_bytes"] / 2**30,
            "time": None if r["seconds"] is None else r["seconds"] * factor,
            "cache": r["cache_bytes_per_token"] / 2**10,
            "compute": r["flops_per_token"] / 1e9,
            "billions": r["parameters"] / 1e9,
            "active_billions": r["active"] / 1e9,
        }
        for r in rows
    ]
    top = max(r["total"] for r in shown)
    columns: dict[str, Any] = {"name": ui.text("Model", pinned=True)}
    if any(r["devices"] for r in rows):
        columns["devices"] = ui.number("Devices")
    if slowest:
        columns["time"] = ui.number(f"{'Next token' if decode else 'Prefill'} ({unit})", "%.1f", slowest * factor)
    if dear:
        columns["dollars_per_million_tokens"] = ui.number("Cost ($ a million)", "%.2f", dear)
    columns |= {"total": ui.number("Memory (GiB)", "%.1f", top)}
    if inputs.workload.mode != "pretraining":
        columns["cache"] = ui.number("KiB a token", "%,.1f", help="Cache of one more token of one sequence")
    columns |= {
        "compute": ui.number("GFLOP a token", "%,.1f", help="Compute"),
        "billions": ui.number("Billions", "%,.2f", help="Parameters"),
        "active_billions": ui.number("Active", "%,.2f", help="Billions of parameters that a token uses"),
    }
    paper.table("comparison", shown, columns, "The models side by side", raw=lambda: rows)


def figure(paper: Paper, inputs: Inputs, cases: list[Case]) -> None:
    names = [f for f in FIGURES if _has(f, inputs, cases)]
    wanted = (
        st.segmented_control(
            "Figure",
            names,
            default="Memory",
            required=True,
            key="figure",
            bind="query-params",
            label_visibility="collapsed",
        )
        or "Memory"
    )
    if wanted == "Memory":
        memory(paper, inputs, cases)
    elif wanted == "Time":
        times(paper, cases)
    else:
        ranked(paper, wanted, cases)


def _has(name: str, inputs: Inputs, cases: list[Case]) -> bool:
    if name == "Time":
        return any(c.passed for c in cases)
    return name != "Cache" or inputs.workload.mode != "pretraining"


def memory(paper: Paper, inputs: Inputs, cases: list[Case]) -> None:
    order = sorted(cases, key=lambda c: c.estimate.memory.total)
    most = order[-1].estimate.memory.total
    scale, unit = scaled(most)
    bars = []
    for c in order:
        m = c.estimate.memory
        on = f": {c.needed} × {ui.device_name(c.device)}" if c.needed and c.device else ""
        kinds = {TITLES[k]: getattr(m, k) / scale for k in MEMORY_KINDS if getattr(m, k)}
        bars.append(charts.Bar(c.name, f"{ui.size(m.total)}{on}", kinds))
    device = inputs.device
    room = usable(inputs, device) if device is not None else 0.0
    limits = [charts.Limit(room / scale, f"1 × {ui.device_name(device)}")] if device and room < 2 * most else []
    finding = f"{bars[0].label} needs the least, {bars[0].remark}; {bars[-1].label} the most, {bars[-1].remark}."
    paper.chart("memory", charts.stacked(bars, charts.KINDS, finding, ui.ink(), unit=unit, limits=limits, thick=26))


def times(paper: Paper, cases: list[Case]) -> None:
    """What takes the time of a pass, by part."""
    timed = sorted((c for c in cases if c.passed), key=lambda c: c.passed.time.expected if c.passed else 0)
    factor = 1e3
    shades = charts.PARTS | {"Links": "#0B7780", "Engine": "#6B655C"}
    bars = [
        charts.Bar(c.name, ui.seconds(sum(c.passed.parts.values())), {n: s * factor for n, s in c.passed.parts.items()})
        for c in timed
        if c.passed
    ]
    finding = f"{bars[0].label} is fastest with {bars[0].remark}, {bars[-1].label} slowest with {bars[-1].remark}."
    paper.chart("time", charts.stacked(bars, shades, finding, ui.ink(), unit="ms", thick=26))


def ranked(paper: Paper, wanted: str, cases: list[Case]) -> None:
    def amount(c: Case) -> float:
        e = c.estimate
        tokens = e.workload.batch_size * (1 if e.workload.mode == "decode" else e.sequence_length)
        return float(e.cache_growth) if wanted == "Cache" else e.flops.total / tokens

    words = ui.size if wanted == "Cache" else ui.flops
    order = sorted(cases, key=amount)
    rows = [charts.Rank(c.name, amount(c), words(amount(c)), charts.PLAIN) for c in order]
    what = FIGURES[wanted]
    finding = f"{what}: {rows[0].name} has the least, {rows[0].text}; {rows[-1].name} the most, {rows[-1].text}."
    unit = "bytes" if wanted == "Cache" else "FLOP"
    paper.chart(what.lower().replace(" ", "_"), charts.ranked(rows, finding, ui.ink(), unit=unit))


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
