"""vLLM: pages of a fixed number of tokens, handed out to groups of layers.

Read from vllm/v1/kv_cache_interface.py (pages of each kind of layer), vllm/v1/core/kv_cache_utils.py (groups of layers)
and vllm/config/cache.py, v0.15. Caches of DeepSeek-V3.2 and GLM-5: vllm/v1/attention/backends/mla/flashmla_sparse.py.
"""

from __future__ import annotations

from dataclasses import replace

from calculator.engines.layers import Engine, Layers, NotModelled, Settings, is_window, sparse_latent, up
from calculator.engines.vllm_compressed import compressed_pages
from calculator.formats.cache import LATENT
from calculator.record.caches import Kept

LATENT_PAGE = 64  # tokens: what FlashMLA's kernels read at once, vllm/v1/attention/backends/mla/flashmla.py
PAGE = 16  # tokens, vllm/config/cache.py
BATCHED_TOKENS = (
    8192  # --max-num-batched-tokens of vLLM's server on devices of 70 GiB and more, vllm/engine/arg_utils.py
)


def _page(tokens: list[Layers], settings: Settings) -> int:
    """Tokens of a page."""
    return settings.block_size or (LATENT_PAGE if any(k.kept.kind == "latent" for k in tokens) else PAGE)


def packed(kinds: list[Layers], settings: Settings) -> tuple[list[Layers], list[str]]:
    """The layers as vLLM stores them: latents beside an indexer are kept as fp8_ds_mla unless 16 bit is asked for."""
    if not sparse_latent(kinds) or settings.cache not in ("auto", "fp8"):
        return kinds, []
    found, size = [], 0
    for k in kinds:
        if k.kept.kind == "latent":
            size = int(LATENT.size(k.kept.elements, k.kept.elements - k.kept.values))
            k = replace(k, kept=k.kept._replace(per_token=size))
        found.append(k)
    asked = "by default" if settings.cache == "auto" else "for fp8"
    return found, [f"A latent beside an indexer is kept as fp8_ds_mla {asked}: {size:,} bytes a token"]


def pages(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Pages of a fixed number of tokens. Where layers differ, they are divided into groups of one number of layers that
    share pages of one size, and every group is padded to it."""
    if any(k.kept.kind == "compressed" for k in kinds):
        return compressed_pages(kinds, length, settings, settings.batched_tokens or BATCHED_TOKENS)
    kinds, said = packed(known(kinds), settings)
    states = [k for k in kinds if k.kept.kind == "state"]
    tokens = [k for k in kinds if k.kept.kind != "state"]
    page = _page(tokens, settings)
    if not tokens:
        return sum(k.state_bytes * k.count for k in states), ["Recurrent states only, one for each sequence."]
    if not states and all(k.kept.limit is None for k in tokens):
        size, steps = _vllm_uniform(tokens, length, page)
        return size, [*said, *steps]
    return _vllm_hybrid(tokens, states, length, page, settings.batched_tokens or BATCHED_TOKENS)


def known(kinds: list[Layers]) -> list[Layers]:
    """The layers, where their rule is known.

    Raises:
        NotModelled: it is not.
    """
    for layers in kinds:
        if layers.kept.kind == "compressed":
            raise NotModelled("vLLM lays compressed entries out by its hybrid cache manager, which is off here.")
    return kinds


def _vllm_uniform(kinds: list[Layers], length: int, page: int) -> tuple[int, list[str]]:
    """Every layer keeps every token: whole pages of each."""
    pages = up(length, page)
    row = sum(k.kept.per_token * k.count for k in kinds)
    size = int(pages * page * row)
    said = f"⌈{length:,} / {page}⌉ = {pages:,} pages of {page} tokens × {int(row):,} bytes a token = {size:,} bytes"
    return size, [said]


def _vllm_hybrid(
    tokens: list[Layers], states: list[Layers], length: int, page: int, batched: int
) -> tuple[int, list[str]]:
    largest = max(k.kept.per_token for k in tokens)
    steps = []
    if states:
        # The attention's page is made large enough to hold a state, vllm/model_executor/models/config.py.
        widest = max(k.state_bytes for k in states)
        needed = page * up(widest, int(page * largest))
        if needed > page:
            page = needed
            steps.append(
                f"A page of attention must hold a state of {widest:,} bytes: {page:,} tokens × {int(largest):,} bytes"
            )
    size = int(page * largest)
    blocks: list[tuple[Layers, int, str]] = []
    for k in tokens:
        # Layers with fewer bytes a token get more tokens a page, so that all pages are of one size.
        wide = page * int(largest / k.kept.per_token) if largest % k.kept.per_token == 0 else page
        blocks.append((k, *_pages(k.kept, length, wide, batched)))
    blocks += [(k, 1, "1 page for the state") for k in states]
    counts = [k.count for k, _, _ in blocks]
    group = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    steps.append(f"Layers in groups of {group}, which share pages of {size:,} bytes a layer")
    whole = 0
    for k, pages, said in blocks:
        groups = up(k.count, group)
        whole += groups * pages
        padded = groups * group - k.count
        steps.append(
            f"{k.count} layers ({k.kept.kind}) are {groups} group{'s' if groups > 1 else ''}"
            + (f" with {padded} layers of padding" if padded else "")
            + f": {said}"
        )
    steps.append(f"{whole:,} pages × {group} layers × {size:,} bytes = {whole * group * size:,} bytes")
    return whole * group * size, steps


def _pages(kept: Kept, length: int, page: int, batched: int) -> tuple[int, str]:
    """Pages that a group holds of one sequence, at the most."""
    if kept.kind == "encoder keys and values":
        pages = up(int(kept.limit or 0), page)
        return pages, f"⌈{int(kept.limit or 0):,} / {page}⌉ = {pages:,} pages for the encoder's tokens"
    if kept.limit is None:
        pages = up(length, page)
        return pages, f"⌈{length:,} / {page}⌉ = {pages:,} pages"
    window = int(kept.limit)
    if kept.chunked:
        pages = up(min(window + batched, length), page)
        return pages, (
            f"⌈min({window:,} + {batched:,}, {length:,}) / {page}⌉ = {pages:,} pages: the chunk and the tokens "
            "of one scheduler step"
        )
    held = min(window - 1 + batched, length)
    # One more, because the window rarely starts where a page does.
    pages = up(held, page) + 1
    return pages, (
        f"⌈min({window:,} − 1 + {batched:,}, {length:,}) / {page}⌉ + 1 = {pages:,} pages: the window and the "
        "tokens of one scheduler step"
    )


def full_pages(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Without the hybrid manager a window's layers hold every token, as layers with full attention do."""
    kinds, said = packed(known(kinds), settings)
    if any(k.kept.kind == "state" for k in kinds):
        raise NotModelled("vLLM cannot turn its hybrid cache manager off for models with recurrent states.")
    page = _page(kinds, settings)
    across = [k for k in kinds if k.kept.kind == "encoder keys and values"]
    own = [k for k in kinds if k not in across]
    size, steps = _vllm_uniform(own, length, page) if own else (0, [])
    steps = [*said, *steps]
    for k in across:
        pages, words = _pages(k.kept, length, page, settings.batched_tokens or BATCHED_TOKENS)
        size += int(pages * page * k.kept.per_token * k.count)
        steps.append(words)
    return size, steps


SOURCE = "vllm/v1/core/kv_cache_utils.py and vllm/v1/kv_cache_interface.py, v0.15; of 2026 for DeepSeek-V4"
ENGINES = {
    "vllm": Engine("vLLM", SOURCE, pages),
    "vllm-full-pages": Engine(
        "vLLM --disable-hybrid-kv-cache-manager",
        "vllm/v1/core/kv_cache_utils.py, unify_hybrid_kv_cache_specs",
        full_pages,
        is_window,
    ),
}
