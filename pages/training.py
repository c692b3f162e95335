"""Training: what a step holds and takes, on how many devices, how long and how dear the job is, and how to start it."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from calculator.errors import CalculatorError, WorkloadError
from calculator.training import Trained
from calculator.training.export import FRAMEWORKS
from pages.shared import recipe, steps
from pages.shared import show as ui
from pages.shared.guard import error
from pages.shared.recipe import Found
from pages.shared.show import Figure, Inputs, Paper
from pages.shared.why import unmeasured

GIB = 2**30
FILES = {
    "torchtitan": ("torchtitan.toml", "toml"),
    "deepspeed": ("deepspeed.json", "json"),
    "megatron": ("megatron_flags.txt", "bash"),
    "axolotl": ("axolotl.yml", "yaml"),
    "trl": ("trl_sft.sh", "bash"),
}


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "training")
    device = inputs.device
    if device is None:
        paper.answer(f"Choose a device to see what training {ui.plain(inputs.name)} takes", "Hardware, in the sidebar.")
        return
    try:
        length = inputs.estimate.sequence_length
        found = recipe.found(inputs.model, device, inputs.hardware.count, length, inputs.recipe)
    except CalculatorError as problem:
        paper.answer(f"What training {ui.plain(inputs.name)} takes")
        error(problem)
        return
    case = found.case
    paper.answer(sentence(inputs, found), terms(case))
    paper.figures(*figures(inputs, case))
    cures(paper, case)
    with ui.card(
        "Memory of the fullest device",
        "As asked, and other recipes of one sequence on copies of the model. Temporary: gathered layers, the work of "
        "one, and the loss, alive for a moment",
    ):
        steps.strategies(paper, case)
    if case.step_time is not None:
        with ui.card(*steps.titled(case)):
            steps.moments(paper, case)
        with ui.card("Where the time of a step goes"):
            steps.times(paper, case)
    if case.layout.pp > 1:
        with ui.card("Stages of the pipeline", "Each at its own peak"):
            steps.stages(paper, case)
    if found.plans:
        with ui.card(
            f"Plans for {ui.devices(case.layout.devices, device)} that fit, fastest first",
            "Every layout, sharding, recomputation and micro-batch, each priced. A click on a header sorts.",
        ):
            plans(paper, inputs, found)
    starts(case)
    paper.data()


def sentence(inputs: Inputs, found: Found) -> str:
    """What the job takes and costs; or what is missing, and the first method that fits."""
    t, device = found.case, found.case.device
    assert device is not None
    what = {"full": "all of ", "lora": "a LoRA of ", "qlora": "a QLoRA of "}[t.training.method]
    where = ui.devices(t.layout.devices, device)
    on = f"of one {ui.device_name(device)}" if t.layout.devices == 1 else f"on each of {where}"
    start = f"Training {what}{ui.plain(inputs.name)} takes"
    # What a device must have: the caching allocator holds more where there is room, and gives it back.
    peak = f"{ui.digits(t.required / GIB)} of {ui.digits(device.memory / GIB)}\u00a0GiB"
    if not t.fits:
        return f"{start} :primary[{peak}] {on}: {spaced(ui.size(t.short_by))} too much{way_out(t)}."
    days, cost = t.days(inputs.recipe.tokens), t.cost(inputs.recipe.tokens, inputs.hardware.price)
    if days is None:
        return f"{start} :primary[{peak}] {on}."
    job = f"{amount(inputs)} tokens take :primary[{spaced(ui.seconds(days * 86400))}]"
    return f"{start} :primary[{peak}] {on}; {job}{f' and {dollars(cost)}' if cost else ''}."


def way_out(t: Trained) -> str:
    """The first change that fits, in the answer's own words."""
    fixes = t.fixes
    if not fixes:
        return ", and no change of the recipe fits"
    first = fixes[0]
    words = first.words[0].upper() + first.words[1:]
    return f". {words} fits with {spaced(ui.size(first.peak))}"


def spaced(text: str) -> str:
    """A value that does not part from its unit."""
    return text.replace(" ", "\u00a0")


def amount(inputs: Inputs) -> str:
    """Tokens in all as people say it: 1T, 15T, 300M."""
    return ui.count(inputs.recipe.tokens).replace(".00", "")


def dollars(cost: float | None) -> str:
    """Money with the digits that matter."""
    if cost is None:
        return "–"
    if cost >= 999_500:
        return f"\\${ui.digits(cost / 1e6)}\u00a0million"
    rounded = round(cost, 2 - math.floor(math.log10(cost))) if cost >= 100 else cost
    return f"\\${rounded:,.0f}" if cost >= 100 else f"\\${cost:,.2f}"


def terms(t: Trained) -> str:
    r = t.training
    once = f"{t.batch_size:,} × {t.sequence_length:,} tokens a micro-batch"
    return " · ".join(
        (
            steps.layout_words(t),
            f"{once}, {t.tokens:,} tokens a step",
            ui.stored(r.precision),
            r.optimizer,
            f"recompute {r.recompute}",
            f"{r.loss} loss",
        )
    )


def figures(inputs: Inputs, t: Trained) -> list[Figure]:
    event = t.fullest.peak_event
    parts = "\n".join(f"- {name} {ui.size(v)}" for name, v in event.terms.items() if v)
    time, speed, price = t.step_time, t.tokens_per_second, inputs.hardware.price
    wish = "" if t.fits else ", if it fitted"
    step = Figure("Step", "–", "no peak of the device is known", "Times need a published peak.")
    if time is not None:
        again = "what is computed again included"
        said = "\n".join(f"- {steps.TERMS[n]} {ui.seconds(s)}" for n, s in time.terms.items() if s)
        step = Figure(
            f"Step{wish}",
            ui.seconds(time.expected),
            ui.likely(time),
            f"{ui.flops(t.hardware_flops)} on all devices, {again}:\n\n{said}\n\n*Never under* takes the datasheet's "
            f"rates; *likely* held 8 of 10 measured runs.{unmeasured(time)}",
        )
    used = f"{t.mfu:.0%} MFU, {t.hfu:.0%} HFU" if t.mfu is not None and t.hfu is not None else ""
    days, cost = t.days(inputs.recipe.tokens), t.cost(inputs.recipe.tokens, price)
    kwh = t.energy(inputs.recipe.tokens)
    energy = f" At full power {kwh:,.0f} kWh." if kwh else ""
    return [
        Figure(
            "Peak memory",
            ui.size(t.peak),
            f"in {steps.EVENTS.get(event.name, event.name)}; needs {ui.size(t.required)} with fragments and context",
            f"Allocated at most, in the event *{event.name}*:\n\n{parts}\n\nA device must have "
            f"{ui.size(t.required)} for it, with fragments and its context; nvidia-smi then shows "
            f"{ui.size(t.device_memory)}.",
        ),
        step,
        Figure(
            f"Speed{wish}",
            f"{speed:,.0f} tok/s" if speed else "–",
            used,
            "Tokens of a step over its time. MFU counts what the model needs, HFU also what is computed again.",
        ),
        Figure(
            f"{amount(inputs)} tokens{wish}",
            ui.seconds(days * 86400) if days else "–",
            f"{dollars(cost)} at \\${price:,.2f}/h each" if cost and price else "no price is known",
            f"Tokens / speed, times devices and price.{energy} Twenty tokens a parameter would be "
            f"{ui.count(t.chinchilla_tokens)} (arXiv:2203.15556).",
        ),
    ]


def cures(paper: Paper, case: Trained) -> None:
    """What makes it fit, each tried, with what it saves and what it costs."""
    fixes = case.fixes
    if case.fits:
        return
    with ui.card("What would make it fit", "Each tried on the same devices, the least costly first"):
        if not fixes:
            st.markdown("No change of the recipe does on so many devices; take more, or larger ones.")
        for fix in fixes:
            slower = f", {fix.slower:.2f} × the time" if fix.slower else ""
            st.markdown(
                f"- **{fix.words[0].upper()}{fix.words[1:]}**: {ui.size(fix.peak)} at the peak, "
                f"{ui.size(fix.saved)} saved{slower}"
            )
    rows = [{"change": f.words, "peak_bytes": f.peak, "saved_bytes": f.saved, "times_as_long": f.slower} for f in fixes]
    paper.tables["fixes"] = lambda: rows


def plans(paper: Paper, inputs: Inputs, found: Found) -> None:
    """The search as a table."""
    rows = [plan_row(inputs, t) for t in found.plans]
    device = inputs.device
    assert device is not None
    shown = [{**r, "memory": r["required_bytes"] / GIB, "percent": percent(r["mfu"])} for r in rows]
    top = max(float(r["tokens_per_second"] or 0) for r in rows)
    columns = {
        "tensor": ui.number("Tensor"),
        "pipeline": ui.number("Stages"),
        "context": ui.number("Context"),
        "experts": ui.number("Experts"),
        "copies": ui.number("Copies"),
        "zero": ui.number("ZeRO"),
        "recompute": ui.text("Recompute"),
        "micro_batch": ui.number("Micro-batch"),
        "memory": ui.number(f"Memory (of {device.memory / GIB:,.0f} GiB)", "%.1f", device.memory / GIB),
        "step_s": ui.number("Step (s)", "%,.2f"),
        "tokens_per_second": ui.number("Speed (tok/s)", "%,.0f", top),
        "percent": ui.number("MFU (%)", "%.0f"),
        "days": ui.number("Days", "%,.2f"),
        "usd": ui.number("Cost ($)", "%,.0f"),
    }
    if all(r["context"] == 1 for r in rows):
        del columns["context"]
    if all(r["experts"] == 1 for r in rows):
        del columns["experts"]
    height: Any = "auto" if len(rows) < 10 else 10 * ui.LINE + 40
    paper.table("plans", shown, columns, "Plans that fit, fastest first", raw=lambda: rows, height=height)


def plan_row(inputs: Inputs, t: Trained) -> dict[str, Any]:
    layout, time, tokens = t.layout, t.step_time, inputs.recipe.tokens
    assert t.device is not None
    return {
        "device": t.device.name,
        "devices": layout.devices,
        "method": t.training.method,
        "optimizer": t.training.optimizer,
        "trained_in": t.training.precision,
        "tensor": layout.tp,
        "pipeline": layout.pp,
        "context": layout.cp,
        "experts": layout.ep,
        "copies": layout.dp,
        "zero": t.training.zero,
        "recompute": str(t.training.recompute),
        "micro_batch": t.batch_size,
        "micro_batches": t.micro_batches,
        "required_bytes": t.required,
        "device_memory_bytes": t.device_memory,
        "step_s": time.expected if time else None,
        "tokens_per_second": t.tokens_per_second,
        "mfu": t.mfu,
        "days": t.days(tokens),
        "usd": t.cost(tokens, inputs.hardware.price),
    }


def percent(share: Any) -> float | None:
    return None if share is None else 100 * float(share)


def starts(case: Trained) -> None:
    """The recipe in the words of those who run it."""
    with ui.card("How to start it", "What a trainer has no word for is left out"):
        chosen = (
            st.segmented_control(
                "Trainer",
                list(FRAMEWORKS),
                default="torchtitan" if case.training.method == "full" else "trl",
                required=True,
                key="trainer",
                bind="query-params",
                label_visibility="collapsed",
            )
            or "trl"
        )
        try:
            words = case.export(chosen)
        except WorkloadError as refused:
            st.info(ui.plain(refused))
            return
        name, language = FILES[chosen]
        st.code(words, language=language, wrap_lines=True)
        st.download_button(name, words, name, key="export", on_click="ignore", icon=":material/download:")


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
