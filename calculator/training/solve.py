"""The questions of training turned round: the best layout of a cluster, the smallest or the cheapest cluster for a job,
the largest micro-batch, the longest sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from calculator.errors import WorkloadError, choose, needs
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.hardware import devices as devices_known
from calculator.model import Model
from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.parallel.layout import Layout
from calculator.training.recipe import Training
from calculator.training.result import Trained
from calculator.training.search import fewest, largest_batch, longest, plans
from calculator.training.train import train
from calculator.training.verdict import budget, recipe, verdict, where

GOALS = {
    "fastest": "tokens a second of all devices",
    "min-devices": "devices that hold the job",
    "cheapest": "dollars for the tokens at list prices",
    "max-batch": "sequences of a micro-batch",
    "max-context": "tokens of the longest sequence",
}
"""Goal -> what its value counts."""
PRETRAINING = {"precision": "bf16-mixed", "kernels": "fused"}  # what frameworks that divide a model run


@dataclass(frozen=True, repr=False)
class TrainingSolution(Shown):
    """The answer to a goal.

    Attributes:
        plans: what fits, the best first. nearest: what was asked, where nothing does. tokens: of the budget.
    """

    model: Model = field(repr=False)
    goal: str
    plans: tuple[Trained, ...]
    tokens: float
    nearest: Trained | None = None

    @property
    def best(self) -> Trained | None:
        """The first of the plans, None where none fits."""
        return self.plans[0] if self.plans else None

    @property
    def value(self) -> float | None:
        """What the goal counts, None where nothing fits."""
        return self._value(self.best) if self.best else None

    def _value(self, step: Trained) -> float:
        found = {
            "fastest": step.tokens_per_second,
            "min-devices": step.layout.devices,
            "cheapest": step.cost(self.tokens),
            "max-batch": step.batch_size,
            "max-context": step.sequence_length,
        }[self.goal]
        return float(found or 0)

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two."""
        best = self.best
        if best is None:
            return verdict(self.nearest) if self.nearest else f"No layout that was tried holds {self.model.name}."
        how = f"{where(best)} ({recipe(best)})"
        if self.goal in ("max-batch", "max-context"):
            many = "1 sequence" if best.batch_size == 1 else f"{best.batch_size:,} sequences"
            what = f"micro-batches of {many} of {best.sequence_length:,} tokens"
            return f"{self.model.name} trains with {what} at the most on {how}: {units.size(best.required)}."
        words = {"fastest": "trains fastest", "min-devices": "needs at least", "cheapest": "trains cheapest"}[self.goal]
        on = "on " if self.goal != "min-devices" else ""
        rate = f"about {best.tokens_per_second:,.0f} tokens/s, MFU {best.mfu:.0%}"
        return f"{self.model.name} {words} {on}{how}: {rate}. {budget(best, self.tokens)}"

    def summary(self) -> str:
        """The verdict."""
        return self.verdict

    def blocks(self) -> Sequence[Block]:
        """The verdict, and the ten best plans."""
        lines = [
            (recipe(step), f"{row['devices']:,} × {row['device']}", *_figures(row))
            for row, step in zip(self.rows()[:10], self.plans, strict=False)
        ]
        facts = Facts(self.verdict, [("goal", GOALS[self.goal]), ("plans that fit", f"{len(self.plans):,}")])
        columns = ("Plan", "Devices", "Memory", "Tokens/s", "MFU")
        return [facts, Grid("Plans", columns, lines, left=2)] if lines else [facts]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each plan, the best first; bytes, seconds and tokens."""
        return [self._row(step) for step in self.plans]

    def _row(self, step: Trained) -> dict[str, Any]:
        assert step.device is not None
        r, layout = step.training, asdict(step.layout)
        layout.pop("attention_dp")
        return {
            "device": step.device.id,
            "devices": step.layout.devices,
            **layout,
            "zero": r.zero,
            "recompute": r.recompute,
            "precision": r.precision,
            "batch_size": step.batch_size,
            "sequence_length": step.sequence_length,
            "micro_batches": step.micro_batches,
            "value": self._value(step),
            "peak": step.peak,
            "required": step.required,
            "step_seconds": step.step_time.expected if step.step_time else None,
            "tokens_per_second": step.tokens_per_second,
            "mfu": step.mfu,
            "days": step.days(self.tokens),
            "cost": step.cost(self.tokens),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.name,
            "goal": self.goal,
            "value": self.value,
            "unit": GOALS[self.goal],
            "tokens": self.tokens,
            "verdict": self.verdict,
            "plans": self.rows(),
        }


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Memory, throughput and utilisation; without a time of the device no more than the memory."""
    if not row["step_seconds"]:
        return (units.gib(row["required"]), "-", "-")
    return (units.gib(row["required"]), f"{row['tokens_per_second']:,.0f}", f"{row['mfu']:.1%}")


def solve_training(
    model: Model,
    goal: str = "fastest",
    device: str | Device | None = None,
    *,
    devices: int | None = None,
    layout: Layout | None = None,
    batch_size: int = 1,
    sequence_length: int = 4096,
    global_batch: int | None = None,
    tokens: float | None = None,
    training: Training | None = None,
    **given: Any,
) -> TrainingSolution:
    """The best way to train a model, for a goal.

    Args:
        goal: of GOALS. device: for "cheapest" None is every device with a price that trains. devices: how many there
            are; for "min-devices" and "cheapest" how many at the most (4,096). layout: one instead of all, for
            "max-batch" and "max-context". global_batch: sequences of a step.
        tokens: of the budget; by default about twenty a parameter (arXiv:2203.15556).
        training: the recipe, or its fields as keywords. Where neither says the precision, full training takes
            bf16-mixed, as Megatron-LM and torchtitan do.

    Raises:
        CalculatorError: a goal, a device or an argument outside what is allowed.
    """
    needs("solve_training", model, Model)
    needs("solve_training", layout, Layout, optional=True)
    needs("solve_training", training, Training, optional=True)
    if goal not in GOALS:
        raise WorkloadError(f"goal {goal!r} is not of training; {choose(goal, GOALS)}")
    if device is None and goal != "cheapest":
        raise WorkloadError(f"The goal {goal} needs a device; only cheapest chooses one from the catalogue.")
    if device is not None and not goal.startswith("max-") and not device_named(device).peak:
        raise WorkloadError(f"The goal {goal} asks about time; name a device of the catalogue rather than its memory.")
    budgeted = tokens or 20.0 * model.parameters.total
    if training is not None:
        given = {"training": training.with_(**given)}
    elif given.get("method", "full") == "full":
        given = {**PRETRAINING, **given}
    if goal in ("max-batch", "max-context"):
        assert device is not None
        spread = layout or Layout(dp=devices or 1)
        sizes: dict[str, Any] = {"batch_size": batch_size, "sequence_length": sequence_length}
        asked = train(model, device=device, layout=spread, **sizes, **given)
        sizes.pop("batch_size" if goal == "max-batch" else "sequence_length")
        search = largest_batch if goal == "max-batch" else longest
        step = search(model, device=device, layout=spread, **sizes, **given)
        return TrainingSolution(model, goal, (step,) if step else (), budgeted, asked)
    job: dict[str, Any] = {"sequence_length": sequence_length, "global_batch": global_batch, **given}
    if goal == "fastest":
        assert device is not None
        found = plans(model, device=device, devices=devices or 1, **job)
    elif goal == "min-devices":
        assert device is not None
        found = fewest(model, device=device, most=devices or 4096, **job)
    else:
        cards = [device_named(device)] if device is not None else [d for d in devices_known() if d.price and d.peak]
        best = [fewest(model, device=card, most=devices or 4096, **job)[:1] for card in cards]
        found = tuple(sorted((p for each in best for p in each), key=lambda step: step.cost(budgeted) or math.inf))
    nearest = None
    if not found and device is not None:
        nearest = train(model, device=device, devices=devices or 1, sequence_length=sequence_length, **given)
    return TrainingSolution(model, goal, found, budgeted, nearest)
