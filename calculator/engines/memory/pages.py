"""How engines hand out the cache: how many tokens a pool of bytes holds, and how much of it one sequence takes.

Lengths may be NumPy arrays: a map of a thousand contexts is one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from calculator.engines.layers import Layers
from calculator.errors import WorkloadError


class Pool(Protocol):
    """An engine's cache on one device."""

    def tokens(self, pool: int) -> int:
        """Tokens that the engine says the pool holds."""
        ...

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes; an array for an array."""
        ...


def up(value: Any, unit: int) -> Any:
    """Whole units that hold the value."""
    return -(-value // unit)


def smaller(value: Any, limit: int) -> Any:
    """The smaller of a length, or of each of an array's, and the limit."""
    if hasattr(value, "shape"):
        import numpy as np

        return np.minimum(value, limit)
    return min(value, limit)


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
        return layers.kept.kind != "state" and (layers.kept.limit is None or not self.windowed)

    @property
    def fixed(self) -> int:
        """Bytes of a sequence that do not grow: states, and encoder caches of a fixed length."""
        states = sum(k.state_bytes * k.count for k in self.kinds if k.kept.kind == "state")
        return states + sum(
            int(k.kept.limit or 0) * int(k.kept.per_token) * k.count
            for k in self.kinds
            if k.kept.kind == "encoder keys and values" and self.windowed
        )

    def tokens(self, pool: int) -> int:
        if pool <= 0:
            return 0
        if not self.row:
            raise WorkloadError(
                "This model keeps nothing that grows with its tokens, so no number of them fills a pool."
            )
        return int(pool // (self.row * self.block)) * self.block

    def needed(self, length: Any) -> Any:
        whole = up(length, self.block) * self.block * self.row + self.fixed
        for k in self.kinds:
            if self.windowed and k.kept.limit is not None and k.kept.kind == "keys and values":
                held = smaller(length, int(k.kept.limit))
                whole = whole + up(held, self.block) * self.block * int(k.kept.per_token) * k.count
        return whole


@dataclass(frozen=True)
class Group:
    """Groups of layers that share vLLM's pages: how many groups, tokens a page, and what of a sequence they hold."""

    groups: int
    tokens: int
    kept: Layers


@dataclass(frozen=True)
class Blocks:
    """vLLM's pool: blocks of one size, each a page in every layer of one group of layers (vllm/v1/kv_cache_interface.py
    and vllm/v1/core/kv_cache_utils.py, v0.11).

    Attributes:
        size: bytes of a block. block: tokens of the pages of layers that keep every token.
        groups: the groups, equal ones together. batched: tokens of one scheduler step, which windows hold as well.
        ranks: devices that share the tokens of a sequence (decode context parallelism).
    """

    size: int
    block: int
    groups: tuple[Group, ...]
    batched: int
    ranks: int = 1

    def count(self, pool: int) -> int:
        """Blocks in a pool of bytes: "# GPU blocks"."""
        return max(0, int(pool // self.size))

    def tokens(self, pool: int) -> int:
        """ "GPU KV cache size": the blocks are shared by all groups."""
        return self.count(pool) // sum(g.groups for g in self.groups) * self.block * self.ranks

    def needed(self, length: Any) -> Any:
        return self.sequence(length) * self.size

    def sequence(self, length: Any) -> Any:
        """Blocks that one sequence of the length takes at the most."""
        length = up(length, self.ranks)
        return sum(group.groups * self._pages(group, length) for group in self.groups)

    def _pages(self, group: Group, length: Any) -> Any:
        kept = group.kept.kept
        if kept.kind == "state":
            return 1
        if kept.kind == "encoder keys and values":
            return up(int(kept.limit or 0), group.tokens)
        if kept.limit is None:
            return up(length, group.tokens)
        window = int(kept.limit)
        if kept.chunked:
            return up(smaller(length, window + self.batched), group.tokens)
        # One more, because the window rarely starts where a page does.
        return up(smaller(length, window - 1 + self.batched), group.tokens) + 1


def vllm_blocks(kinds: Sequence[Layers], page: int, batched: int, *, hybrid: bool = True, ranks: int = 1) -> Blocks:
    """The pool of a device's layers. Where they are alike, a block is a page in each of them; where they differ they
    are divided into groups of one number of layers, padded to it, which share pages of one size.

    Args:
        page: tokens a page. batched: tokens of a scheduler step.
        hybrid: False for --disable-hybrid-kv-cache-manager, where windows hold every token.
    """
    states = [k for k in kinds if k.kept.kind == "state"]
    tokens = [k for k in kinds if k.kept.kind != "state"]
    if not tokens:
        size = sum(k.state_bytes * k.count for k in states)
        return Blocks(size, 1, tuple(Group(1, 1, k) for k in states[:1]), batched)
    plain = all(k.kept.limit is None for k in tokens) or not hybrid
    if not states and plain:
        row = sum(int(k.kept.per_token) * k.count for k in tokens)
        whole = max(tokens, key=lambda k: k.kept.limit is None)
        unbounded = Layers(whole.kept._replace(limit=None), whole.count)
        return Blocks(row * page, page, (Group(1, page, unbounded),), batched, ranks)
    largest = max(int(k.kept.per_token) for k in tokens)
    if states:
        # The attention's page is made large enough to hold a state, vllm/model_executor/models/config.py.
        page = max(page, page * up(max(k.state_bytes for k in states), page * largest))
    counts = [k.count for k in (*tokens, *states)]
    group = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    found = [
        Group(
            up(k.count, group),
            page * (largest // int(k.kept.per_token) if largest % int(k.kept.per_token) == 0 else 1),
            k,
        )
        for k in tokens
    ]
    found += [Group(up(k.count, group), page, k) for k in states]
    return Blocks(page * largest * group, page, tuple(found), batched, ranks)


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
        low, high = 0, 1
        while self.needed(high * CELLS) <= pool and high < 1 << 24:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.needed(middle * CELLS) <= pool else (low, middle)
        return low * CELLS if low else 0

    def needed(self, length: Any) -> Any:
        whole: Any = 0
        cells = up(length, CELLS) * CELLS
        for k in self.kinds:
            if k.kept.kind == "state":
                whole = whole + 4 * k.state_elements * k.count
                continue
            held = cells
            if k.kept.limit is not None:
                held = up(smaller(cells, int(k.kept.limit) + self.micro_batch), CELLS) * CELLS
            whole = whole + held * int(k.kept.per_token) * k.count
        return whole


CELLS = 256  # llama.cpp pads every cache to this many tokens, src/llama-context.cpp
