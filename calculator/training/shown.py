"""How a training step shows itself in a line and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid, Shown


class TrainedShown(Shown):
    """The tables of `Trained`, whose fields and properties these are."""

    model: Any
    training: Any
    layout: Any
    batch_size: int
    sequence_length: int
    micro_batches: int
    peak: int
    reserved: int
    device_memory: int
    device: Any
    step_time: Any

    def summary(self) -> str:
        """Model, devices and batch; peak, time of a step."""
        on = f" × {self.device.name}" if self.device else (" device" if self.layout.devices == 1 else " devices")
        run = f"micro-batch {self.batch_size:,} × {self.sequence_length:,} tokens"
        time = f", {self.step_time.expected:,.3g} s a step" if self.step_time else ""
        where = f"{self.model.name}, {self.training.method}, on {self.layout.devices}{on}, {run}"
        return f"{where}: peak {units.gib(self.peak)}{time}"

    def blocks(self) -> Sequence[Block]:
        """What was asked, memory at the peak, throughput."""
        shown: Any = self
        facts = [("precision", str(self.training.precision)), ("micro-batches", f"{self.micro_batches:,}")]
        if self.device is not None:
            facts.append(("fits", "yes" if shown.fits else f"no, short by {units.gib(shown.short_by)}"))
        if self.step_time is not None:
            t = self.step_time
            facts.append(
                ("step", f"{t.expected:,.3g} s ({t.low:,.3g} to {t.high:,.3g}; at least {t.lower_bound:,.3g})")
            )
            facts.append(("throughput", f"{shown.tokens_per_second:,.0f} tokens/s, MFU {shown.mfu:.1%}"))
        held = [
            ("States", units.gib(shown.states)),
            ("Activations", units.gib(shown.activations)),
            ("Transients of the peak", units.gib(shown.transients)),
            ("Allocated at most", units.gib(self.peak)),
            ("Reserved", units.gib(self.reserved)),
            ("As nvidia-smi counts", units.gib(self.device_memory)),
        ]
        return [Facts(self.summary(), facts), Grid("Memory of the fullest device", ("Part", "Size"), held)]
