"""llama.cpp: cells for the whole context, a cache of its own for windows, and states in 32 bit.

Read from ggml-org/llama.cpp, src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp and
llama-context.cpp; of DeepSeek-V3.2 and GLM-5 llama-kv-cache-dsa.cpp, of DeepSeek-V4 llama-kv-cache-dsv4.cpp (2026).
"""

from __future__ import annotations

from collections.abc import Callable

from calculator.engines.engine import Engine, Layers, NotModelled, Rule, Settings, is_latent, state_bytes, up
from calculator.numbers.symbolic import Number
from calculator.record.caches import Compressed, EncoderKeysAndValues, IndexKeys, KeysAndValues, Latent, State

CELLS = 256  # every cache is padded to this many tokens, src/llama-context.cpp
RINGS = {4: 8, 128: 128}  # tokens whose compressor states are kept, by the ratio
MICRO_BATCH = 512  # --ubatch-size, tokens, common/common.h

Stored = Callable[[Latent], tuple[Number, str]]


def _llama_cpp(latent: Stored) -> Rule:
    """Cells for the whole context, padded to 256; windows get their own cache, and states are kept in 32 bit. `latent`
    says how many bytes a token of a latent cache takes."""

    def rule(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
        size, steps = 0, []
        for k in kinds:
            if isinstance(k.kept, EncoderKeysAndValues):
                steps.append(f"{k.count} layers: the encoder's keys and values are made anew in each step")
                continue
            each, layers, said = _held(k, kinds, length, settings, latent)
            size += each * layers
            steps.append(f"{layers} layers: {said}")
            if isinstance(k.kept, Compressed):
                each = state_bytes(k.kept) * RINGS[int(k.kept.ratio)]
                size += each * k.count
                steps.append(f"{k.count} layers: the states of their compressors in 32 bit, {each:,} bytes")
        steps.append(f"Together {size:,} bytes")
        return size, steps

    return rule


def _held(k: Layers, kinds: list[Layers], length: int, settings: Settings, latent: Stored) -> tuple[int, int, str]:
    """Bytes a layer, how many layers, and the arithmetic in words.

    Raises:
        NotModelled: the model keeps something whose layout is not known.
    """
    kept = k.kept
    if isinstance(kept, State):
        each = 4 * int(kept.elements)
        return each, k.count, f"a state of {int(kept.elements):,} elements in 32 bit, {each:,} bytes"
    cells = up(length, CELLS) * CELLS
    held, said, words, layers = cells, f"{length:,} tokens padded to {cells:,} cells", "", k.count
    if isinstance(kept, Compressed):
        if int(kept.ratio) not in RINGS:
            raise NotModelled("How llama.cpp keeps such a compressed cache is not known here.")
        held = up(up(cells, int(kept.ratio)), CELLS) * CELLS
        said = f"⌈{cells:,} / {kept.ratio}⌉ entries padded to {held:,} cells"
        row: Number = _element(kinds, kept.elements)
    elif isinstance(kept, IndexKeys):
        row, words = kept.per_token, " of index keys"
        if any(isinstance(other.kept, Latent) for other in kinds):
            # Beside a latent every layer has such a cache, whether or not it has an indexer of its own (GLM-5.2).
            row, layers = _element(kinds, kept.elements), max(other.count for other in kinds)
    elif isinstance(kept, Latent):
        row, words = latent(kept)
    elif isinstance(kept, KeysAndValues):
        row = kept.per_token
        if kept.limit is not None:
            batch = settings.batched_tokens or MICRO_BATCH
            held = up(min(cells, int(kept.limit) + batch), CELLS) * CELLS
            said = f"min({cells:,}, {int(kept.limit):,} + {batch}) padded to {held:,} cells"
    else:
        raise NotModelled(f"How llama.cpp keeps {kept.kind} is not known here.")
    return int(held * row), layers, f"{said} × {int(row):,} bytes a token{words}"


def _element(kinds: list[Layers], elements: Number) -> int:
    """Bytes of so many elements in the type of the other keys (--cache-type-k), which an indexer's have too."""
    kept = next(k.kept for k in kinds if isinstance(k.kept, Latent | Compressed) and k.kept.values)
    return int(kept.per_token * elements // kept.elements)


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
