"""How a deployment shows itself in a line and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid, Shown


class ServingShown(Shown):
    """The tables of `Serving`, whose fields these are."""

    model: Any
    device: Any
    layout: Any
    engine: str
    concurrency: int
    batch: int
    ttft: Any
    tpot: Any
    end_to_end: Any
    output_tokens_per_second: float
    fits: bool
    memory: Mapping[str, int]
    cost_per_million_tokens: float | None

    def summary(self) -> str:
        """Model, devices and engine; first token, tokens after it, throughput."""
        where = f"{self.model.name} on {self.layout.devices} × {self.device.name}, {self.engine}"
        if not self.fits:
            return f"{where}: does not fit"
        times = f"first token {milliseconds(self.ttft.expected)}, then {milliseconds(self.tpot.expected)} each"
        return f"{where}: {times}, {self.output_tokens_per_second:,.0f} tokens/s"

    def blocks(self) -> Sequence[Block]:
        """What was asked, times with their ranges, memory of the fullest device."""
        dollars = "" if self.cost_per_million_tokens is None else f"${self.cost_per_million_tokens:,.2f}"
        facts = [
            ("fits", "yes" if self.fits else "no"),
            ("sequences", f"{self.concurrency:,} asked for, {self.batch:,} at once on one copy"),
            ("output", f"{self.output_tokens_per_second:,.0f} tokens/s"),
            *([("a million output tokens", dollars)] if dollars else []),
        ]
        names = (("First token", self.ttft), ("Each token after", self.tpot), ("Whole answer", self.end_to_end))
        times = [(name, *(milliseconds(v) for v in (t.lower_bound, t.expected, t.low, t.high))) for name, t in names]
        held = [(part.replace("_", " ").capitalize(), units.gib(size)) for part, size in self.memory.items()]
        return [
            Facts(self.summary(), facts),
            Grid("Time", ("", "At least", "Expected", "From", "To"), times),
            Grid("Memory of the fullest device", ("Part", "Size"), held),
        ]


def milliseconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1e3:,.3g} ms"
