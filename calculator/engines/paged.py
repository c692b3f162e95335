"""vLLM's pool: blocks of one size, handed out to groups of layers. One rule, for what a sequence takes of it and for
how many tokens it holds; lengths may be NumPy arrays.

Read from vllm/v1/kv_cache_interface.py (pages of each kind of layer), vllm/v1/core/kv_cache_utils.py (groups of layers)
and vllm/model_executor/models/config.py (pages beside states), v0.11 to v0.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from calculator.engines.engine import Layers, smaller, up
from calculator.record.caches import EncoderKeysAndValues, KeysAndValues, State

ENDLESS = 1 << 31
"""Blocks where they hold nothing: more tokens than any other stage has room for."""


@dataclass(frozen=True)
class Group:
    """Groups of layers that share pages: how many groups, tokens a page, and what of a sequence they hold."""

    groups: int
    tokens: int
    kept: Layers
    states: int = 1  # pages of a state: with prefix caching one for the prefix and one to go on with

    def pages(self, length: Any, batched: int) -> Any:
        """Pages that one group holds of one sequence at the most; a window holds the tokens of a step as well."""
        kept = self.kept.kept
        if isinstance(kept, State):
            return self.states
        if isinstance(kept, EncoderKeysAndValues):
            return up(int(kept.limit or 0), self.tokens)
        if kept.limit is None:
            return up(length, self.tokens)
        window = int(kept.limit)
        if isinstance(kept, KeysAndValues) and kept.chunked:
            return up(smaller(length, window + batched), self.tokens)
        # One more, because the window rarely starts where a page does.
        return up(smaller(length, window - 1 + batched), self.tokens) + 1


@dataclass(frozen=True)
class Blocks:
    """Blocks of one size, each a page in every layer of one group of layers.

    Attributes:
        page: bytes of a page of one layer. layers: of a group.
        block: tokens of the pages of layers that keep every token.
        groups: the groups, equal ones together. batched: tokens of one scheduler step, which windows hold as well.
        ranks: devices that share the tokens of a sequence (decode context parallelism).
        longest: max_model_len, where vLLM counts a pool's tokens by it (since 0.21); 0 where it counts blocks.
    """

    page: int
    layers: int
    block: int
    groups: tuple[Group, ...]
    batched: int
    ranks: int = 1
    longest: int = 0

    @property
    def size(self) -> int:
        """Bytes of a block."""
        return self.page * self.layers

    def count(self, pool: int) -> int:
        """Blocks in a pool of bytes: "# GPU blocks"."""
        if not self.size:  # a stage of layers that keep nothing
            return ENDLESS if pool > 0 else 0
        return max(0, int(pool // self.size))

    def tokens(self, pool: int) -> int:
        """ "GPU KV cache size": the blocks are shared by all groups. Since 0.21 it is the sequences of max_model_len
        tokens that fit, times those tokens (kv_cache_utils.py, get_kv_cache_capacity)."""
        if self.longest and self.count(pool) < ENDLESS:
            return self.count(pool) * self.longest // int(self.sequence(self.longest))
        return self.count(pool) // max(sum(g.groups for g in self.groups), 1) * self.block * self.ranks

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        return self.sequence(length) * self.size

    def sequence(self, length: Any) -> Any:
        """Blocks that one sequence of the length takes at the most."""
        length = up(length, self.ranks)
        return sum(group.groups * group.pages(length, self.batched) for group in self.groups)


def blocks(kinds: Sequence[Layers], page: int, batched: int, *, hybrid: bool = True, ranks: int = 1) -> Blocks:
    """The pool of a device's layers. Where they are alike, a block is a page in each of them; where they differ they
    are divided into groups of one number of layers, padded to it, which share pages of one size.

    Args:
        page: tokens a page. batched: tokens of a scheduler step.
        hybrid: False for --disable-hybrid-kv-cache-manager, where windows hold every token.
    """
    states = [k for k in kinds if isinstance(k.kept, State)]
    tokens = [k for k in kinds if not isinstance(k.kept, State)]
    if not tokens:
        size = sum(int(k.kept.size) * k.count for k in kinds if isinstance(k.kept, State))
        return Blocks(size, 1, 1, tuple(Group(1, 1, k) for k in states[:1]), batched)
    plain = all(k.kept.limit is None for k in tokens) or not hybrid
    if not states and plain:
        row = sum(int(k.kept.per_token) * k.count for k in tokens)
        whole = max(tokens, key=lambda k: k.kept.limit is None)
        unbounded = Layers(replace(whole.kept, limit=None), whole.count)
        return Blocks(row * page, 1, page, (Group(1, page, unbounded),), batched, ranks)
    largest = max(int(k.kept.per_token) for k in tokens)
    page = page_with_states(kinds, page, largest)
    counts = [k.count for k in (*tokens, *states)]
    group = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    found = [Group(up(k.count, group), _tokens(int(k.kept.per_token), page, largest), k) for k in tokens]
    found += [Group(up(k.count, group), page, k) for k in states]
    return Blocks(page * largest, group, page, tuple(found), batched, ranks)


def page_with_states(kinds: Sequence[Layers], page: int, largest: int) -> int:
    """Tokens of a page: that of attention is made large enough to hold a state."""
    widest = max((int(k.kept.size) for k in kinds if isinstance(k.kept, State)), default=0)
    return max(page, page * int(up(widest, page * largest)))


def _tokens(row: int, page: int, largest: int) -> int:
    """Layers with fewer bytes a token get more tokens a page, so that all pages are of one size."""
    return page * (largest // row if largest % row == 0 else 1)
