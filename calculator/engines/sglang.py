"""SGLang: a pool of token slots, the same number for every layer, in pages.

Read from sgl-project/sglang, python/sglang/srt/model_executor/model_runner_kv_cache_mixin.py (commit 001ccef0072a:
get_cell_size_per_token, calculate_mla_kv_cache_dim, set_num_tokens_hybrid_swa, calculate_mamba_ratio) and
server_args.py (page sizes). DeepSeek-V4: pool_configurator.py (DSV4PoolConfigurator, bytes_per_full_token),
deepseek_v4_memory_pool.py (get_compress_state_ring_size) and deepseek_v4_hook.py (page, share and format), 0.5.12.
"""

from __future__ import annotations

from fractions import Fraction

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, is_window, sparse_latent, state_bytes, up
from calculator.formats.cache import ENTRY, LATENT
from calculator.record.caches import Compressed, IndexKeys, Kept, KeysAndValues, Latent, State

PAGE = 1  # tokens, --page-size
SPARSE_PAGE = 64  # "Setting page size to 64 for DeepSeek DSA", what its kernels read at once
WINDOW_SHARE = Fraction(8, 10)  # --swa-full-tokens-ratio
STATES = 3  # slots of states for a running request, with the radix cache on
COMPRESSED_PAGE = 256  # "Use dsv4 attention backend …, setting page_size to 256"
COMPRESSED_SHARE = Fraction(1, 10)  # "Setting swa_full_tokens_ratio to 0.1"
RINGS = {4: 8, 128: 128}  # states of the compressors that a page of the window has, by their ratio


def slots(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Whole pages of every token in every layer; layers with a window have a pool of their own, of a fixed share of
    the others' tokens."""
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return compressed(kinds, length, settings)
    page = settings.block_size or (SPARSE_PAGE if sparse_latent(kinds) else PAGE)
    tokens = up(length, page) * page
    windows = [k for k in kinds if is_window(k)]
    own = bool(windows) and any(isinstance(k.kept, KeysAndValues) and k.kept.limit is None for k in kinds)
    size, steps = 0, [f"⌈{length:,} / {page}⌉ × {page} = {tokens:,} slots"]
    for k in kinds:
        if isinstance(k.kept, State):
            size += STATES * int(k.kept.size) * k.count
            steps.append(f"{k.count} layers: {STATES} states of {int(k.kept.size):,} bytes, with the radix cache on")
            continue
        if not isinstance(k.kept, KeysAndValues | Latent | IndexKeys):
            raise NotModelled(f"How SGLang lays out {k.kept.kind} is not known here.")
        row = _row(k.kept, kinds, settings)
        held = tokens
        if own and k in windows:
            held = int(tokens * WINDOW_SHARE) // page * page
            steps.append(f"Layers with a window have {held:,} slots, --swa-full-tokens-ratio {float(WINDOW_SHARE):g}")
        size += held * row * k.count
        steps.append(f"{k.count} layers ({k.kept.kind}): {held:,} slots × {row:,} bytes")
    steps.append(f"Together {size:,} bytes")
    return size, steps


def compressed(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """DeepSeek-V4: every pool is a share of the tokens, so that a token takes the same bytes at any length. All is kept
    as FlashMLA packs FP8, whatever is asked for.

    Raises:
        NotModelled: the model keeps something else too, or the format or page is one that SGLang refuses.
    """
    entries = [(k.kept, k.count) for k in kinds if isinstance(k.kept, Compressed)]
    windows = [k for k in kinds if is_window(k)]
    page = settings.block_size or COMPRESSED_PAGE
    if len(entries) + len(windows) < len(kinds) or any(int(e.ratio) not in RINGS for e, _ in entries):
        raise NotModelled("How SGLang lays out such a compressed cache is not known here.")
    if settings.cache not in ("auto", "fp8", "fp8_ds_mla") or page % max(RINGS):
        raise NotModelled(
            "SGLang keeps this model's cache in fp8_e4m3 alone, in pages of whole multiples of 128 tokens."
        )
    rows = {int(e.elements): int(ENTRY.size(e.elements, e.elements - e.values)) for e, _ in entries if e.values}
    row = next(iter(rows.values()))
    past = sum(Fraction((row if e.values else int(e.per_token)) * n, int(e.ratio)) for e, n in entries)
    kept = COMPRESSED_SHARE * row * sum(k.count for k in windows)
    window = next(int(k.kept.limit or 1) for k in windows)
    states = sum(Fraction(RINGS[int(e.ratio)] * state_bytes(e) * n, window) for e, n in entries) * COMPRESSED_SHARE
    token = past + kept + states
    tokens = up(length, page) * page
    size = up(tokens * token, 1)
    share = f"--swa-full-tokens-ratio {float(COMPRESSED_SHARE):g}"
    steps = [
        f"⌈{length:,} / {page}⌉ × {page} = {tokens:,} slots",
        f"A slot takes {float(past):,.2f} bytes of the compressed past, {float(kept):,.2f} of the window ({share}) and "
        f"{float(states):,.2f} of the compressors' states: {float(token):,.2f}",
        f"Together {size:,} bytes",
    ]
    return int(size), steps


def _row(kept: Kept, kinds: list[Layers], settings: Settings) -> int:
    """Bytes a token: a latent beside an indexer in fp8_e4m3 has scales, and its rotated part in 16 bit."""
    if isinstance(kept, Latent) and settings.cache == "fp8" and sparse_latent(kinds):
        return int(LATENT.size(kept.elements, kept.elements - kept.values))
    return int(kept.per_token)


ENGINES = {
    "sglang": Engine(
        "SGLang",
        "sglang/srt/model_executor/model_runner_kv_cache_mixin.py at 001ccef0072a, pool_configurator.py and "
        "server_args.py",
        slots,
    )
}
