"""What a training step computes by each convention, and what a budget of tokens takes."""

from __future__ import annotations

from functools import cached_property

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.passes.forward import forward
from calculator.record.workload import Workload
from calculator.training.recipe import Training
from calculator.training.speed import StepTime

CHINCHILLA = 20  # tokens a parameter (arXiv:2203.15556, table 3)


class Counted:
    """FLOPs, rates and budgets of `Trained`, whose fields these are."""

    model: Model
    training: Training
    layout: Layout
    sequence_length: int
    tokens: int
    flops: float
    hardware_flops: float
    attention_flops: float
    six_n: float
    device: Device | None
    step_time: StepTime | None

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
        """Tokens that make best use of the FLOPs for a model of this size: about twenty a parameter."""
        return CHINCHILLA * self.model.parameters.total
