"""vLLM: pages of a fixed number of tokens, handed out to groups of layers.

Read from vllm/v1/kv_cache_interface.py (pages of each kind of layer), vllm/v1/core/kv_cache_utils.py (groups of layers)
and vllm/config/cache.py, v0.15. Caches of DeepSeek-V3.2 and GLM-5: vllm/v1/attention/backends/mla/flashmla_sparse.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, is_window, sparse_latent
from calculator.engines.paged import Group, blocks
from calculator.engines.vllm_compressed import compressed_pages
from calculator.formats.cache import LATENT
from calculator.record.caches import Compressed, EncoderKeysAndValues, KeysAndValues, Latent, State

LATENT_PAGE = 64  # tokens: what FlashMLA's kernels read at once, vllm/v1/attention/backends/mla/flashmla.py
PAGE = 16  # tokens, vllm/config/cache.py
BATCHED_TOKENS = (
    8192  # --max-num-batched-tokens of vLLM's server on devices of 70 GiB and more, vllm/engine/arg_utils.py
)


def page_of(kinds: Sequence[Layers]) -> int:
    """Tokens of a page, unless --block-size says otherwise."""
    return LATENT_PAGE if any(isinstance(k.kept, Latent) for k in kinds) else PAGE


def packed(kinds: list[Layers], settings: Settings) -> tuple[list[Layers], list[str]]:
    """The layers as vLLM stores them: latents beside an indexer are kept as fp8_ds_mla unless 16 bit is asked for."""
    if not sparse_latent(kinds) or settings.cache not in ("auto", "fp8"):
        return kinds, []
    found, size = [], 0
    for k in kinds:
        if isinstance(k.kept, Latent):
            size = int(LATENT.size(k.kept.elements, k.kept.elements - k.kept.values))
            k = replace(k, kept=replace(k.kept, per_token=size))
        found.append(k)
    asked = "by default" if settings.cache == "auto" else "for fp8"
    return found, [f"A latent beside an indexer is kept as fp8_ds_mla {asked}: {size:,} bytes a token"]


def pages(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Pages of a fixed number of tokens. Where layers differ, they are divided into groups of one number of layers that
    share pages of one size, and every group is padded to it."""
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return compressed_pages(kinds, length, settings, settings.batched_tokens or BATCHED_TOKENS)
    kinds, said = packed(kinds, settings)
    if all(isinstance(k.kept, State) for k in kinds):
        size = sum(int(k.kept.size) * k.count for k in kinds if isinstance(k.kept, State))
        return size, ["Recurrent states only, one for each sequence."]
    size, steps = _told(kinds, length, settings)
    return size, [*said, *steps]


def full_pages(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Without the hybrid manager a window's layers hold every token, as layers with full attention do."""
    kinds, said = packed(kinds, settings)
    if any(isinstance(k.kept, Compressed) for k in kinds):
        raise NotModelled("How vLLM keeps compressed entries without its hybrid cache manager is not known here.")
    if any(isinstance(k.kept, State) for k in kinds):
        raise NotModelled("vLLM cannot turn its hybrid cache manager off for models with recurrent states.")
    across = [k for k in kinds if isinstance(k.kept, EncoderKeysAndValues)]
    own = [k for k in kinds if k not in across]
    size, steps = _told(own, length, settings, hybrid=False) if own else (0, [])
    steps = [*said, *steps]
    for k in across:
        pool = blocks([k], settings.block_size or page_of(kinds), settings.batched_tokens or BATCHED_TOKENS)
        size += pool.needed(length)
        steps.append(_group_told(pool.groups[0], length, pool.batched))
    return size, steps


def _told(kinds: list[Layers], length: int, settings: Settings, *, hybrid: bool = True) -> tuple[int, list[str]]:
    """Bytes of one sequence in the pool, and the arithmetic in sentences."""
    page, batched = settings.block_size or page_of(kinds), settings.batched_tokens or BATCHED_TOKENS
    pool = blocks(kinds, page, batched, hybrid=hybrid)
    size, whole = int(pool.needed(length)), pool.sequence(length)
    if pool.layers == 1 and len(pool.groups) == 1 and pool.groups[0].kept.kept.limit is None:
        return size, [
            f"⌈{length:,} / {page}⌉ = {whole:,} pages of {page} tokens × {pool.page // page:,} bytes a token = "
            f"{size:,} bytes"
        ]
    steps = []
    if pool.block > page:
        widest = max(int(k.kept.size) for k in kinds if isinstance(k.kept, State))
        steps.append(
            f"A page of attention must hold a state of {widest:,} bytes: {pool.block:,} tokens × "
            f"{pool.page // pool.block:,} bytes"
        )
    steps.append(f"Layers in groups of {pool.layers}, which share pages of {pool.page:,} bytes a layer")
    for group in pool.groups:
        padded = group.groups * pool.layers - group.kept.count
        steps.append(
            f"{group.kept.count} layers ({group.kept.kept.kind}) are {group.groups} group"
            + ("s" if group.groups > 1 else "")
            + (f" with {padded} layers of padding" if padded else "")
            + f": {_group_told(group, length, batched)}"
        )
    steps.append(f"{whole:,} pages × {pool.layers} layers × {pool.page:,} bytes = {size:,} bytes")
    return size, steps


def _group_told(group: Group, length: int, batched: int) -> str:
    """The pages of a group in words."""
    kept, page, pages = group.kept.kept, group.tokens, group.pages(length, batched)
    if isinstance(kept, State):
        return "1 page for the state"
    if isinstance(kept, EncoderKeysAndValues):
        return f"⌈{int(kept.limit or 0):,} / {page}⌉ = {pages:,} pages for the encoder's tokens"
    if kept.limit is None:
        return f"⌈{length:,} / {page}⌉ = {pages:,} pages"
    window = int(kept.limit)
    if isinstance(kept, KeysAndValues) and kept.chunked:
        return (
            f"⌈min({window:,} + {batched:,}, {length:,}) / {page}⌉ = {pages:,} pages: the chunk and the tokens "
            "of one scheduler step"
        )
    return (
        f"⌈min({window:,} − 1 + {batched:,}, {length:,}) / {page}⌉ + 1 = {pages:,} pages: the window and the "
        "tokens of one scheduler step"
    )


SOURCE = "vllm/v1/core/kv_cache_utils.py and vllm/v1/kv_cache_interface.py, v0.15"
ENGINES = {
    "vllm": Engine("vLLM", SOURCE, pages),
    "vllm-full-pages": Engine(
        "vLLM --disable-hybrid-kv-cache-manager",
        "vllm/v1/core/kv_cache_utils.py, unify_hybrid_kv_cache_specs",
        full_pages,
        is_window,
    ),
}
