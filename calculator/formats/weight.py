"""The tensor of a checkpoint: what a format prices and an operation reads."""

from __future__ import annotations

import math
from typing import NamedTuple

from calculator.numbers.symbolic import Number


class Weight(NamedTuple):
    """A tensor of the checkpoint, or `copies` equal ones (one per expert, counted from `first`), by its name inside the
    layer."""

    name: str
    shape: tuple[Number, ...]
    role: (
        str  # linear, experts, router, norm, embedding, head, convolution, vector (biases, scalars), adapter or buffer
    )
    copies: Number = 1
    first: int = 0

    def elements(self) -> Number:
        """Elements of all copies together."""
        return math.prod(self.shape) * self.copies

    def some(self, count: int) -> Weight:
        """So many of its experts, which are copies or lie along the first axis."""
        if "*" in self.name:
            return self._replace(copies=count)
        return self._replace(shape=(count, *self.shape[1:]))
