"""How a deployment shows itself in a line and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.serving.efficiency import TITLES
from calculator.serving.seconds import UNMEASURED


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
    per_device: float
    per_user: float
    cost_per_million_tokens: float | None
    joules_per_token: float | None

    def summary(self) -> str:
        """Model, devices and engine; first token, tokens after it, throughput."""
        where = f"{self.model.name} on {self.layout.devices} × {self.device.name}, {TITLES[self.engine]}"
        if not self.fits:
            return f"{where}: does not fit"
        times = f"first token {milliseconds(self.ttft.expected)}, then {milliseconds(self.tpot.expected)} each"
        waiting = "" if self.batch * self.layout.dp >= self.concurrency else f"; {self.batch:,} run at once"
        return f"{where}: {times}, {self.output_tokens_per_second:,.0f} tokens/s{waiting}"

    def rows(self) -> list[dict[str, Any]]:
        """A row for each figure: quantity, value, unit; of times also lower_bound, low and high, None elsewhere."""
        times = (("first_token", self.ttft), ("each_token_after", self.tpot), ("whole_answer", self.end_to_end))
        kinds = ("lower_bound", "low", "high")
        found = [
            {"quantity": name, "value": t.expected, "unit": "s", **{k: getattr(t, k) for k in kinds}}
            for name, t in times
        ]
        figures = (
            ("users", self.concurrency, "sequences"),
            ("at_once_on_one_copy", self.batch, "sequences"),
            ("output", self.output_tokens_per_second, "tokens/s"),
            ("output_per_device", self.per_device, "tokens/s"),
            ("output_per_user", self.per_user, "tokens/s"),
            ("cost_of_a_million_output_tokens", self.cost_per_million_tokens, "US$"),
            ("energy_of_an_output_token", self.joules_per_token, "J"),
        )
        none = dict.fromkeys(kinds)
        found += [{"quantity": n, "value": v, "unit": unit, **none} for n, v, unit in figures if v is not None]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        return {
            "model": self.model.name,
            "device": self.device.id,
            "layout": asdict(self.layout),
            "engine": self.engine,
            "fits": self.fits,
            "verdict": self.summary(),
            "measured": self.tpot.measured,
            "numbers": self.rows(),
            "memory": dict(self.memory),
        }

    def blocks(self) -> Sequence[Block]:
        """What was asked, times with their ranges, memory of the fullest device."""
        dollars = "" if self.cost_per_million_tokens is None else f"${self.cost_per_million_tokens:,.2f}"
        facts = [
            ("fits", "yes" if self.fits else "no"),
            ("sequences", f"{self.concurrency:,} asked for, {self.batch:,} at once on one copy"),
            ("output", f"{self.output_tokens_per_second:,.0f} tokens/s"),
            *([("a million output tokens", dollars)] if dollars else []),
            *([] if self.tpot.measured else [("range", UNMEASURED)]),
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
