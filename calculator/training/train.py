"""`train`: memory, time and throughput of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.record.operation import MATMUL_KINDS
from calculator.training.recipe import Training, tables
from calculator.training.shown import TrainedShown
from calculator.training.speed import StepTime, passes, step_time
from calculator.training.stage import StageKept, stages
from calculator.training.timeline import Event, States, events


@dataclass(frozen=True)
class StageMemory:
    """A pipeline stage: what lives through the step, its events, and the largest of them."""

    index: int
    states: States
    events: tuple[Event, ...]
    activations: float

    @property
    def peak(self) -> int:
        """Bytes allocated at most."""
        return int(max(event.total for event in self.events))

    @property
    def peak_event(self) -> Event:
        """The event that holds most."""
        return max(self.events, key=lambda event: event.total)


@dataclass(frozen=True, repr=False)
class Trained(TrainedShown):
    """A training step.

    Attributes:
        peak: bytes allocated at most, on the fullest device. required: what the device must have for it, with the
            fragments that the allocator cannot use and the context. reserved: with what the allocator holds beside
            where there is room; device_memory: with the context, as nvidia-smi counts. stages: of the pipeline.
        events, states: of the stage with the peak. activations, transients: bytes of the peak's event.
        fits: whether `required` is within the device; None without one.
        step_time: seconds; tokens_per_second: of the whole job; mfu, hfu: model and hardware FLOPs over the peak.
        flops: of a step on all devices, as the model needs them; hardware_flops: with what is computed again.
        six_n, palm: the same by the rules of thumb 6·N and 6·N + 12·L·H·Q·T (arXiv:2204.02311).
        fixes: what makes it fit, the cheapest first.
    """

    model: Model = field(repr=False)
    training: Training
    layout: Layout
    batch_size: int
    sequence_length: int
    micro_batches: int
    peak: int
    required: int
    reserved: int
    device_memory: int
    stages: tuple[StageMemory, ...] = field(repr=False)
    tokens: int
    flops: float
    hardware_flops: float
    six_n: float
    palm: float
    device: Device | None = field(repr=False, default=None)
    step_time: StepTime | None = None

    @property
    def fullest(self) -> StageMemory:
        """The stage with the peak."""
        return max(self.stages, key=lambda stage: stage.peak)

    @property
    def events(self) -> tuple[Event, ...]:
        return self.fullest.events

    @property
    def states(self) -> int:
        """Bytes that live through the step: weights, optimizer, master copies, gradients."""
        held = self.fullest.states
        return int(held.total + held.gradients)

    @property
    def activations(self) -> int:
        return int(self.fullest.activations)

    @property
    def transients(self) -> int:
        """Bytes of the peak's event that are neither states nor activations."""
        states = ("weights", "optimizer", "adapters", "gradients", "activations")
        return int(sum(size for name, size in self.fullest.peak_event.terms.items() if name not in states))

    @property
    def fits(self) -> bool | None:
        return None if self.device is None else self.required <= self.device.memory

    @property
    def short_by(self) -> int:
        """Bytes that are missing, 0 where it fits or no device is named."""
        return max(0, self.required - self.device.memory) if self.device is not None else 0

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.step_time.expected if self.step_time else None

    def _utilisation(self, flops: float) -> float | None:
        if self.step_time is None or self.device is None:
            return None
        peak = self.device.peak_of(str(self.training.states(self.layout)["compute"]))
        return flops / (self.step_time.expected * peak * self.layout.devices)

    @property
    def mfu(self) -> float | None:
        return self._utilisation(self.flops)

    @property
    def hfu(self) -> float | None:
        return self._utilisation(self.hardware_flops)

    @property
    def fixes(self) -> tuple[tuple[str, int], ...]:
        """Changes of the recipe that make it fit, the least costly first, each tried, with the peak they give."""
        if self.fits is not False:
            return ()
        return _fixes(self)

    def days(self, tokens: float) -> float | None:
        """Days for so many tokens."""
        rate = self.tokens_per_second
        return tokens / rate / 86400 if rate else None

    def cost(self, tokens: float, price: float | None = None) -> float | None:
        """US dollars for so many tokens, at a price an hour and device."""
        days, hourly = self.days(tokens), price if price is not None else self.device.price if self.device else 0
        return days * 24 * hourly * self.layout.devices if days and hourly else None

    @property
    def chinchilla_tokens(self) -> int:
        """About twenty tokens a parameter (arXiv:2203.15556)."""
        return 20 * self.model.parameters.total


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
    numbers = {"batch_size": batch_size, "sequence_length": sequence_length, "micro_batches": micro_batches}
    for what, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
            raise WorkloadError(f"{what} must be a whole number from 1 to 1,000,000,000, not {value!r}.")
    chosen = (training or Training()).with_(**recipe) if recipe else training or Training()
    placed_on = layout or Layout(dp=devices or 1)
    if devices is not None and placed_on.devices != devices:
        raise WorkloadError(f"The layout is of {placed_on.devices} devices, not of {devices}.")
    card = None if device is None else device_named(device)
    listed = stages(model, chosen, placed_on, batch_size, sequence_length)
    held = tuple(
        _memory(i, stage, model, chosen, placed_on, micro_batches, len(listed)) for i, stage in enumerate(listed)
    )
    peak = max(stage.peak for stage in held)
    required, reserved, shown = allowances(peak, card)
    tokens = batch_size * sequence_length * micro_batches * placed_on.dp
    flops, hardware = _flops(listed, chosen, placed_on, micro_batches)
    n = model.parameters.active - model.parameters.embedding
    time = None if card is None else step_time(listed, chosen, placed_on, card, micro_batches)
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
        6.0 * n * tokens,
        6.0 * n * tokens + 12.0 * model.layers * model.hidden_size * sequence_length * tokens,
        card,
        time,
    )


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


def _flops(listed: list[StageKept], training: Training, layout: Layout, micro_batches: int) -> tuple[float, float]:
    """Matrix FLOPs of a step on all devices: what the model needs, and what the devices compute."""
    needed = computed = 0.0
    for stage in listed:
        for op in stage.operations:
            if op.kind in MATMUL_KINDS and op.phase != "communication":
                once = float(op.flops) * op.count
                needed += once * (2 if training.frozen else 3)
                computed += once * passes(op, training)
    each = micro_batches * layout.tp * layout.cp * layout.dp
    return needed * each, computed * each


CHEAPEST: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a fused loss", {"loss": "fused"}),
    ("compiled kernels", {"kernels": "compiled"}),
    ("a fused optimizer", {"optimizer": "adamw-fused"}),
    ("8-bit AdamW", {"optimizer": "adamw-8bit"}),
    ("selective recomputation", {"recompute": "selective"}),
    ("recomputing every second product", {"recompute": "ops"}),
    ("full recomputation", {"recompute": "full"}),
    ("ZeRO 1", {"zero": 1}),
    ("ZeRO 2", {"zero": 2}),
    ("ZeRO 3", {"zero": 3}),
    ("full recomputation and a fused loss", {"recompute": "full", "loss": "fused"}),
    ("ZeRO 3 with full recomputation and a fused loss", {"zero": 3, "recompute": "full", "loss": "fused"}),
    ("optimizer states in the host's memory", {"offload": "optimizer", "recompute": "full", "loss": "fused"}),
    ("LoRA of rank 16", {"method": "lora", "recompute": "full", "loss": "fused"}),
    ("QLoRA of rank 16", {"method": "qlora", "recompute": "full", "loss": "fused"}),
)
"""Changes of a recipe, from what costs least time to what changes what is trained."""


def _fixes(found: Trained) -> tuple[tuple[str, int], ...]:
    good = []
    for words, changes in CHEAPEST:
        if "zero" in changes and found.layout.dp * found.layout.cp == 1:
            continue
        if all(getattr(found.training, name) == value for name, value in changes.items()):
            continue
        again = train(
            found.model,
            batch_size=found.batch_size,
            sequence_length=found.sequence_length,
            device=found.device,
            layout=found.layout,
            training=found.training.with_(**changes),
            micro_batches=found.micro_batches,
        )
        if again.fits:
            good.append((words, again.peak))
    return tuple(good)
