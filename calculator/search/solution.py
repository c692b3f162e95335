"""What `solve` answers with: layouts that fit, the best first, and what the nearest lack where none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calculator.engines.memory.ask import LARGEST, layout_counts
from calculator.engines.memory.fit import Fit
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.numbers.units import seconds, several

GOALS = {
    "max-batch": "sequences of max_model_len tokens at once",
    "max-context": "tokens of the longest sequence, with `concurrency` of them at once",
    "max-concurrency": "users at once within the latency targets",
    "min-devices": "devices that hold `concurrency` sequences of max_model_len tokens",
    "cheapest": "dollars an hour for devices that hold them",
}
"""Goal -> what its value counts."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One layout of one device, asked.

    Attributes:
        value: what the goal counts. ttft, tpot: expected seconds, where a target was given; late: the time that misses
            its target by most over that target.
    """

    value: float
    fit: Fit
    ttft: float | None = None
    tpot: float | None = None
    late: float = 0.0

    @property
    def devices(self) -> int:
        """Devices of the layout."""
        return self.fit.layout.devices

    def row(self) -> dict[str, Any]:
        """The candidate as a table's row."""
        return {
            "device": self.fit.device.id,
            "devices": self.devices,
            **layout_counts(self.fit.layout),
            "value": self.value,
            "cache_tokens": self.fit.cache_tokens,
            "sequences": sequences(self.fit),
            "ttft": self.ttft,
            "tpot": self.tpot,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Shown):
    """The answer to a goal.

    Attributes:
        model, goal: what was asked. candidates: every layout that fits, the best first.
        asked: how many layouts were tried. nearest: where none fits, the fit that lacks the least. late: where some fit
            and none keeps the targets of time, the one that misses them by the least.
    """

    model: Model
    goal: str
    candidates: tuple[Candidate, ...]
    asked: int
    nearest: Fit | None = None
    late: Candidate | None = None

    @property
    def best(self) -> Candidate | None:
        """The candidate with the fewest devices, None where none fits."""
        return self.candidates[0] if self.candidates else None

    @property
    def value(self) -> float | None:
        """What the goal counts, None where nothing fits."""
        return self.best.value if self.best else None

    @property
    def layout(self) -> Any:
        """The best candidate's layout, None where none fits."""
        return self.best.fit.layout if self.best else None

    @property
    def device(self) -> Device | None:
        """The best candidate's device, None where none fits."""
        return self.best.fit.device if self.best else None

    @property
    def fit(self) -> Fit | None:
        """What stands in the best candidate's memory; where there is none, in the nearest one's."""
        found = self.best or self.late
        return found.fit if found else self.nearest

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        best = self.best
        if best is None:
            if self.late is not None:
                return (
                    f"None of {self.asked:,} layouts of {self.model.name} keeps the targets of time. The nearest, "
                    f"{_where(self.late)}, takes {_times(self.late)}."
                )
            if self.nearest is None:
                return f"No layout of {self.model.name} was possible."
            if self.nearest.fits:
                where, held = _where(Candidate(0, self.nearest)), sequences(self.nearest)
                return (
                    f"None of {self.asked:,} layouts of {self.model.name} runs so many sequences at once. The nearest, "
                    f"{where}, runs {held:,}, which is the engine's limit."
                )
            return f"None of {self.asked:,} layouts fits. The nearest: {self.nearest.verdict}"
        where = _where(best)
        if self.goal == "min-devices":
            many = sequences(best.fit)
            said = "1 sequence then fits" if many == 1 else f"{many:,} sequences then fit"
            return f"{self.model.name} needs {where}; {said}."
        if self.goal == "cheapest":
            return f"{self.model.name} costs least on {where}: ${best.value:,.2f} an hour at list prices."
        if self.goal == "max-context" and best.value >= LARGEST - 1:
            return f"{self.model.name} on {where}: any number of tokens, because what it keeps does not grow with them."
        named = {"max-batch": "sequences", "max-context": "tokens of context", "max-concurrency": "users"}[self.goal]
        return f"{self.model.name} on {where}: {several(best.value, named, ',.0f')}."

    def summary(self) -> str:
        """The verdict."""
        return self.verdict

    def blocks(self) -> Sequence[Block]:
        """The verdict, and the ten best layouts."""
        named = ("device", "devices", "tp", "pp", "dp", "ep", "attention_dp", "value", "sequences")
        lines = [tuple(f"{v:,.6g}" if not isinstance(v := r[n], str) else v for n in named) for r in self.rows()[:10]]
        titles = tuple(n.replace("_", " ") for n in named)
        return [Facts(self.verdict, [("layouts tried", f"{self.asked:,}")]), Grid(GOALS[self.goal], titles, lines)]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each layout that fits, the best first."""
        return [candidate.row() for candidate in self.candidates]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.name,
            "goal": self.goal,
            "value": self.value,
            "unit": GOALS[self.goal],
            "verdict": self.verdict,
            "asked": self.asked,
            "layouts": self.rows(),
            "fit": self.fit.to_dict() if self.fit else None,
        }


def sequences(found: Fit) -> int:
    """Sequences that all replicas hold together."""
    return found.sequences * found.layout.dp * found.layout.attention_dp


def _where(found: Candidate) -> str:
    """Its devices and their layout."""
    counts = {k: v for k, v in layout_counts(found.fit.layout).items() if v > 1}
    words = ", ".join(f"{k.replace('_', ' ').upper()} {v}" for k, v in counts.items()) or "one device"
    return f"{found.devices} × {found.fit.device.name} ({words})"


def _times(found: Candidate) -> str:
    """Its expected times, and of how many users."""
    users = f"{found.value:,.0f} user{'' if found.value == 1 else 's'}"
    first, each = seconds(found.ttft or 0), seconds(found.tpot or 0)
    return f"{first} to the first token and {each} for each further one with {users}"
