"""A training step, answered: memory by stage and event, verdict, fixes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.training.counted import Counted
from calculator.training.export import exported
from calculator.training.fixes import Change, fixes, savings
from calculator.training.recipe import Training
from calculator.training.shown import TrainedShown
from calculator.training.speed import StepTime
from calculator.training.timeline import Event, States
from calculator.training.verdict import verdict


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
class Trained(TrainedShown, Counted):
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
        fixes: what makes it fit, the cheapest first. again: the same step with another recipe.
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
    again: Callable[[Training, Trained], Trained] = field(repr=False, kw_only=True)

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
    def fixes(self) -> tuple[Change, ...]:
        """Changes of the recipe that make it fit, the least costly first, each tried."""
        return fixes(self) if self.fits is False else ()

    @property
    def savings(self) -> tuple[Change, ...]:
        """What single changes of the recipe save, whether or not one is enough, the largest first."""
        return savings(self)

    @property
    def verdict(self) -> str:
        """Whether it fits, what it needs, and the cheapest change that makes it fit, in a sentence."""
        return verdict(self)

    def with_(self, **changes: Any) -> Trained:
        """The same step with another recipe: its fields as keywords."""
        return self.again(self.training.with_(**changes), self)

    def export(self, framework: str) -> str:
        """The recipe for "torchtitan", "deepspeed", "megatron", "axolotl" or "trl".

        Raises:
            WorkloadError: no such framework, or one that does not run such a recipe.
        """
        return exported(self, framework)
