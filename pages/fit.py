"""Fit: which devices hold it, how many, and what would make it fit on fewer."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.errors import CalculatorError
from calculator.hardware import Device, device
from calculator.parallel.layout import Layout
from calculator.report import charts
from calculator.serving.parts import Held, fewest, held
from pages.shared import show as ui
from pages.shared.show import Figure, Inputs, Paper

KINDS = {"weights": "Weights", "kv_cache": "KV cache", "activations": "Activations", "runtime": "Runtime"}
GIB = 2**30
OFFERED = (
    *("rtx-4090", "rtx-5090", "l40s", "a100-sxm4-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-sxm-180gb"),
    *("b300-sxm-288gb", "mi300x", "rtx-pro-6000-bw-server"),
)


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "fit")
    card = inputs.device
    if card is None:
        paper.answer(f"What holds {ui.plain(inputs.name)}")
        st.info("Choose a device in the sidebar.", icon=":material/arrow_back:")
        return
    w = inputs.workload
    needed = fewest(inputs.model, w, card)
    count = inputs.hardware.count or needed or 64
    mine = held(inputs.model, w, card, Layout(tp=count))
    paper.answer(sentence(inputs, card, count, mine), terms(inputs))
    paper.figures(*figures(inputs, card, count, needed, mine))
    with ui.card(
        "Fewest devices that hold it", "Cheapest first. The whole width is what an engine may use of one device"
    ):
        choices(paper, inputs)
    with ui.card(f"What would change it, on one {ui.device_name(card)}"):
        changes(paper, inputs, card)
    paper.data()


def sentence(inputs: Inputs, card: Device, count: int, mine: Held) -> str:
    named = ui.devices(count, card)
    if mine.fits:
        free = ui.size(mine.usable - mine.total).replace(" ", "\u00a0")
        each = " on each" if count > 1 else ""
        return f"{ui.plain(inputs.name)} fits on :primary[{named}] with {free} free{each}."
    short = ui.size(mine.total - mine.usable).replace(" ", "\u00a0")
    return f"{ui.plain(inputs.name)} does not fit on {named}: :primary[{short}] short{' on each' if count > 1 else ''}."


def terms(inputs: Inputs) -> str:
    e, w = inputs.estimate, inputs.workload
    return (
        f"{ui.MODE_WORDS[w.mode].capitalize()} · batch {w.batch_size:,} × {e.sequence_length:,} tokens · weights "
        f"{ui.plain(e.precision)} · KV cache {ui.plain(e.kv_precision)} · an engine may use 90 % of a device"
    )


def figures(inputs: Inputs, card: Device, count: int, needed: int | None, mine: Held) -> list[Figure]:
    parts = "\n".join(f"- {KINDS[k]} {ui.size(v)}" for k, v in mine.kinds.items() if v)
    most = sequences(inputs, card, count)
    name = ui.device_name(card)
    return [
        Figure("On each device", ui.size(mine.total), f"of {ui.size(mine.usable)} usable", parts),
        Figure(
            "Fewest devices",
            f"{needed} × {name}" if needed else "more than 64",
            "as one tensor group",
            "The smallest power of two whose fullest device holds its share.",
        ),
        Figure(
            "Most sequences",
            f"{most:,}",
            f"of {ui.tokens(inputs.estimate.sequence_length)} tokens, on {count} × {name}",
            "The largest batch whose weights, cache and activations fit, found by halving.",
        ),
        Figure(
            "Usable",
            ui.size(mine.usable * count),
            f"90 % of {ui.size(card.memory)} each",
            "What vLLM's --gpu-memory-utilization 0.9 leaves, 1.5 GiB of it for the engine itself.",
        ),
    ]


def sequences(inputs: Inputs, card: Device, count: int) -> int:
    """The largest batch that fits."""

    def fits(batch: int) -> bool:
        return held(inputs.model, inputs.workload.with_(batch_size=batch), card, Layout(tp=count)).fits

    low, high = 0, 1
    while high < 2**20 and fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def choices(paper: Paper, inputs: Inputs) -> None:
    found: list[tuple[float, str, charts.Bar, dict[str, Any], float]] = []
    cards = {d.id: d for d in [device(name) for name in OFFERED] + ([inputs.device] if inputs.device else [])}
    for card in cards.values():
        try:
            count = fewest(inputs.model, inputs.workload, card)
        except CalculatorError:
            continue  # the model cannot be laid out on so many
        if count is None:
            continue
        mine = held(inputs.model, inputs.workload, card, Layout(tp=count))
        price = inputs.hardware.price if card is inputs.device else card.price or None
        hourly = price * count if price else None
        label = f"{count} × {ui.device_name(card)}"
        cost = f" · ${hourly:,.2f}/h" if hourly else ""
        remark = f"{ui.digits(mine.total / GIB)} of {ui.digits(mine.usable / GIB)} GiB{cost}"
        shares = {KINDS[k]: v / GIB for k, v in mine.kinds.items() if v}
        row = {
            "device": card.name,
            "devices": count,
            **{f"{k}_bytes": v for k, v in mine.kinds.items()},
            "usd_per_hour": hourly,
        }
        found.append((hourly if hourly else 1e9, label, charts.Bar(label, remark, shares), row, mine.usable / GIB))
    if not found:
        st.info("No group of up to 64 of these devices holds it.")
        return
    found.sort(key=lambda f: f[:2])
    first = found[0]
    finding = f"The cheapest that holds it is {first[1]}, {first[2].remark}."
    bars = [f[2] for f in found]
    full = {f[2].label: f[4] for f in found}
    paper.chart("fewest_devices", charts.stacked(bars, charts.KINDS, finding, ui.ink(), full=full))
    paper.tables["fewest_devices"] = lambda: [f[3] for f in found]


def changes(paper: Paper, inputs: Inputs, card: Device) -> None:
    w, length = inputs.workload, inputs.estimate.sequence_length
    tried = {
        "As asked": w,
        "KV cache in FP8": w.with_(kv_dtype="fp8"),
        "Weights in FP8": w.with_(dtype="fp8"),
        "Weights in 4 bit": w.with_(dtype="int4"),
        "Half the sequences": w.with_(batch_size=max(1, w.batch_size // 2)),
        "Half the tokens": w.with_(sequence_length=max(1, length // 2)),
        "4-bit weights, FP8 cache": w.with_(dtype="int4", kv_dtype="fp8"),
    }
    rows = []
    for name, changed in tried.items():
        if name != "As asked" and changed == w:
            continue
        one = held(inputs.model, changed, card, Layout())
        rows.append(
            {
                "change": name,
                "bytes": one.total,
                "gib": one.total / GIB,
                "free": (one.usable - one.total) / GIB,
                "verdict": "✓ fits" if one.fits else "✕ short",
                "devices": fewest(inputs.model, changed, card),
            }
        )
    columns = {
        "change": ui.text("Change"),
        "gib": ui.number("On one device (GiB)", "%,.1f"),
        "free": ui.number("Free (GiB)", "%,.1f"),
        "verdict": ui.text("One device"),
        "devices": ui.number("Devices needed"),
    }
    paper.table("changes", rows, columns, "Single changes and what they need")


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
