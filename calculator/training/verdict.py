"""What a training step, or a cluster for it, comes to in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from calculator.numbers import units

if TYPE_CHECKING:
    from calculator.training.result import Trained

METHODS = {"full": "Full training", "lora": "LoRA", "qlora": "QLoRA"}


def where(step: Trained) -> str:
    """The devices."""
    count, device = step.layout.devices, step.device
    name = device.name.removeprefix("a ") if device else "device"
    return f"{'one' if count == 1 else f'{count:,} ×'} {name}"


def verdict(step: Trained) -> str:
    """Whether it fits, what it needs, and the cheapest change that makes it fit."""
    what = f"{METHODS[step.training.method]} of {step.model.name}"
    batch = f"micro-batches of {step.batch_size:,} × {step.sequence_length:,} tokens"
    if step.device is None:
        return f"{what} holds {units.size(step.peak)} at its peak on each device, with {batch}."
    of = f"{units.size(step.required)} of {units.size(step.device.memory)}"
    if step.fits:
        return f"{what} fits {where(step)}: it needs {of} with {batch}{_rate(step)}."
    short = f"{what} does not fit {where(step)}: it needs {of} with {batch}, {units.size(step.short_by)} too much"
    found = step.fixes
    if not found:
        return f"{short}; no change of the recipe alone makes it fit, more devices might."
    return f"{short}; it fits with {'; or '.join(f'{fix.words} ({units.size(fix.peak)})' for fix in found[:3])}."


def _rate(step: Trained) -> str:
    return f", at about {step.tokens_per_second:,.0f} tokens/s" if step.tokens_per_second else ""


def recipe(step: Trained) -> str:
    """Layout and recipe of a plan in a line."""
    r = step.training
    words = [str(step.layout)] if step.layout.devices > 1 else []
    words += [f"ZeRO {r.zero}"] if r.zero else []
    words += [r.precision, "no recomputation" if r.recompute == "none" else f"recompute {r.recompute}"]
    batch = f"{step.micro_batches:,} micro-batches of" if step.micro_batches > 1 else "micro-batch"
    return f"{', '.join(words)}, {batch} {step.batch_size:,}"


def budget(step: Trained, tokens: float) -> str:
    """How long and how dear so many tokens are."""
    days, kilowatt_hours, dollars = step.days(tokens), step.energy(tokens), step.cost(tokens)
    if days is None or step.step_time is None or step.device is None:
        return ""
    low, high = (days * t / step.step_time.expected for t in (step.step_time.low, step.step_time.high))
    text = f"{named(tokens)} tokens take {_days(days)} ({_days(low)} to {_days(high)})"
    hourly = step.device.price
    text += f", ${dollars:,.0f} at ${hourly:,.2f} an hour and device" if dollars else ""
    if not kilowatt_hours:
        return f"{text}."
    large = kilowatt_hours >= 1e4
    energy = f"{kilowatt_hours / 1e3:,.0f} MWh" if large else f"{kilowatt_hours:,.0f} kWh"
    return f"{text}, {energy} at full power."


def _days(days: float) -> str:
    return units.seconds(days * 86400)


def named(tokens: float) -> str:
    """A budget as it is written: 1T, 15.6T, 300B."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if tokens >= scale:
            return f"{tokens / scale:,.4g}{unit}"
    return f"{tokens:,.0f}"
