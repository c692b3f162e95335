"""llama.cpp: cells for the whole context, a cache of its own for windows, and states in 32 bit.

Read from ggml-org/llama.cpp, src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp and
llama-context.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from calculator.engines.engine import Engine, Layers, NotModelled, Rule, Settings, is_latent, up
from calculator.numbers.symbolic import Number
from calculator.record.caches import KeysAndValues, Latent, State

CELLS = 256  # every cache is padded to this many tokens, src/llama-context.cpp
MICRO_BATCH = 512  # --ubatch-size, tokens, common/common.h

Stored = Callable[[Latent], tuple[Number, str]]


def _llama_cpp(latent: Stored) -> Rule:
    """Cells for the whole context, padded to 256; windows get their own cache, and states are kept in 32 bit. `latent`
    says how many bytes a token of a latent cache takes."""

    def rule(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
        size, steps = 0, []
        batch = settings.batched_tokens or MICRO_BATCH
        cells = up(length, CELLS) * CELLS
        for k in kinds:
            kept = k.kept
            if isinstance(kept, State):
                each = 4 * int(kept.elements)
                size += each * k.count
                steps.append(f"{k.count} layers: a state of {int(kept.elements):,} elements in 32 bit, {each:,} bytes")
                continue
            if not isinstance(kept, KeysAndValues | Latent):
                raise NotModelled(f"How llama.cpp keeps {kept.kind} is not known here.")
            held, said = cells, f"{length:,} tokens padded to {cells:,} cells"
            if kept.limit is not None:
                held = up(min(cells, int(kept.limit) + batch), CELLS) * CELLS
                said = f"min({cells:,}, {int(kept.limit):,} + {batch}) padded to {held:,} cells"
            row, words = latent(kept) if isinstance(kept, Latent) else (kept.per_token, "")
            size += int(held * row * k.count)
            steps.append(f"{k.count} layers: {said} × {int(row):,} bytes a token{words}")
        steps.append(f"Together {size:,} bytes")
        return size, steps

    return rule


def _latent_once(kept: Latent) -> tuple[Number, str]:
    return kept.per_token, ", the latent once"


def _latent_twice(kept: Latent) -> tuple[Number, str]:
    return kept.per_token * (kept.elements + kept.values) // kept.elements, ", the latent as keys and again as values"


def _latent_expanded(kept: Latent) -> tuple[Number, str]:
    return kept.per_token * kept.expanded // kept.elements, ", every head's keys and values"


ENGINES = {
    "llama.cpp": Engine(
        "llama.cpp",
        "ggml-org/llama.cpp src/llama-kv-cache.cpp and llama-kv-cache-iswa.cpp; a latent is kept once since #19067",
        _llama_cpp(_latent_once),
    ),
    "llama.cpp-2025": Engine(
        "llama.cpp, April 2025 to January 2026",
        "ggml-org/llama.cpp #12801: a latent is kept as keys and as values",
        _llama_cpp(_latent_twice),
        is_latent,
    ),
    "llama.cpp-expanded": Engine(
        "llama.cpp before April 2025",
        "ggml-org/llama.cpp before #12801, which has n_embd_k_gqa 24576 and n_embd_v_gqa 16384 for DeepSeek-V3",
        _llama_cpp(_latent_expanded),
        is_latent,
    ),
}
