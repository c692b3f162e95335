"""SGLang: a pool of token slots, the same number for every layer, in pages.

Read from sgl-project/sglang, python/sglang/srt/model_executor/model_runner_kv_cache_mixin.py (commit 001ccef0072a:
get_cell_size_per_token, calculate_mla_kv_cache_dim, set_num_tokens_hybrid_swa, calculate_mamba_ratio) and
server_args.py (page sizes).
"""

from __future__ import annotations

from fractions import Fraction

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, is_window, sparse_latent, up
from calculator.formats.cache import LATENT
from calculator.record.caches import IndexKeys, Kept, KeysAndValues, Latent, State

PAGE = 1  # tokens, --page-size
SPARSE_PAGE = 64  # "Setting page size to 64 for DeepSeek DSA", what its kernels read at once
WINDOW_SHARE = Fraction(8, 10)  # --swa-full-tokens-ratio
STATES = 3  # slots of states for a running request, with the radix cache on


def slots(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Whole pages of every token in every layer; layers with a window have a pool of their own, of a fixed share of
    the others' tokens."""
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


def _row(kept: Kept, kinds: list[Layers], settings: Settings) -> int:
    """Bytes a token: a latent beside an indexer in fp8_e4m3 has scales, and its rotated part in 16 bit."""
    if isinstance(kept, Latent) and settings.cache == "fp8" and sparse_latent(kinds):
        return int(LATENT.size(kept.elements, kept.elements - kept.values))
    return int(kept.per_token)


ENGINES = {
    "sglang": Engine(
        "SGLang",
        "sglang/srt/model_executor/model_runner_kv_cache_mixin.py at 001ccef0072a, and server_args.py",
        slots,
    )
}
