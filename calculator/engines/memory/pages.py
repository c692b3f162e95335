"""How engines hand out the cache: how many tokens a pool of bytes holds, and how much of it one sequence takes.

Lengths may be NumPy arrays: a map of a thousand contexts is one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from calculator.engines import llama_cpp
from calculator.engines.engine import Layers, Rule, Settings, smaller
from calculator.engines.llama_cpp import CELLS
from calculator.errors import WorkloadError
from calculator.record.caches import Compressed, EncoderKeysAndValues, KeysAndValues, State

NOTHING_GROWS = "This model keeps nothing that grows with its tokens, so no number of them fills a pool."


class Pool(Protocol):
    """An engine's cache on one device."""

    def tokens(self, pool: int) -> int:
        """Tokens that the engine says the pool holds."""
        ...

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes; an array for an array."""
        ...


def grows(pool: Pool) -> bool:
    """Whether a further token always takes more; states and windows do not grow without end."""
    return not isinstance(pool, Ruled | Rows) or bool(pool.row)


@dataclass(frozen=True)
class Ruled:
    """A cache of which a sequence takes what the engine's rule says (SGLang, TensorRT-LLM), so that a pool and the
    table of engines rest on one arithmetic.

    Attributes:
        kinds: what the device's layers keep. rule: the engine's, with its settings.
        row: bytes that a further token takes of the pool in the long run; 0 where nothing grows.
        block: tokens a block. states: the part of the pool that states may have, in whole slots of `slot` bytes.
    """

    kinds: tuple[Layers, ...]
    rule: Rule
    settings: Settings
    row: Fraction
    block: int = 1
    states: Fraction = Fraction(0)
    slot: int = 0

    def tokens(self, pool: int) -> int:
        """Tokens that the pool holds, in whole blocks."""
        if pool <= 0:
            return 0
        if not self.row:
            raise WorkloadError(NOTHING_GROWS)
        rest = pool - (int(pool * self.states // self.slot) * self.slot if self.slot else 0)
        return int(rest // (self.row * self.block)) * self.block

    def holding(self, tokens: int) -> int:
        """Bytes of the pool that holds so many tokens, with the slots of states that it then has."""
        rest = tokens * self.row
        slots = int(rest * self.states / (1 - self.states) // self.slot) if self.slot else 0
        return int(rest) + slots * self.slot

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        return by_rule(self.rule, self.kinds, self.settings, length)


def by_rule(rule: Rule, kinds: tuple[Layers, ...], settings: Settings, length: Any) -> Any:
    """Bytes of one sequence of the length, or of each of an array's, by an engine's rule."""
    if not hasattr(length, "shape"):
        return rule(list(kinds), int(length), settings)[0]
    import numpy as np

    values, where = np.unique(length, return_inverse=True)
    found = np.array([rule(list(kinds), int(value), settings)[0] for value in values])
    return found[where].reshape(length.shape)


@dataclass(frozen=True)
class Rows:
    """A cache without pages: tokens take a row of bytes each, beside a state of fixed bytes a sequence
    (transformers).

    Attributes:
        kinds: what the device's layers keep.
    """

    kinds: tuple[Layers, ...]

    @property
    def row(self) -> Fraction:
        """Bytes of a token in all the layers that keep every token, or an entry for several."""
        return sum((Fraction(int(k.kept.per_token) * k.count, _ratio(k)) for k in self.kinds if _grows(k)), Fraction())

    @property
    def fixed(self) -> int:
        """Bytes of a sequence that do not grow: states, and encoder caches of a fixed length."""
        states = sum(int(k.kept.size) * k.count for k in self.kinds if isinstance(k.kept, State))
        return states + sum(
            int(k.kept.limit or 0) * int(k.kept.per_token) * k.count
            for k in self.kinds
            if isinstance(k.kept, EncoderKeysAndValues)
        )

    def tokens(self, pool: int) -> int:
        """Tokens that the pool holds."""
        if pool <= 0:
            return 0
        if not self.row:
            raise WorkloadError(NOTHING_GROWS)
        return int(pool // self.row)

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        whole: Any = self.fixed
        for k in self.kinds:
            each = int(k.kept.per_token) * k.count
            if _grows(k):
                whole = whole + length // _ratio(k) * each
            elif isinstance(k.kept, KeysAndValues):
                whole = whole + smaller(length, int(k.kept.limit or 0)) * each
        return whole


def _grows(layers: Layers) -> bool:
    return not isinstance(layers.kept, State) and layers.kept.limit is None


def _ratio(layers: Layers) -> int:
    """Tokens that an entry stands for."""
    return int(layers.kept.ratio) if isinstance(layers.kept, Compressed) else 1


@dataclass(frozen=True)
class Cells:
    """llama.cpp's cache: cells for a context shared by all sequences, of which a pool holds whole units.

    Attributes:
        kinds: what the device's layers keep. settings: with n_ubatch, which windows hold as well.
    """

    kinds: tuple[Layers, ...]
    settings: Settings

    def tokens(self, pool: int) -> int:
        """Tokens that the pool holds, in whole units of cells."""
        low, high = 0, 1
        while self.needed(high * CELLS) <= pool and high < 1 << 24:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.needed(middle * CELLS) <= pool else (low, middle)
        return low * CELLS if low else 0

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        return by_rule(llama_cpp.ENGINES["llama.cpp"].rule, self.kinds, self.settings, length)
