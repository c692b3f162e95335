"""SGLang: a pool of token slots, the same number for every layer, in pages.

Read from sgl-project/sglang, python/sglang/srt/model_executor/model_runner_kv_cache_mixin.py (commit 001ccef0072a:
get_cell_size_per_token, calculate_mla_kv_cache_dim, set_num_tokens_hybrid_swa, calculate_mamba_ratio) and
server_args.py (page sizes). DeepSeek-V4: pool_configurator.py (DSV4PoolConfigurator, bytes_per_full_token),
deepseek_v4_memory_pool.py (get_compress_state_ring_size) and deepseek_v4_hook.py (page, share and format), 0.5.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, is_window, sparse_latent, state_bytes, up
from calculator.formats.cache import ENTRY, LATENT
from calculator.record.caches import Compressed, IndexKeys, Kept, KeysAndValues, Latent, State

MAMBA_SHARE = Fraction(9, 19)  # of a pool that states have: --mamba-full-memory-ratio 0.9 of what tokens have
PAGE = 1  # tokens, --page-size
SPARSE_PAGE = 64  # "Setting page size to 64 for DeepSeek DSA", what its kernels read at once
WINDOW_SHARE = Fraction(8, 10)  # --swa-full-tokens-ratio
STATES = 3  # slots of states for a running request, with the radix cache on
COMPRESSED_PAGE = 256  # "Use dsv4 attention backend …, setting page_size to 256"
COMPRESSED_SHARE = Fraction(1, 10)  # "Setting swa_full_tokens_ratio to 0.1"
RINGS = {4: 8, 128: 128}  # states of the compressors that a page of the window has, by their ratio


def page_of(kinds: Sequence[Layers], settings: Settings) -> int:
    """Tokens of a page, unless --page-size says otherwise."""
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return settings.block_size or COMPRESSED_PAGE
    return settings.block_size or (SPARSE_PAGE if sparse_latent(kinds) else PAGE)


def slot_bytes(kinds: Sequence[Layers], settings: Settings) -> Fraction:
    """Bytes of the pool that a token's slot takes: its part of the windows' pool is a share of a token.

    Raises:
        NotModelled: the model keeps something whose layout is not known.
    """
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return sum(_compressed_slot(kinds, settings), Fraction())
    own = _own_windows(kinds)
    share = [WINDOW_SHARE if own and is_window(k) else Fraction(not isinstance(k.kept, State)) for k in kinds]
    return sum(
        (s * _row(k.kept, kinds, settings) * k.count for s, k in zip(share, kinds, strict=True) if s), Fraction()
    )


def _own_windows(kinds: Sequence[Layers]) -> bool:
    """Whether layers with a window have a pool of their own: there are others beside them."""
    full = any(isinstance(k.kept, KeysAndValues) and k.kept.limit is None for k in kinds)
    return full and any(map(is_window, kinds))


def slots(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Whole pages of every token in every layer; layers with a window have a pool of their own, of a fixed share of
    the others' tokens.

    Raises:
        NotModelled: the model keeps something whose layout is not known.
    """
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return compressed(kinds, length, settings)
    page = page_of(kinds, settings)
    tokens = up(length, page) * page
    own = _own_windows(kinds)
    size, steps = 0, [f"⌈{length:,} / {page}⌉ × {page} = {tokens:,} slots"]
    for k in kinds:
        if isinstance(k.kept, State):
            state = int(k.kept.widened)  # configs/mamba_utils.py: --mamba-ssm-dtype is float32
            size += STATES * state * k.count
            steps.append(f"{k.count} layers: {STATES} states of {state:,} bytes, with the radix cache on")
            continue
        row = _row(k.kept, kinds, settings)
        held = tokens
        if own and is_window(k):
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
    past, kept, states = _compressed_slot(kinds, settings)
    page, token = page_of(kinds, settings), past + kept + states
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


def _compressed_slot(kinds: Sequence[Layers], settings: Settings) -> tuple[Fraction, Fraction, Fraction]:
    """Bytes of a slot: of the compressed past, the window and the compressors' states."""
    entries = [(k.kept, k.count) for k in kinds if isinstance(k.kept, Compressed)]
    windows = [k for k in kinds if is_window(k)]
    if len(entries) + len(windows) < len(kinds) or any(int(e.ratio) not in RINGS for e, _ in entries):
        raise NotModelled("How SGLang lays out such a compressed cache is not known here.")
    if settings.cache not in ("auto", "fp8", "fp8_ds_mla") or page_of(kinds, settings) % max(RINGS):
        raise NotModelled(
            "SGLang keeps this model's cache in fp8_e4m3 alone, in pages of whole multiples of 128 tokens."
        )
    rows = {int(e.elements): int(ENTRY.size(e.elements, e.elements - e.values)) for e, _ in entries if e.values}
    row = next(iter(rows.values()))
    past = sum((Fraction((row if e.values else int(e.per_token)) * n, int(e.ratio)) for e, n in entries), Fraction())
    kept = COMPRESSED_SHARE * row * sum(k.count for k in windows)
    window = next(int(k.kept.limit or 1) for k in windows)
    states = sum((Fraction(RINGS[int(e.ratio)] * state_bytes(e) * n, window) for e, n in entries), Fraction())
    return past, kept, states * COMPRESSED_SHARE


def _row(kept: Kept, kinds: Sequence[Layers], settings: Settings) -> int:
    """Bytes a token: a latent beside an indexer in fp8_e4m3 has scales, and its rotated part in 16 bit."""
    if not isinstance(kept, KeysAndValues | Latent | IndexKeys):
        raise NotModelled(f"How SGLang lays out {kept.kind} is not known here.")
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
