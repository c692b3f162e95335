"""`train`: memory, time and throughput of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.passes.forward import forward
from calculator.record.operation import MATMUL_KINDS
from calculator.record.workload import Workload
from calculator.training.export import exported
from calculator.training.fixes import Change, fixes
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
        attention_flops: of `flops`, those of attention. six_n: by the rule of thumb of 6·N a token, of the active
            parameters without the embedding.
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
    attention_flops: float
    six_n: float
    device: Device | None = field(repr=False, default=None)
    step_time: StepTime | None = None

    @property
    def fullest(self) -> StageMemory:
        """The stage with the peak."""
        return max(self.stages, key=lambda stage: stage.peak)

    @property
    def events(self) -> tuple[Event, ...]:
        """The moments of a step on the fullest device."""
        return self.fullest.events

    @property
    def states(self) -> int:
        """Bytes that live through the step: weights, optimizer, master copies, gradients."""
        held = self.fullest.states
        return int(held.total + held.gradients)

    @property
    def activations(self) -> int:
        """Bytes kept for the backward pass on the fullest device."""
        return int(self.fullest.activations)

    @property
    def transients(self) -> int:
        """Bytes of the peak's event that are neither states nor activations."""
        states = ("weights", "optimizer", "adapters", "gradients", "activations")
        return int(sum(size for name, size in self.fullest.peak_event.terms.items() if name not in states))

    @property
    def fits(self) -> bool | None:
        """Whether the fullest device holds it; None without a device."""
        return None if self.device is None else self.required <= self.device.memory

    @property
    def short_by(self) -> int:
        """Bytes that are missing, 0 where it fits or no device is named."""
        return max(0, self.required - self.device.memory) if self.device is not None else 0

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of the whole cluster; None without a device."""
        return self.tokens / self.step_time.expected if self.step_time else None

    def _utilisation(self, flops: float) -> float | None:
        if self.step_time is None or self.device is None:
            return None
        peak = self.device.peak_of(str(self.training.states(self.layout)["compute"]))
        return flops / (self.step_time.expected * peak * self.layout.devices)

    @property
    def mfu(self) -> float | None:
        """Share of the devices' peak that the model's FLOPs make up, recomputation left out; None without a device."""
        return self._utilisation(self.flops)

    @property
    def hfu(self) -> float | None:
        """Share of the devices' peak that all FLOPs make up, recomputation among them; None without a device."""
        return self._utilisation(self.hardware_flops)

    @property
    def fixes(self) -> tuple[Change, ...]:
        """Changes of the recipe that make it fit, the least costly first, each tried."""
        return fixes(self) if self.fits is False else ()

    def with_(self, **changes: Any) -> Trained:
        """The same step with another recipe: its fields as keywords."""
        return train(
            self.model,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            device=self.device,
            layout=self.layout,
            training=self.training.with_(**changes),
            micro_batches=self.micro_batches,
        )

    @cached_property
    def full_attention(self) -> float:
        """FLOPs of the attention of a step if every token attended to all of its sequence, forward and backward."""
        workload = Workload(mode="pretraining", attention_flops="full")
        listed = forward(self.model, workload, 1, self.sequence_length)
        once = sum(float(op.flops) * op.count for op in listed if op.kind == "attention")
        return 3 * once * self.tokens / self.sequence_length

    @property
    def palm(self) -> float:
        """FLOPs by 6·N + 12·L·H·Q·T (arXiv:2204.02311, appendix B)."""
        return self.six_n + self.full_attention

    def flops_by(self, convention: str) -> float:
        """FLOPs of a step as a source counts them: "model" (causal attention), "full" attention, "hardware" (with what
        is computed again), "6n", "palm".

        Raises:
            WorkloadError: no such convention.
        """
        counted = {"model": self.flops, "hardware": self.hardware_flops, "6n": self.six_n}
        if convention == "palm":
            return self.palm
        if convention == "full":
            return self.flops - self.attention_flops + self.full_attention * (2 / 3 if self.training.frozen else 1)
        if convention not in counted:
            raise WorkloadError(f"FLOPs by {convention!r} are not known; choose model, full, hardware, 6n or palm.")
        return counted[convention]

    def utilisation(self, convention: str = "model") -> float | None:
        """Part of the devices' peak that a step reaches, its FLOPs counted so."""
        return self._utilisation(self.flops_by(convention))

    def days(self, tokens: float) -> float | None:
        """Days for so many tokens."""
        rate = self.tokens_per_second
        return tokens / rate / 86400 if rate else None

    def export(self, framework: str) -> str:
        """The recipe for "torchtitan", "deepspeed", "megatron", "axolotl" or "trl".

        Raises:
            WorkloadError: no such framework, or one that does not run such a recipe.
        """
        return exported(self, framework)

    def energy(self, tokens: float) -> float | None:
        """Kilowatt-hours for so many tokens, every device at its thermal design power."""
        days = self.days(tokens)
        return days * 24 * self.device.watts * self.layout.devices / 1e3 if days and self.device else None

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
    if chosen.sequence_parallel and not placed_on.sequence_parallel:
        placed_on = replace(placed_on, sequence_parallel=True)
    card = None if device is None else device_named(device)
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
    held = tuple(
        _memory(i, stage, model, chosen, placed_on, micro_batches, len(listed)) for i, stage in enumerate(listed)
    )
    peak = max(stage.peak for stage in held)
    required, reserved, shown = allowances(peak, card)
    tokens = batch_size * sequence_length * micro_batches * placed_on.dp
    flops, hardware, attention = _flops(listed, chosen, placed_on, micro_batches)
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
        attention,
        6.0 * n * tokens,
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


def _flops(
    listed: list[StageKept], training: Training, layout: Layout, micro_batches: int
) -> tuple[float, float, float]:
    """Matrix FLOPs of a step on all devices: what the model needs, what they compute, and what attention needs."""
    needed = computed = attention = 0.0
    for stage in listed:
        for op in stage.operations:
            if op.kind in MATMUL_KINDS and op.phase != "communication":
                once = float(op.flops) * op.count
                needed += once * (2 if training.frozen else 3)
                computed += once * passes(op, training)
                attention += once * (2 if training.frozen else 3) if op.kind == "attention" else 0.0
    each = micro_batches * layout.tp * layout.cp * layout.dp
    return needed * each, computed * each, attention * each
