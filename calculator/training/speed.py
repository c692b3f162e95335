"""How long a training step takes: products, attention, elementwise steps, collectives, the bubble, the update."""

from __future__ import annotations

from dataclasses import dataclass

from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.record.operation import MATMUL_KINDS, Operation
from calculator.serving.efficiency import link_of
from calculator.training.recipe import Training, tables
from calculator.training.stage import StageKept

BACKWARD_ATTENTION = 2.5  # of the forward pass: five products of flash attention's backward, of which one is recomputed
HOPPER = 9.0  # compute capability


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: no device is faster than `lower_bound` by its datasheet; 8 of 10 measured runs lie between
    `low` and `high`."""

    lower_bound: float
    expected: float
    low: float
    high: float


RANGE = (0.8, 1.3)


def step_time(
    stages: list[StageKept], model: Model, training: Training, layout: Layout, device: Device, micro_batches: int
) -> StepTime:
    """The time of a step of so many micro-batches on the slowest stage."""
    found = [_stage_time(stage, training, layout, device) for stage in stages]
    slowest, bound = max(t for t, _ in found), max(b for _, b in found)
    bubble = 1 + (layout.pp - 1) / (micro_batches * layout.interleave)
    copies = layout.dp * layout.cp
    parameters = max(stage.parameters for stage in stages)
    trained = max(stage.adapters for stage in stages) if training.frozen else parameters
    exposed = 0.0
    if copies > 1:
        rate = link_of(device, copies * layout.tp) * _rate("link")
        moved = (3 * 2 * parameters * micro_batches if training.zero >= 3 else 2 * 2 * trained) / rate
        exposed = max(moved * (1 - _rate("overlap")), moved - _rate("overlap") * micro_batches * slowest)
    shards = copies if training.zero >= 1 else 1
    update = trained * 30 / shards / (device.bandwidth * _rate("memory"))
    expected = micro_batches * slowest * bubble + exposed + update
    low, high = (expected * s for s in RANGE)
    least = micro_batches * bound * bubble
    return StepTime(least, max(expected, least), max(low, least), max(high, least))


def passes(op: Operation, training: Training) -> float:
    """How often the arithmetic of an operation runs in a step: forward, twice backward, and again where it is
    recomputed; of a frozen base only the input's gradient."""
    again = {"none": 0.0, "selective": 0.0, "ops": 0.5, "full": 1.0}.get(str(training.recompute))
    if again is None:
        again = 1.0 / int(training.recompute)
    if not op.span.layers:
        again = 0.0
    elif training.recompute == "selective" and op.kind == "attention":
        again = 1.0
    if op.kind == "attention" and training.attention == "flash":
        return 1 + BACKWARD_ATTENTION + again
    return 1 + (1 if training.frozen else 2) + again


def _stage_time(stage: StageKept, training: Training, layout: Layout, device: Device) -> tuple[float, float]:
    precision = str(training.states(layout)["compute"])
    hopper = _capability(device) >= HOPPER
    rates = _rate("products"), _rate("attention_hopper" if hopper else "attention")
    expected = bound = 0.0
    for op in stage.operations:
        count = op.count
        if op.phase == "communication":
            rate = link_of(device, int(op.groups))
            times = 2 + (1 if training.recompute == "full" else 0)
            expected += count * float(op.writes) * times / (rate * _rate("link"))
            bound += count * float(op.writes) * 2 / rate
            continue
        runs = passes(op, training)
        if op.kind in MATMUL_KINDS or op.kind == "scan":
            head = op.component == "head"
            peak = device.peak_of("bf16" if head and precision != "fp32" else precision)
            reached = peak * rates[1 if op.kind == "attention" else 0]
            if op.kind == "attention":
                peak = device.peak_of("bf16")
                reached = peak * rates[1]
            elif precision == "fp8" and not head:
                reached *= _rate("products_fp8")
            if op.component == "experts":
                reached *= _rate("experts")
            expected += count * float(op.flops) * runs / reached
            bound += count * float(op.flops) * (2 if training.frozen else 3) / peak
        else:
            moved = (float(op.reads) + float(op.writes)) * runs
            expected += count * moved / (device.bandwidth * _rate("memory"))
    expected += stage.logits * 22 / (device.bandwidth * _rate("memory"))
    return expected, bound


def _rate(name: str) -> float:
    return float(tables()["speed"][name]["value"])


def _capability(device: Device) -> float:
    try:
        return float(device.capability)
    except ValueError:
        return HOPPER if device.year >= 2023 else 8.0
