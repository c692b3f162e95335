"""How an operation divides over the devices of a tensor-parallel group, in Megatron-LM's words (arXiv:1909.08053)."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from calculator.numbers.symbolic import Number

PLACEMENTS = {
    "column": ("replicated", "sharded"),
    "row": ("sharded", "partial"),
    "head": ("sharded", "sharded"),
    "inner": ("sharded", "sharded"),
    "expert": ("replicated", "partial"),
    "lookup": ("replicated", "partial"),
    "vocabulary": ("replicated", "sharded"),
    "join": ("partial", "replicated"),
    "replicated": ("replicated", "replicated"),
}
"""Split -> where its input and its output stand. `column` divides a matrix by outputs, `row` by inputs; `head` is the
attention between them, `inner` the elementwise step between them; `expert` gives whole experts (or a part of each
one's width) to each device; `lookup` an embedding's rows and `vocabulary` a head's; `join` adds a branch to the
residual stream: what stands partial on the devices is summed there, once."""

SPLITS = tuple(PLACEMENTS)


class Split(NamedTuple):
    """How an operation's weights and work divide.

    Attributes:
        kind: of SPLITS.
        pieces: (features, indivisible pieces) of what is divided: a fused projection of queries and keys has one pair
            for each. Empty: it divides evenly. A device holds ⌈pieces/devices⌉ of them, so that eight key heads on
            sixteen devices are one head each.
        cache: indivisible pieces of its cache: key-value heads; 1 where every device holds all (a latent, index keys);
            0 where it has none.
        width: of experts, the features that each divides into on the devices of a tensor-parallel group.
    """

    kind: str = "replicated"
    pieces: tuple[tuple[Number, Number], ...] = ()
    cache: Number = 0
    width: Number = 0

    @property
    def input(self) -> str:
        """Where its input stands: "sharded", "replicated" or "partial"."""
        return PLACEMENTS[self.kind][0]

    @property
    def output(self) -> str:
        """Where its output stands."""
        return PLACEMENTS[self.kind][1]

    @property
    def placed(self) -> str:
        """Where its cache stands: "sharded", "replicated", or "" where it has none."""
        return "" if not self.cache else "replicated" if self.cache == 1 else "sharded"

    def share(self, devices: int) -> Fraction:
        """The part of the weights and the work that the fullest of `devices` holds."""
        if devices == 1 or self.kind in ("replicated", "join"):
            return Fraction(1)
        if not self.pieces:
            return Fraction(1, devices)
        whole = sum(features for features, _ in self.pieces)
        mine: Fraction = sum((features * held(count, devices) for features, count in self.pieces), Fraction(0))
        return Fraction(mine / whole)

    def cache_share(self, devices: int) -> Fraction:
        """The part of the cache that each of `devices` holds: min(devices, pieces) of them divide it."""
        return held(self.cache, devices) if self.cache else Fraction(1)


def held(pieces: Number, devices: int) -> Fraction:
    """The part of `pieces` equal, indivisible ones that the fullest of `devices` holds."""
    return Fraction(-(-int(pieces) // devices), int(pieces))


COLUMN, ROW, HEAD, INNER, EXPERT = Split("column"), Split("row"), Split("head"), Split("inner"), Split("expert")
LOOKUP, VOCABULARY, JOIN, REPLICATED = Split("lookup"), Split("vocabulary"), Split("join"), Split("replicated")
