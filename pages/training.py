"""Training: what a step holds and takes on the chosen devices, and the recipes that fit."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.errors import CalculatorError
from calculator.parallel.layout import Layout
from calculator.report import charts
from calculator.training.recipe import Training, tables
from calculator.training.train import Trained, train
from pages.shared import show as ui
from pages.shared.show import Figure, Inputs, Paper

GIB = 2**30
RECIPES: dict[str, dict[str, Any]] = {
    "ZeRO-3, full recompute": {"zero": 3, "recompute": "full"},
    "ZeRO-3, no recompute": {"zero": 3, "recompute": "none"},
    "ZeRO-2, full recompute": {"zero": 2, "recompute": "full"},
    "ZeRO-1, full recompute": {"zero": 1, "recompute": "full"},
    "Replicated, full recompute": {"zero": 0, "recompute": "full"},
    "LoRA, rank 16": {"method": "lora", "zero": 0, "recompute": "full", "loss": "fused"},
    "QLoRA, rank 16": {"method": "qlora", "zero": 0, "recompute": "full", "loss": "fused"},
}
KINDS = {
    "Weights": ("weights", "adapters"),
    "Gradients": ("gradients",),
    "Optimizer states": ("optimizer",),
    "Activations": ("activations",),
    "Temporary": ("gathered weights", "casts", "loss", "work", "temporaries"),
}
SHADES = {name: charts.KINDS.get(name, "#8F897E") for name in KINDS}
EVENTS = {"load": "loading", "loss forward": "the loss", "loss backward": "backward of the loss"}


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "training")
    device = inputs.device
    if device is None:
        paper.answer(f"What training {ui.plain(inputs.name)} takes")
        st.info("Choose a device in the sidebar.", icon=":material/arrow_back:")
        return
    place = st.container()
    recipe = choose_recipe()
    case = case_of(inputs, recipe)
    with place:
        paper.answer(sentence(inputs, case), terms(inputs, case))
    paper.figures(*figures(inputs, case))
    with ui.card(
        "Memory of the fullest device", "Temporary: gathered layers, work of a layer and the loss, alive for a moment"
    ):
        strategies(paper, inputs, recipe)
    with ui.card("One step of one device", "The memory that lives at each moment of a step, the largest decides"):
        moments(paper, case)
    with ui.card(f"Layouts of {case.layout.devices:,} {ui.device_name(device)}, fastest first"):
        layouts(paper, inputs, recipe, case)
    paper.data()


def choose_recipe() -> dict[str, Any]:
    """How is trained."""
    fields: dict[str, tuple[str, list[str], str]] = {
        "method": ("Method", ["full", "lora", "qlora"], "All weights, or adapters on a frozen base."),
        "optimizer": ("Optimizer", list(tables()["optimizers"]), "What keeps its states beside the weights."),
        "train_as": ("Trained in", list(tables()["precisions"]), "Of weights, gradients and products."),
        "recompute": ("Recompute", ["full", "none", "selective", "ops"], "What backward computes again."),
        "zero": (
            "ZeRO",
            ["3", "0", "1", "2"],
            "What copies divide: 1 optimizer states, 2 and gradients, 3 and weights.",
        ),
        "loss": ("Loss", list(tables()["losses"]), "Whether logits are held at once."),
    }
    found: dict[str, Any] = {}
    with st.grid("auto", min_column_width=135, gap="xsmall"):
        for key, (label, options, meaning) in fields.items():
            found[key] = st.selectbox(label, options, key=key, bind="query-params", help=meaning)
    found["precision"] = found.pop("train_as")
    found["zero"] = int(found["zero"])
    return found


def case_of(inputs: Inputs, recipe: dict[str, Any], layout: Layout | None = None) -> Trained:
    """A step of one micro-batch on the chosen devices; with no count, on the fewest copies that hold it."""
    w = inputs.workload
    common: dict[str, Any] = {
        "batch_size": w.batch_size,
        "sequence_length": inputs.estimate.sequence_length,
        "device": inputs.device,
        "training": Training(**recipe),
    }
    if layout is not None:
        return train(inputs.model, layout=layout, **common)
    if inputs.hardware.count is not None:
        return train(inputs.model, devices=inputs.hardware.count, **common)
    counts = (1, 2, 4, 8, 16, 32, 64)
    found = train(inputs.model, devices=1, **common)
    for count in counts[1:]:
        if found.fits or recipe["zero"] == 0:
            break
        found = train(inputs.model, devices=count, **common)
    return found


def sentence(inputs: Inputs, t: Trained) -> str:
    assert t.device is not None
    what = {"full": "all of ", "lora": "a LoRA of ", "qlora": "a QLoRA of "}[t.training.method]
    peak = f"{ui.digits(t.device_memory / GIB)} of {ui.digits(t.device.memory / GIB)}\u00a0GiB"
    where = ui.devices(t.layout.devices, t.device)
    on = f"of one {ui.device_name(t.device)}" if t.layout.devices == 1 else f"on each of {where}"
    zero = f" with ZeRO-{t.training.zero}" if t.training.zero and t.layout.devices > 1 else ""
    verdict = "" if t.fits else f": {ui.size(t.short_by)} too much"
    return f"Training {what}{ui.plain(inputs.name)} takes :primary[{peak}] {on}{zero}{verdict}."


def terms(inputs: Inputs, t: Trained) -> str:
    r = t.training
    return (
        f"{t.batch_size:,} × {t.sequence_length:,} tokens on each device · {r.precision} · {r.optimizer} · "
        f"recompute {r.recompute} · {r.kernels} kernels · {r.loss} loss"
    )


def figures(inputs: Inputs, t: Trained) -> list[Figure]:
    assert t.device is not None
    event = t.fullest.peak_event
    parts = "\n".join(f"- {name} {ui.size(v)}" for name, v in event.terms.items() if v)
    time, speed, price = t.step_time, t.tokens_per_second, inputs.hardware.price
    step = Figure("Step", "–", "no peak of the device is known", "Times need a published peak.")
    if time is not None:
        why = (
            f"{ui.flops(t.hardware_flops)} on all devices, what is computed again included; never under "
            f"{ui.seconds(time.lower_bound)} by the datasheet."
        )
        step = Figure("Step", ui.seconds(time.expected), ui.likely(time), why)
    used = f"{t.mfu:.0%} MFU, {t.hfu:.0%} HFU" if t.mfu is not None and t.hfu is not None else ""
    days, cost = t.days(1e9), t.cost(1e9, price)
    return [
        Figure(
            "Peak memory",
            ui.size(t.peak),
            EVENTS.get(event.name, event.name),
            f"Allocated at most, in the event *{event.name}*:\n\n{parts}",
        ),
        step,
        Figure(
            "Speed",
            f"{speed:,.0f} tok/s" if speed else "–",
            used,
            "Tokens of a step over its time. MFU counts what the model needs, HFU also what is computed again.",
        ),
        Figure(
            "A billion tokens",
            ui.seconds(days * 86400) if days else "–",
            f"\\${cost:,.0f} at \\${price:,.2f}/h each" if cost and price else "no price is known",
            "Tokens / speed, times devices and price.",
        ),
    ]


def split(t: Trained) -> dict[str, float]:
    """The peak's bytes by kind, in GiB."""
    found = t.fullest.peak_event.terms
    return {kind: sum(found.get(n, 0.0) for n in names) / GIB for kind, names in KINDS.items()}


def strategies(paper: Paper, inputs: Inputs, recipe: dict[str, Any]) -> None:
    device = inputs.device
    assert device is not None
    count = inputs.hardware.count or 8
    bars = []
    for name, changes in {"As asked": recipe, **RECIPES}.items():
        try:
            t = case_of(inputs, {**recipe, **changes}, None if name == "As asked" else Layout(dp=count))
        except CalculatorError:
            continue  # a method without a row for this precision
        where = "one" if t.layout.devices == 1 else f"each of {t.layout.devices:,}"
        said = f"{'✓' if t.fits else '✕ too large:'} {ui.size(t.peak)} on {where}"
        bars.append(charts.Bar(name, said, split(t)))
    top = max(device.memory / GIB * 1.6, sum(bars[0].parts.values()) * 1.05)
    limit = charts.Limit(device.memory / GIB, f"{ui.device_name(device)} {ui.size(device.memory)}")
    finding = "; ".join(f"{b.label} {b.remark}" for b in bars) + "."
    drawn = charts.stacked(bars, SHADES, finding, ui.ink(), limits=[limit], top=top, thick=26)
    paper.chart("memory_by_strategy", drawn)


def moments(paper: Paper, t: Trained) -> None:
    bars = []
    for event in t.events:
        parts = {k: sum(event.terms.get(n, 0.0) for n in names) / GIB for k, names in KINDS.items()}
        bars.append(charts.Bar(event.name.capitalize(), ui.size(event.total), parts))
    assert t.device is not None
    peak = t.fullest.peak_event
    finding = f"The peak of {ui.size(peak.total)} is reached in {EVENTS.get(peak.name, peak.name)}."
    paper.chart("memory_over_a_step", charts.stacked(bars, SHADES, finding, ui.ink(), thick=22))


def layouts(paper: Paper, inputs: Inputs, recipe: dict[str, Any], case: Trained) -> None:
    rows: list[dict[str, Any]] = []
    devices = case.layout.devices
    for tp in (1, 2, 4, 8):
        for pp in (1, 2, 4, 8):
            if devices % (tp * pp) or inputs.model.layers < pp:
                continue
            for zero in (1, 3) if devices > tp * pp else (0,):  # without copies there is nothing to shard
                try:
                    t = case_of(inputs, {**recipe, "zero": zero}, Layout(tp=tp, pp=pp, dp=devices // (tp * pp)))
                except CalculatorError:
                    continue  # no link is known, or the model cannot be cut so
                time = t.step_time
                rows.append(
                    {
                        "tensor": tp,
                        "pipeline": pp,
                        "copies": t.layout.dp,
                        "zero": zero,
                        "device_memory_bytes": t.device_memory,
                        "fits": bool(t.fits),
                        "step_s": time.expected if time else None,
                        "tokens_per_second": t.tokens_per_second,
                        "mfu": t.mfu,
                    }
                )
    fitting = sorted((r for r in rows if r["fits"]), key=lambda r: -(r["tokens_per_second"] or 0))
    if not fitting:
        fixes = "; ".join(f"{fix.words} ({ui.size(fix.peak)})" for fix in case.fixes[:4])
        st.info(f"No layout fits. What does: {fixes}." if fixes else "No layout of so many fits.")
        return
    assert inputs.device is not None
    shown = [{**r, "memory": r["device_memory_bytes"] / GIB, "percent": _percent(r["mfu"])} for r in fitting]
    columns = {
        "tensor": ui.number("Tensor"),
        "pipeline": ui.number("Pipeline"),
        "copies": ui.number("Copies"),
        "zero": ui.number("ZeRO"),
        "memory": ui.number(f"Memory (GiB of {inputs.device.memory / GIB:,.0f})", "%.1f", inputs.device.memory / GIB),
        "step_s": ui.number("Step (s)", "%.2f"),
        "tokens_per_second": ui.number("Speed (tok/s)", "%,.0f"),
        "percent": ui.number("MFU (%)", "%.0f"),
    }
    paper.table("layouts", shown, columns, "Layouts that fit, fastest first", raw=lambda: rows)


def _percent(share: Any) -> float | None:
    return None if share is None else 100 * float(share)


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
