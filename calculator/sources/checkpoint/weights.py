"""The weights of a checkpoint, experts folded into one, and their places in numbered layers."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from calculator.errors import CheckpointError
from calculator.sources.checkpoint.naming import EXPERT
from calculator.sources.checkpoint.packing import Stored


@dataclass
class Weights:
    """A weight of the model, or those of all experts as one."""

    name: str
    members: list[Stored]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one of the tensors."""
        return self.members[0].shape

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return sum(s.nbytes for s in self.members)

    @property
    def elements(self) -> int:
        """Elements of all of them."""
        return sum(s.elements for s in self.members)

    @property
    def module(self) -> str:
        """Name of the module that holds them."""
        return self.name.removesuffix(".weight")


def squared(s: Stored, width: int | None) -> Stored:
    """A matrix whose header tells its elements only (bitsandbytes' 4 bit), with the model's width for its inputs: the
    product is the same whichever way round they are."""
    if not s.packed or len(s.shape) != 1:
        return s
    inputs = width if width and s.elements % width == 0 else s.elements
    return replace(s, shape=(s.elements // inputs, inputs))


def folded(stored: Iterable[Stored]) -> list[Weights]:
    """Weights in the order of the file; tensors of experts with one name and shape are one, a star for the number."""
    found: dict[tuple[Any, ...], Weights] = {}
    for s in stored:
        expert = EXPERT.fullmatch(s.name)
        name = f"{expert[1]}*{expert[3]}" if expert else s.name
        found.setdefault((name, s.shape if expert else None), Weights(name, [])).members.append(s)
    if len({w.name for w in found.values()}) < len(found):
        raise CheckpointError("The experts of a layer have different shapes, which no formula here describes.")
    return list(found.values())


Numbered = dict[str, dict[int, dict[str, Weights]]]


def by_layer(weights: Iterable[Weights]) -> tuple[Numbered, list[Weights]]:
    """path -> number -> name inside the layer -> weight; and the weights outside of numbered layers."""
    numbered: Numbered = defaultdict(lambda: defaultdict(dict))
    rest = []
    for w in weights:
        place = re.match(r"(.*?)\.?(?:(?<=\.)|^)(\d{1,5})\.(.+)", w.name)
        if place:
            numbered[place[1]][int(place[2])][place[3]] = w
        else:
            rest.append(w)
    return numbered, rest
