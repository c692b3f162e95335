"""`train`: memory, time and throughput of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.errors import WorkloadError, needs
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.record.operation import MATMUL_KINDS
from calculator.training.possible import check
from calculator.training.recipe import Training, tables
from calculator.training.result import StageMemory, Trained
from calculator.training.speed import passes, step_time
from calculator.training.stage import StageKept, stages
from calculator.training.timeline import events


def train(
    model: Model,
    *,
    batch_size: int = 1,
    sequence_length: int = 4096,
    devices: int | None = None,
    device: str | Device | Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    training: Training | None = None,
    micro_batches: int = 1,
    **recipe: Any,
) -> Trained:
    """A training step of a model.

    Args:
        batch_size: sequences of a micro-batch, on each copy of the model. sequence_length: their tokens.
        devices: all of them; without a layout they are copies of the model. layout: how they divide it.
        device: a name, a Device, or numbers of one's own; without one there is no time and no verdict.
        training: the recipe, or its fields as keywords. micro_batches: of a step.

    Raises:
        CalculatorError: an argument outside what is allowed, or a layout that cannot be.
    """
    needs("train", model, Model)
    needs("train", layout, Layout, optional=True)
    needs("train", training, Training, optional=True)
    numbers = {"batch_size": batch_size, "sequence_length": sequence_length, "micro_batches": micro_batches}
    for what, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
            raise WorkloadError(f"{what} must be a whole number from 1 to 1,000,000,000, not {value!r}.")
    chosen = (training or Training()).with_(**recipe) if recipe else training or Training()
    placed_on = layout or Layout(dp=devices or 1)
    if devices is not None and placed_on.devices != devices:
        raise WorkloadError(f"The layout is of {placed_on.devices} devices, not of {devices}.")
    if chosen.sequence_parallel and not placed_on.sequence_parallel:
        placed_on = replace(placed_on, sequence_parallel=True)
    card = None if device is None else device_named(device)
    check(model, chosen, placed_on, micro_batches)
    listed = stages(model, chosen, placed_on, batch_size, sequence_length)
    return stepped(listed, model, chosen, placed_on, card, (batch_size, sequence_length, micro_batches))


def stepped(
    listed: list[StageKept],
    model: Model,
    chosen: Training,
    placed_on: Layout,
    card: Device | None,
    sizes: tuple[int, int, int],
) -> Trained:
    """The step of stages that are laid out already; sizes are sequences, tokens and micro-batches."""
    batch_size, sequence_length, micro_batches = sizes
    held = memory_of(listed, model, chosen, placed_on, micro_batches)
    peak = max(stage.peak for stage in held)
    required, reserved, shown = allowances(peak, card)
    tokens = batch_size * sequence_length * micro_batches * placed_on.dp
    flops, hardware, attention = _flops(listed, chosen, placed_on, micro_batches)
    n = model.parameters.active - model.parameters.embedding
    time = None if card is None or not card.peak else step_time(listed, chosen, placed_on, card, micro_batches)
    return Trained(
        model,
        chosen,
        placed_on,
        batch_size,
        sequence_length,
        micro_batches,
        peak,
        required,
        reserved,
        shown,
        held,
        tokens,
        flops,
        hardware,
        attention,
        6.0 * n * tokens,
        card,
        time,
        again=_again,
    )


def _again(recipe: Training, step: Trained) -> Trained:
    """The same step with another recipe."""
    return train(
        step.model,
        batch_size=step.batch_size,
        sequence_length=step.sequence_length,
        device=step.device,
        layout=step.layout,
        training=recipe,
        micro_batches=step.micro_batches,
    )


def memory_of(
    listed: list[StageKept], model: Model, chosen: Training, placed_on: Layout, micro_batches: int
) -> tuple[StageMemory, ...]:
    """What each stage holds."""
    count = len(listed)
    return tuple(_memory(i, stage, model, chosen, placed_on, micro_batches, count) for i, stage in enumerate(listed))


def allowances(peak: int, device: Device | None) -> tuple[int, int, int]:
    """Bytes that a peak of allocated ones requires, that the allocator then reserves, and that nvidia-smi shows: cached
    blocks are given back where a device is nearly full."""
    row = tables()["allowance"]
    required = int(peak * row["fragments"]) + int(row["context"])
    reserved = int(peak * row["reserved"])
    if device is not None and required <= device.memory:
        reserved = min(reserved, device.memory - int(row["context"]))
    return required, reserved, reserved + int(row["context"])


def _memory(
    index: int, stage: StageKept, model: Model, training: Training, layout: Layout, micro_batches: int, count: int
) -> StageMemory:
    held, listed = events(
        stage,
        model,
        training,
        layout,
        in_flight=in_flight(index, count, layout.interleave, micro_batches),
        accumulates=micro_batches > 1,
    )
    kept = max(event.terms.get("activations", 0.0) for event in listed)
    return StageMemory(index, held, listed, kept)


def in_flight(stage: int, stages: int, interleave: int, micro_batches: int) -> float:
    """Micro-batches whose activations a stage of one-forward-one-backward holds (arXiv:2104.04473): those on their way
    to the last stage and back; with v virtual stages p·(1 + (p − 1)/(p·v)) on the first."""
    if stages == 1:
        return 1.0
    if interleave == 1:
        return float(min(stages - stage, micro_batches))
    return min(stages * (1 + (stages - 1) / (stages * interleave)) - stage, float(micro_batches))


def _flops(
    listed: list[StageKept], training: Training, layout: Layout, micro_batches: int
) -> tuple[float, float, float]:
    """Matrix FLOPs of a step on all devices: what the model needs, what they compute, and what attention needs."""
    needed = computed = attention = 0.0
    for stage in listed:
        for op in stage.operations:
            if op.kind in MATMUL_KINDS and op.phase != "communication":
                once = float(op.flops) * op.count
                computed += once * passes(op, training)
                masked = op.kind == "attention" and training.attention == "eager"
                least = once * (2 if training.frozen else 3) / (2 if masked else 1)
                needed += least
                attention += least if op.kind == "attention" else 0.0
    each = micro_batches * layout.tp * layout.cp * layout.dp
    return needed * each, computed * each, attention * each
