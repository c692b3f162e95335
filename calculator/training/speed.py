"""How long a training step takes: products, attention, elementwise steps, collectives, the bubble, the update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from calculator.hardware import Device
from calculator.parallel.layout import Layout
from calculator.record.operation import MATMUL_KINDS, Operation
from calculator.record.vocabulary import ALIBI
from calculator.serving.efficiency import link_of
from calculator.serving.seconds import wider
from calculator.training.recipe import BASE_FORMATS, Training, tables
from calculator.training.stage import StageKept, targeted
from calculator.training.timeline import copies, expert_copies

BACKWARD_ATTENTION = 2.5  # of the forward pass: five products of flash attention's backward, of which one is recomputed
GENERATIONS = ((10.0, "blackwell"), (9.0, "hopper"), (0.0, "ampere"))
"""Compute capability from which a generation's rates are meant."""
HOST_LINK = 25e9  # bytes a second to the host of a device whose own rate is not known: PCIe 4
NARROW = ("fp8", "nvfp4")
FIRST_YEAR = {"hopper": 2022, "blackwell": 2024}  # of devices without a capability


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: no device is faster than `lower_bound` by its datasheet; 8 of 10 measured runs lie between
    `low` and `high`.

    Attributes:
        terms: what the expected time is made of, in seconds of the slowest stage. measured: whether parameters were
            fitted to runs of the device; where not, `low` and `high` are wider.
    """

    lower_bound: float
    expected: float
    low: float
    high: float
    terms: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)
    measured: bool = True


def step_time(
    stages: list[StageKept], training: Training, layout: Layout, device: Device, micro_batches: int
) -> StepTime:
    """The time of a step of so many micro-batches: the slowest stage's for each of them, and the others' once for the
    pipeline to fill and to drain (arXiv:2104.04473)."""
    found = [_micro_batch(stage, training, layout, device, micro_batches > 1) for stage in stages]
    times = [sum(terms.values()) for terms, _ in found]
    slowest = max(range(len(times)), key=times.__getitem__)
    terms = {name: micro_batches * seconds for name, seconds in found[slowest][0].items()}
    terms["bubble"] = (sum(times) - times[slowest]) / layout.interleave
    terms["copies"] = _between_copies(stages[slowest], training, layout, device, micro_batches, terms)
    terms["update"] = max(_update(stage, training, layout, device) for stage in stages)
    bounds = [bound for _, bound in found]
    least = micro_batches * max(bounds) + (sum(bounds) - max(bounds)) / layout.interleave
    expected = max(sum(terms.values()), least)
    spread, measured = tables()["speed"]["range"], device.id in tables()["measured"]
    below, above = (1.0, 1.0) if measured else wider()
    low, high = expected * spread["low"] * below, expected * spread["high"] * above
    return StepTime(least, expected, max(low, least), high, terms, measured)


def passes(op: Operation, training: Training) -> float:
    """How often the arithmetic of an operation runs in a step: forward, twice backward, and again where it is
    recomputed; of a frozen base only the input's gradient."""
    again = _again(op, training)
    if op.kind == "attention" and training.attention == "flash":
        return 1 + BACKWARD_ATTENTION + again
    return 1 + (1 if training.frozen else 2) + again


def _again(op: Operation, training: Training) -> float:
    """How often the backward pass computes an operation again."""
    how = training.recompute
    if not op.span.layers or how == "none":
        return 0.0
    if how == "selective":
        return 1.0 if op.kind == "attention" or op.name.endswith(".softmax") else 0.0
    if how == "experts":
        return 1.0 if op.component == "experts" else 0.0
    if how == "ops":
        return 0.5
    return 1.0 if how == "full" else 1.0 / int(how)


def _micro_batch(
    stage: StageKept, training: Training, layout: Layout, device: Device, accumulates: bool
) -> tuple[dict[str, float], float]:
    """Seconds of one micro-batch on a stage by what it does, and the least by the datasheet."""
    terms = dict.fromkeys(("products", "experts", "attention", "elementwise", "adapters", "tensor group"), 0.0)
    precision = str(training.states(layout)["compute"])
    generation = generation_of(device)
    moved, launches, bound = 0.0, 0.0, 0.0
    rates: dict[tuple[str, str, bool], tuple[str, float, float]] = {}  # of the few kinds of products there are
    for op in stage.operations:
        if op.phase == "communication":
            terms["tensor group"] += _collective(op, training, device)
            bound += op.count * float(op.writes) * 2 / link_of(device, int(op.groups))
            continue
        runs = passes(op, training)
        launches += op.count * max(op.launches, 1) * runs
        if op.kind in MATMUL_KINDS or op.kind == "scan":
            like = op.kind, op.component, op.step.kernel.endswith(ALIBI)
            if like not in rates:
                rates[like] = _rate_of(op, device, precision, generation, training)
            name, peak, rate = rates[like]
            terms[name] += op.count * float(op.flops) * runs / (peak * rate)
            if name != "attention" and precision in NARROW and training.kernels == "compiled":
                # Transformer Engine casts inside its norms and activations, torchao beside them.
                moved += op.count * (float(op.reads) + float(op.writes) + float(op.weight_reads)) * runs
            bound += op.count * float(op.flops) * (2 if training.frozen else 3) / peak
        else:
            moved += op.count * (float(op.reads) + float(op.writes)) * runs
        if targeted(op, training):
            terms["adapters"] += op.count * _adapter(op, training, device)
            launches += op.count * 12
    bandwidth = device.bandwidth * _rate("memory")
    logits = stage.logits * (22 if training.kernels == "plain" else 14)
    terms["elementwise"] = (moved * _rate(f"elementwise_{training.kernels}") + logits) / bandwidth
    if accumulates and not training.frozen:
        terms["accumulation"] = stage.parameters * (2 * training.states(layout)["gradients"] + 2) / bandwidth
        terms["accumulation"] *= _rate("accumulation")
    if "activations" in training.offloaded:  # there and back, of which what the copies hide runs beside products
        sent = 2 * sum(layer.input if training.recompute == "full" else layer.all for layer in stage.layers)
        terms["offload"] = max(0.0, sent / (device.host_link or HOST_LINK) - _rate("overlap") * sum(terms.values()))
    if training.kernels == "plain":
        busy, host = sum(terms.values()), launches * _rate("launch")
        terms["host"] = float((busy**4 + host**4) ** 0.25 - busy)
    return terms, bound


def _rate_of(
    op: Operation, device: Device, precision: str, generation: str, training: Training
) -> tuple[str, float, float]:
    """An operation's term, the peak of its arithmetic and the part of it that is reached."""
    wide = "bf16" if precision in NARROW else precision
    if op.kind == "attention" and training.attention == "flash":
        kind = "alibi" if op.step.kernel.endswith(ALIBI) else "attention"
        return "attention", device.peak_of(wide), _rate(f"{kind}_{generation}")
    reached = _rate(f"products_{generation}")
    if any(side % 8 for side in (op.step.inputs, op.step.outputs)):
        reached *= _rate("unaligned")
    if op.kind != "matmul" or op.component == "head":
        return "products", device.peak_of(wide), reached  # heads, scores and convolutions stay in 16 bit
    if precision in NARROW:
        reached *= _rate(f"products_{precision}")
    if op.component == "experts":
        return "experts", device.peak_of(precision), reached * _rate("experts")
    return "products", device.peak_of(precision), reached


def _collective(op: Operation, training: Training, device: Device) -> float:
    """Seconds of a collective of the tensor or expert group: forward, backward, and where it is recomputed."""
    times = 2 + (1 if training.recompute == "full" else 0)
    exchanged = op.step.target == "all-to-all"
    rate = link_of(device, int(op.groups)) * _rate("all_to_all" if exchanged else "tensor_link")
    return op.count * times * (float(op.writes) / rate + _rate("hop") * int(op.groups > 1))


def _adapter(op: Operation, training: Training, device: Device) -> float:
    """Seconds of an adapter beside a product: two thin products, and its input and output read and written in its own
    width (PEFT's modules cast to 32 bit and back)."""
    width, runs = training.adapter_bytes, 3.0 + _again(op, training)
    inputs, outputs = float(op.step.inputs), float(op.step.outputs)
    if not (inputs and outputs):
        return 0.0
    rows = float(op.flops) / (2 * inputs * outputs)
    fused = 1.0 if training.kernels == "plain" else 0.15
    moved = rows * (inputs * (2 + 2 * width) + outputs * 7 * width) * fused
    flops = 2 * rows * training.rank * (inputs + outputs)
    peak = device.peak_of("fp32" if width == 4 and training.kernels == "plain" else "bf16")
    return runs * (moved / (device.bandwidth * _rate("memory")) + flops / peak)


def _between_copies(
    stage: StageKept, training: Training, layout: Layout, device: Device, micro_batches: int, terms: Mapping[str, float]
) -> float:
    """Seconds that collectives between copies take beside the products: gradients once a step, and the weights of
    ZeRO 3 forward and backward of every micro-batch."""
    devices = copies(layout)
    if devices == 1:
        return 0.0
    dense = stage.parameters - stage.experts if expert_copies(layout) == 1 else stage.parameters
    trained = stage.adapters if training.frozen else dense
    if training.zero >= 3:
        width = BASE_FORMATS[training.base_format] if training.method == "qlora" else 2
        size = micro_batches * (2 * width * dense + 2 * trained)
    else:
        size = trained * (training.states(layout)["gradients"] + 2)
    seconds = size * (devices - 1) / devices / (link_of(device, devices * layout.tp) * _rate("link"))
    hidden = _rate("overlap") * sum(terms[name] for name in ("products", "experts", "attention", "elementwise"))
    return max(seconds * (1 - _rate("overlap")), seconds - hidden)


def _update(stage: StageKept, training: Training, layout: Layout, device: Device) -> float:
    """Seconds of the optimizer's step: what it reads and writes, and what the host's memory is sent."""
    trained = stage.adapters if training.frozen else stage.parameters
    shard = trained / (copies(layout) if training.zero >= 1 else 1)
    seconds = shard * 30 / (device.bandwidth * _rate("memory"))
    if {"optimizer", "parameters"} & set(training.offloaded):
        seconds += shard * 24 / (device.host_link or HOST_LINK)  # gradients there, the update in it, weights back
    return seconds


def generation_of(device: Device) -> str:
    """The generation of a device, whose rates are meant."""
    try:
        capability = float(device.capability)
    except ValueError:
        later = [name for name, year in FIRST_YEAR.items() if device.year >= year]
        narrowest = "blackwell" if "nvfp4" in device.peak else "hopper" if "fp8" in device.peak else "ampere"
        return later[-1] if later else narrowest
    return next(name for least, name in GENERATIONS if capability >= least)


def _rate(name: str) -> float:
    return float(tables()["speed"][name]["value"])
