"""vLLM's cache of DeepSeek-V4: entries of a compressed past, an indexer's, windows and the compressors' states, which
share pages of three sizes.

Read from vllm/models/deepseek_v4/attention.py and compressor.py, vllm/v1/attention/backends/mla/sparse_swa.py (what
each keeps, in pages of how many tokens), vllm/v1/kv_cache_interface.py (bytes of a page, MLAAttentionSpec and
SlidingWindowMLASpec) and vllm/v1/core/kv_cache_utils.py (_approximate_gcd, _get_kv_cache_groups_uniform_groups,
_max_memory_usage_bytes_from_groups), 2026.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from calculator.engines.engine import Layers, NotModelled, Settings, smaller, state_bytes, up
from calculator.formats.cache import ENTRY
from calculator.record.caches import Compressed, KeysAndValues

BLOCK = 256  # tokens of a page of entries: DeepseekSparseSWABackend.get_preferred_block_size
WINDOW_BLOCK = 64  # tokens of a page of the window, so that it is as large as one of 256 / 4 entries
STATE_BLOCKS = {4: 4, 128: 8}  # tokens of a page of states, CompressorStateCache
PACKED, PLAIN = 576, 512  # bytes that pages are aligned to: FlashMLA's layout of FP8, and plain rows


class Window(NamedTuple):
    """Caches of a few tokens: how many, in pages of so many tokens; the sizes of the pages, and how many layers have
    each."""

    what: str
    tokens: int
    block: int
    layers: Counter[int]

    def pages(self, length: Any, batched: int) -> Any:
        """Pages of one group for a sequence, or for each of an array of lengths; they hold a step's tokens as well."""
        return up(smaller(length, self.tokens - 1 + batched), self.block) + 1


@dataclass(frozen=True)
class Tuples:
    """Pages of several sizes beside one another, of which every group of caches has whole tuples.

    Attributes:
        block: tokens of a page of entries. past: sizes of those pages, and how many layers have each.
        windows: caches of a few tokens, each with the number of groups it is split into.
        batched: tokens of a scheduler step. longest: max_model_len, which the tokens of a pool are counted by.
        aligned: bytes that pages are aligned to.
    """

    block: int
    past: Mapping[int, int]
    windows: tuple[tuple[Window, int], ...]
    batched: int
    longest: int
    aligned: int

    @property
    def beside(self) -> int:
        """Tuples beside one another: those of the group with the most layers."""
        return max(*self.past.values(), *(int(up(max(w.layers.values()), parts)) for w, parts in self.windows))

    @property
    def size(self) -> int:
        """Bytes of a block, which is a tuple for each of the layers of a group."""
        return self.beside * sum(self.past)

    def count(self, pool: int) -> int:
        """Blocks in a pool of bytes."""
        return max(0, int(pool // self.size))

    def sequence(self, length: Any) -> Any:
        """Blocks that one sequence of the length takes at the most."""
        return up(length, self.block) + sum(parts * w.pages(length, self.batched) for w, parts in self.windows)

    def needed(self, length: Any) -> Any:
        """Bytes that one sequence of the length takes."""
        return self.sequence(length) * self.size

    def tokens(self, pool: int) -> int:
        """ "GPU KV cache size": sequences of max_model_len tokens, times those tokens (kv_cache_utils.py,
        get_kv_cache_capacity); most of what a short sequence takes does not grow, so a token has no size of its own."""
        return self.count(pool) * self.longest // int(self.sequence(self.longest))


def tuples(kinds: Sequence[Layers], settings: Settings, batched: int, longest: int) -> Tuples:
    """How the layers' caches are laid out.

    Raises:
        NotModelled: the model has other caches, or other ratios, than DeepSeek-V4.
    """
    entries = [(k.kept, k.count) for k in kinds if isinstance(k.kept, Compressed)]
    windows = [k for k in kinds if isinstance(k.kept, KeysAndValues) and k.kept.limit is not None]
    block = settings.block_size or BLOCK
    if len(entries) + len(windows) < len(kinds) or any(int(e.ratio) not in STATE_BLOCKS for e, _ in entries):
        raise NotModelled("How vLLM lays out such a compressed cache is not known here.")
    if block % max(STATE_BLOCKS):
        raise NotModelled(f"vLLM keeps such a cache in pages of whole multiples of 128 tokens, not of {block:,}.")
    aligned = PACKED if settings.cache.startswith("fp8") else PLAIN
    past: Counter[int] = Counter()
    for entry, count in entries:
        past[up(block // int(entry.ratio) * _row(entry, aligned), aligned) * aligned] += count
    whole = max(past.values())
    small = [*_windows(windows, entries, aligned), *_states(entries, aligned)]
    counts = [max(w.layers.values()) for w in small]
    least = _least_padding([whole, *counts], whole)
    split = tuple((w, up(n, least)) for w, n in zip(small, counts, strict=True))
    return Tuples(block, past, split, batched, longest, aligned)


def compressed_pages(kinds: list[Layers], length: int, settings: Settings, batched: int) -> tuple[int, list[str]]:
    """Bytes for one sequence. Layers are laid out in tuples of one page of each size; every group of caches has pages
    of whole tuples.

    Raises:
        NotModelled: the model has other caches, or other ratios, than DeepSeek-V4.
    """
    found = tuples(kinds, settings, batched, length)
    past = sorted(found.past, reverse=True)
    steps = [
        f"Tuples of pages of {', '.join(f'{size:,}' for size in past)} bytes, aligned to {found.aligned}, "
        f"{found.beside} beside one another",
        f"The past: ⌈{length:,} / {found.block}⌉ = {up(length, found.block):,} pages",
    ]
    for window, parts in found.windows:
        held = min(window.tokens - 1 + batched, length)
        each = window.pages(length, batched)
        steps.append(f"{window.what}: ⌈{held:,} / {window.block}⌉ + 1 = {each:,} pages in {parts} group(s)")
    size = int(found.needed(length))
    steps.append(f"{found.sequence(length):,} pages × {found.beside} tuples × {sum(past):,} bytes = {size:,} bytes")
    return size, steps


def _row(kept: Compressed, aligned: int) -> int:
    """Bytes of an entry: in FP8 as FlashMLA packs it, an indexer's as it is."""
    packed = aligned == PACKED and kept.values
    return int(ENTRY.size(kept.elements, kept.elements - kept.values)) if packed else int(kept.per_token)


def _windows(windows: list[Layers], entries: list[tuple[Compressed, int]], aligned: int) -> list[Window]:
    """The tokens of the window, one vector each, as an entry is."""
    row = next(_row(entry, aligned) for entry, _ in entries if entry.values)
    page = up(WINDOW_BLOCK * row, aligned) * aligned
    return [Window("The window", int(k.kept.limit or 0), WINDOW_BLOCK, Counter({page: k.count})) for k in windows]


def _states(entries: list[tuple[Compressed, int]], aligned: int) -> list[Window]:
    """What the compressors keep of the tokens of an entry that is not full: a vector and its gate in 32 bit, of the
    entry's size, and twice that where entries overlap (a ratio of 4)."""
    found = []
    for ratio, block in STATE_BLOCKS.items():
        layers: Counter[int] = Counter()
        for entry, count in entries:
            if int(entry.ratio) == ratio:
                layers[up(block * state_bytes(entry), aligned) * aligned] += count
        if layers:
            found.append(Window(f"States of ratio {ratio}", (1 + (ratio == 4)) * ratio, block, layers))
    return found


def _least_padding(values: list[int], least: int) -> int:
    """The number from `least` on to whose multiples the values are rounded up with the fewest added, the largest of
    several."""
    return min(range(least, max(values) + 1), key=lambda d: (sum(-n % d for n in values), -d))
