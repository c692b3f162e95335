"""How engines hand out the cache: how many tokens a pool of bytes holds, and how much of it one sequence takes.

Lengths may be NumPy arrays: a map of a thousand contexts is one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from calculator.engines.engine import Layers, smaller, up
from calculator.errors import WorkloadError
from calculator.record.caches import EncoderKeysAndValues, KeysAndValues, State


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
    return not isinstance(pool, Rows) or bool(pool.row)


@dataclass(frozen=True)
class Rows:
    """A cache without pages of several layers: tokens take a row of bytes each, rounded to a block, beside a state of
    fixed bytes a sequence (SGLang, TensorRT-LLM, transformers).

    Attributes:
        kinds: what the device's layers keep. block: tokens a block.
        windowed: whether layers with a window keep no more than it.
    """

    kinds: tuple[Layers, ...]
    block: int = 1
    windowed: bool = True

    @property
    def row(self) -> int:
        """Bytes of a token in all the layers that keep every token."""
        return sum(int(k.kept.per_token) * k.count for k in self.kinds if self._grows(k))

    def _grows(self, layers: Layers) -> bool:
        return not isinstance(layers.kept, State) and (layers.kept.limit is None or not self.windowed)

    @property
    def fixed(self) -> int:
        """Bytes of a sequence that do not grow: states, and encoder caches of a fixed length."""
        states = sum(int(k.kept.size) * k.count for k in self.kinds if isinstance(k.kept, State))
        return states + sum(
            int(k.kept.limit or 0) * int(k.kept.per_token) * k.count
            for k in self.kinds
            if isinstance(k.kept, EncoderKeysAndValues) and self.windowed
        )

    def tokens(self, pool: int) -> int:
        """Tokens that the pool holds, in whole blocks."""
        if pool <= 0:
            return 0
        if not self.row:
            raise WorkloadError(
                "This model keeps nothing that grows with its tokens, so no number of them fills a pool."
            )
        return int(pool // (self.row * self.block)) * self.block

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        whole = up(length, self.block) * self.block * self.row + self.fixed
        for k in self.kinds:
            if self.windowed and k.kept.limit is not None and isinstance(k.kept, KeysAndValues):
                held = smaller(length, int(k.kept.limit))
                whole = whole + up(held, self.block) * self.block * int(k.kept.per_token) * k.count
        return whole


@dataclass(frozen=True)
class Cells:
    """llama.cpp's cache: cells for a context shared by all sequences, padded to 256, windows in a cache of their own,
    states in 32 bit for each sequence (src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp).

    Attributes:
        kinds: what the device's layers keep. micro_batch: n_ubatch, which windows hold as well.
    """

    kinds: tuple[Layers, ...]
    micro_batch: int

    def tokens(self, pool: int) -> int:
        """Tokens that the pool holds, in whole cells."""
        low, high = 0, 1
        while self.needed(high * CELLS) <= pool and high < 1 << 24:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.needed(middle * CELLS) <= pool else (low, middle)
        return low * CELLS if low else 0

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        whole: Any = 0
        cells = up(length, CELLS) * CELLS
        for k in self.kinds:
            if isinstance(k.kept, State):
                whole = whole + 4 * int(k.kept.elements) * k.count
                continue
            held = cells
            if k.kept.limit is not None:
                held = up(smaller(cells, int(k.kept.limit) + self.micro_batch), CELLS) * CELLS
            whole = whole + held * int(k.kept.per_token) * k.count
        return whole


CELLS = 256  # llama.cpp pads every cache to this many tokens, src/llama-context.cpp
