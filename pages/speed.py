"""Speed: what a user of a deployment sees, what it costs, and how both change with the load."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.errors import CalculatorError
from calculator.parallel.layout import Layout
from calculator.report import charts
from calculator.search.fewest import MOST, fewest, held
from calculator.serving.parts import passed
from calculator.serving.serve import Serving, serve
from pages.shared import show as ui
from pages.shared.mixes import mixes
from pages.shared.needs import serving, timed
from pages.shared.show import Figure, Inputs, Paper

USERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LAYOUTS = (1, 2, 4, 8)
MANY = 1_000  # operations that differ, more than any published model has: only the chosen layout is drawn then


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "speed")
    device, w = inputs.device, inputs.workload
    if device is None or not inputs.model.text.causal:
        name = ui.plain(inputs.name)
        what = f"Choose a device to see how fast {name} is" if device is None else f"{name} generates no tokens"
        paper.answer(what, "Hardware, in the sidebar." if device is None else "An encoder reads; nothing is generated.")
        return
    count, asked = inputs.hardware.count, serving(inputs)
    least = held(inputs.model, device, count, **asked) if count else fewest(inputs.model, device, **asked)
    if least is None:
        paper.answer(f"{ui.plain(inputs.name)} is more than {MOST}\u00a0{ui.plain(ui.device_name(device))} hold.")
        return
    case = served(inputs, timed(inputs.model, least), w.batch_size)
    paper.answer(sentence(inputs, case), terms(inputs, case))
    paper.figures(*figures(inputs, case))
    with ui.sides():
        with ui.card(
            "Speed of one user, speed of one device", "More users share the devices along a line, up to all that fit"
        ):
            frontier(paper, inputs, case)
        with ui.card("Where the time goes"):
            times(paper, inputs, case)
    with ui.card("As the load grows"):
        load(paper, inputs, case)
    mixes(paper, inputs, case)
    paper.data()


def served(inputs: Inputs, layout: Layout, users: int) -> Serving:
    w = inputs.workload
    assert inputs.device is not None
    return serve(
        inputs.model,
        device=inputs.device,
        engine=inputs.hardware.engine,
        layout=layout,
        prompt_length=inputs.estimate.sequence_length,
        output_length=w.decode_length,
        concurrency=users,
        dtype=w.dtype,
        kv_dtype=w.kv_dtype,
        price=inputs.hardware.price,
    )


def sentence(inputs: Inputs, s: Serving) -> str:
    if not s.fits:
        return f"{ui.plain(inputs.name)} does not fit on {ui.devices(s.layout.devices, s.device)}."
    who = "One user reads" if s.concurrency == 1 else f"Each of {s.concurrency:,} users reads"
    first = ui.seconds(s.ttft.expected).replace(" ", "\u00a0")
    cost = s.cost_per_million_tokens
    priced = f" A million tokens cost \\${cost:,.2f}." if cost is not None else ""
    waiting = f" Only {s.batch:,} fit at once." if s.batch < s.concurrency else ""
    return f"{who} :primary[{ui.digits(s.per_user)} tokens a second], the first after {first}.{priced}{waiting}"


def terms(inputs: Inputs, s: Serving) -> str:
    w = inputs.workload
    copied = s.layout.attention_dp > 1
    group = " with a copy of the attention each" if copied else " as one tensor group" if s.layout.devices > 1 else ""
    return (
        f"{ui.plain(inputs.name)}, weights {ui.stored(inputs.estimate.precision)} · "
        f"{ui.devices(s.layout.devices, s.device)}{group} · {ui.engine(s.engine)} · "
        f"prompts of {inputs.estimate.sequence_length:,} tokens, answers of {w.decode_length:,}"
    )


def users_said(count: int) -> str:
    """One user, 16 users."""
    return f"{count:,} user{'s' if count != 1 else ''}"


WHY = (
    "For each operation the longer of FLOPs / rate and bytes / bandwidth; then launches, links and the engine's own "
    "work, and prompts of others that run in between.\n\n*Never under* takes the datasheet's rates. *Likely* held 8 of "
    "10 measured cases of models that the time model was not fitted to."
)


def figures(inputs: Inputs, s: Serving) -> list[Figure]:
    price = inputs.hardware.price
    cost = s.cost_per_million_tokens
    hourly = f"a million tokens, \\${price:,.2f}/h each" if price is not None else "give a price in the sidebar"
    return [
        Figure("Next token (TPOT)", ui.seconds(s.tpot.expected), ui.likely(s.tpot), WHY),
        Figure("First token (TTFT)", ui.seconds(s.ttft.expected), ui.likely(s.ttft), WHY),
        Figure(
            "Throughput",
            f"{ui.digits(s.output_tokens_per_second)} tok/s",
            f"{ui.digits(s.per_device)} from each device",
            f"{users_said(s.batch)} × answers of {inputs.workload.decode_length:,} tokens / "
            f"{ui.seconds(s.end_to_end.expected)} from prompt to end",
        ),
        Figure(
            "Cost",
            f"${cost:,.2f}" if cost is not None else "–",
            hourly,
            "Devices × price an hour / 3,600 / tokens a second × a million output tokens. The price is the median of "
            "list prices unless one is given.",
        ),
    ]


def frontier(paper: Paper, inputs: Inputs, case: Serving) -> None:
    """Throughput of a device against the speed of a user, a line a layout."""
    series: dict[str, list[charts.Point]] = {}
    name = ui.device_name(case.device)
    best: tuple[float, str] = (0.0, "")
    others = LAYOUTS if len(inputs.estimate.operations) <= MANY else ()
    for count in sorted({*others, case.layout.devices}):
        layout = case.layout if count == case.layout.devices else Layout.grouped(inputs.model, count)
        try:
            found = [served(inputs, layout, users) for users in USERS]
        except CalculatorError:
            continue  # no link is known between so many
        kept = [s for s in found if s.fits and s.batch == s.concurrency]
        if kept:
            label = f"{count} × {name}"
            series[label] = [
                charts.Point(
                    s.per_user, s.per_device, f"{users_said(s.concurrency)}, {ui.digits(s.per_user)} tok/s each"
                )
                for s in kept
            ]
            best = max(best, (max(s.per_device for s in kept), label))
    if not series:
        st.info("No load that is drawn here fits.")
        return
    finding = f"{best[1]} gives the most for each device, {ui.digits(best[0])} tokens a second."
    shades = dict(zip(series, (*charts.SERIES, "#97918A"), strict=False))
    here = (case.per_user, case.per_device, users_said(case.concurrency))
    titles = ("Tokens a second for each user", "Tokens a second from each device")
    paper.chart("frontier", charts.frontier(series, shades, titles, finding, ui.ink(), here=here))


def times(paper: Paper, inputs: Inputs, case: Serving) -> None:
    w, device = inputs.workload, case.device
    shades = charts.PARTS | {"Links": "#0B7780", "Engine": "#6B655C"}
    length = inputs.estimate.sequence_length
    common = {"attention_flops": "causal", "routing": "uniform"}
    first = w.with_(mode="prefill", batch_size=1, sequence_length=length, **common)
    found = [("First token, alone", passed(inputs.model, first, device, case.layout, case.engine))]
    for users in loads(inputs, case):
        step = w.with_(mode="decode", batch_size=users, sequence_length=length + w.decode_length // 2, **common)
        found.append((f"Next token, {users_said(users)}", passed(inputs.model, step, device, case.layout, case.engine)))
    bars = []
    for label, p in found:
        whole = sum(p.parts.values())
        scale = 1e-3 if whole < 10 else 1.0
        unit = "ms" if scale == 1e-3 else "s"
        bars.append(
            charts.Bar(label, f"{ui.digits(whole / scale)} {unit}", {n: v / scale for n, v in p.parts.items() if v})
        )
    last = found[-1][1].parts
    top = max(last, key=lambda n: last[n])
    finding = f"{top} takes {last[top] / sum(last.values()):.0%} of the next token of {users_said(case.batch)}."
    full = {b.label: sum(b.parts.values()) for b in bars}
    paper.chart(
        "time_by_part",
        charts.stacked(
            bars, shades, finding, ui.ink(), unit="ms", full=full, thick=36
        ),  # as tall as the picture beside
    )


def loads(inputs: Inputs, case: Serving) -> list[int]:
    """One user, those asked for, and fewer or more of them as far as they fit: up to four."""
    wanted = sorted({1, max(1, case.batch // 4), case.batch, 4 * case.batch, 16 * case.batch})
    held = [n for n in wanted if n <= case.batch or served(inputs, case.layout, n).batch == n]
    return held if len(held) <= 4 else [1, *held[-3:]]


def load(paper: Paper, inputs: Inputs, case: Serving) -> None:
    rows: list[dict[str, Any]] = []
    for users in sorted({*USERS, case.concurrency}):
        s = served(inputs, case.layout, users)
        if s.batch < users or not s.fits:
            break
        rows.append(
            {
                "users": users,
                "first_token_s": s.ttft.expected,
                "next_token_ms": 1e3 * s.tpot.expected,
                "next_token_bound_ms": 1e3 * s.tpot.lower_bound,
                "per_user": s.per_user,
                "all_users": s.output_tokens_per_second,
                "memory_used": s.memory_used,
                "cost": s.cost_per_million_tokens,
            }
        )
    if not rows:
        st.info("Not one user fits.")
        return
    top = max(float(r["all_users"] or 0) for r in rows)
    columns = {
        "users": ui.number("Users"),
        "first_token_s": ui.number("First token (s)", "%.2f"),
        "next_token_ms": ui.number("Next token (ms)", "%.1f"),
        "per_user": ui.number("A user (tok/s)", "%.1f"),
        "all_users": ui.number("All users (tok/s)", "%.0f", top),
        "memory_used": ui.number("Memory used", "percent", 1),
        "cost": ui.number("Cost ($ a million)", "%.2f"),
    }
    paper.table("load", rows, columns, "Times, throughput, memory and cost as the users grow")


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
