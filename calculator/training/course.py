"""A training step in time: what runs when in its last micro-batch and after it, and the memory that lives meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from calculator.training.speed import BACKWARD_ATTENTION

if TYPE_CHECKING:
    from calculator.training import Trained
    from calculator.training.recipe import Training

ONCE = ("bubble", "copies", "update")
"""Terms of a step that do not come again with each micro-batch."""
LOSS = 0.03  # of a micro-batch's time, in which the events of the loss are set apart; how long they take is not known


class Phase(NamedTuple):
    """What runs from when to when, in seconds."""

    name: str
    start: float
    end: float


class Moment(NamedTuple):
    """A second, the bytes of each kind on the fullest device then, and the event they are of; "" between events."""

    second: float
    terms: Mapping[str, float]
    event: str = ""

    @property
    def size(self) -> float:
        """Bytes in all."""
        return sum(self.terms.values())


class Course(NamedTuple):
    """The last micro-batch and what follows it."""

    phases: tuple[Phase, ...]
    moments: tuple[Moment, ...]


def course(step: Trained) -> Course:
    """The course of a step from the terms of its time and the events of its memory; empty where there is no time.

    Between events the memory is drawn as rising and falling evenly, as equal layers make it.
    """
    if step.step_time is None:
        return Course((), ())
    terms = step.step_time.terms
    scale = step.step_time.expected / sum(terms.values())  # where the datasheet's bound is longer than the terms
    each = {name: scale * s / step.micro_batches for name, s in terms.items() if name not in ONCE}
    forward = sum(s * _forward_share(name, step.training) for name, s in each.items())
    lengths = {"Forward": forward, "Backward": sum(each.values()) - forward}
    after = {"Waiting for stages": "bubble", "Between copies": "copies", "Optimizer": "update"}
    lengths |= {name: scale * terms[term] for name, term in after.items()}
    phases, now = [], 0.0
    for name, length in lengths.items():
        if length > 0:
            phases.append(Phase(name, now, now + length))
            now += length
    return Course(tuple(phases), _moments(step, lengths, now))


def _forward_share(term: str, training: Training) -> float:
    """The part of a term's time that the forward pass takes: one run of those that `speed.passes` counts."""
    if term == "accumulation":
        return 0.0
    how = training.recompute
    again = {"none": 0.0, "full": 1.0, "ops": 0.5}.get(str(how), 1 / int(how) if isinstance(how, int) else 0.0)
    if term == "attention":
        return 1 / (1 + BACKWARD_ATTENTION + (1.0 if how == "selective" else again))
    if term == "experts" and how == "experts":
        again = 1.0
    if term == "tensor group":
        return 1 / (2 + (1 if how == "full" else 0))
    return 1 / (1 + (1 if training.frozen and term != "adapters" else 2) + again)


def _moments(step: Trained, lengths: dict[str, float], end: float) -> tuple[Moment, ...]:
    found = {event.name: event.terms for event in step.events}
    turn, batch = lengths["Forward"], lengths["Forward"] + lengths["Backward"]
    first, last = found["loss forward"], found["optimizer"]
    before, rest = {**first, "activations": 0.0, "loss": 0.0}, {**last, "temporaries": 0.0}
    apart, update = LOSS * batch / 3, end - lengths["Optimizer"]
    listed = [Moment(0.0, before), Moment(max(turn - apart, 0.0), {**first, "loss": 0.0})]
    for place, name in enumerate(("loss forward", "loss backward", "head backward", "last layer")):
        listed.append(Moment(turn + place * apart, found[name], name))
    listed.append(Moment(batch, found["first layer"], "first layer"))
    listed += [Moment(batch, rest), Moment(update, rest)]
    return (*listed, Moment((update + end) / 2, last, "optimizer"), Moment(end, rest))
