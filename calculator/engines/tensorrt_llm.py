"""TensorRT-LLM: blocks of 32 tokens; a window's layers hold the blocks of the window and one more.

Read from NVIDIA/TensorRT-LLM, tensorrt_llm/llmapi/llm_args.py (KvCacheConfig.tokens_per_block) and
cpp/include/tensorrt_llm/batch_manager/kvCacheManager.h (kSWAExtraBlock) with kvCacheManager.cpp
(calculateMaxBlockRequirementsPerBeam), 1.0. DeepSeek-V4: _torch/attention_backend/sparse/deepseek_v4
(DeepseekV4CacheManager: what each layer keeps, and the windows of its states; get_token_bytes), 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, state_bytes, up
from calculator.record.caches import (
    Compressed,
    EncoderKeysAndValues,
    IndexKeys,
    Kept,
    KeysAndValues,
    Latent,
    State,
)

BLOCK = 32  # tokens_per_block
EXTRA = 1  # kSWAExtraBlock: so that the window's tokens are always whole in the blocks

COMPRESSED_BLOCKS = (128, 256)  # "DeepseekV4CacheManager requires tokens_per_block in [128, 256]"


def blocks(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Whole blocks of every token; of a window's tokens, and one block more where the sequence is longer. The encoder's
    keys and values have blocks of their own (cross_kv_cache_fraction).

    Raises:
        NotModelled: the model keeps something whose layout is not known.
    """
    if any(isinstance(k.kept, Compressed) for k in kinds):
        return compressed(kinds, length, settings)
    block = block_of(kinds, settings)
    size, steps = 0, []
    for k in kinds:
        kept = k.kept
        if isinstance(kept, State):
            size += int(kept.size) * k.count
            steps.append(f"{k.count} layers: a state of {int(kept.size):,} bytes")
            continue
        if not isinstance(kept, KeysAndValues | Latent | IndexKeys | EncoderKeysAndValues):
            raise NotModelled(f"How TensorRT-LLM lays out {kept.kind} is not known here.")
        across = isinstance(kept, EncoderKeysAndValues)
        held = int(kept.limit or 0) if across else length if _whole(kept) else min(length, int(kept.limit or 0))
        past = EXTRA if held < length and not across else 0
        count = up(held, block) + past
        extra = f" + {past}" if past else ""
        size += int(count * block * kept.per_token) * k.count
        steps.append(
            f"{k.count} layers ({kept.kind}): ⌈{held:,} / {block}⌉{extra} = {count:,} blocks of {block} tokens × "
            f"{int(kept.per_token):,} bytes"
        )
    steps.append(f"Together {size:,} bytes")
    return size, steps


def _whole(kept: Kept) -> bool:
    """Whether every token is kept. Chunks bound what a prompt's tokens see, and only --max_attention_window bounds
    what is kept (docs/source/features/long-sequence.md)."""
    return kept.limit is None or (isinstance(kept, KeysAndValues) and kept.chunked)


def token_bytes(kinds: Sequence[Layers]) -> Fraction:
    """Bytes that a further token takes in the layers that keep every token, or an entry for several."""
    rows = ((k, int(k.kept.ratio) if isinstance(k.kept, Compressed) else 1) for k in kinds)
    return sum(
        (
            Fraction(int(k.kept.per_token) * k.count, ratio)
            for k, ratio in rows
            if _whole(k.kept) and not isinstance(k.kept, State)
        ),
        Fraction(),
    )


def block_of(kinds: Sequence[Layers], settings: Settings) -> int:
    """Tokens of a block, unless tokens_per_block says otherwise."""
    past = any(isinstance(k.kept, Compressed) for k in kinds)
    return settings.block_size or (COMPRESSED_BLOCKS[0] if past else BLOCK)


def compressed(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """DeepSeek-V4: blocks of tokens for all that a layer keeps. One of the compressed past holds an entry for every
    `ratio` of its tokens; a window, and the tokens whose compressor states are kept, has its own blocks and one more.

    Raises:
        NotModelled: the model keeps something else too, or the block is of another size.
    """
    block = block_of(kinds, settings)
    if block not in COMPRESSED_BLOCKS:
        raise NotModelled(f"TensorRT-LLM keeps such a cache in blocks of 128 or 256 tokens, not of {block:,}.")
    size = 0
    steps: list[str] = []
    for k in kinds:
        kept = k.kept
        if isinstance(kept, Compressed):
            past = block // int(kept.ratio) * int(kept.per_token)
            size += _held(
                steps, f"{k.count} layers (an entry for {kept.ratio} tokens)", length, length, block, past, k.count
            )
            tokens = (1 + (kept.ratio == 4)) * int(kept.ratio)
            held = block * state_bytes(kept)
            size += _held(
                steps, f"{k.count} layers (the states of their compressors)", length, tokens, block, held, k.count
            )
        elif isinstance(kept, KeysAndValues) and kept.limit is not None:
            held = block * int(kept.per_token)
            size += _held(steps, f"{k.count} layers (the window)", length, int(kept.limit), block, held, k.count)
        else:
            raise NotModelled(f"How TensorRT-LLM lays out {kept.kind} beside a compressed cache is not known here.")
    steps.append(f"Together {size:,} bytes")
    return size, steps


def _held(steps: list[str], what: str, length: int, tokens: int, block: int, nbytes: int, layers: int) -> int:
    """Bytes of blocks that hold so many of a sequence's tokens, and one block more where it is longer."""
    held = min(length, tokens)
    count = up(held, block) + (EXTRA if held < length else 0)
    extra = f" + {EXTRA}" if held < length else ""
    steps.append(f"{what}: ⌈{held:,} / {block}⌉{extra} = {count:,} blocks × {nbytes:,} bytes")
    return int(count * nbytes * layers)


ENGINES = {
    "tensorrt-llm": Engine(
        "TensorRT-LLM",
        "tensorrt_llm/llmapi/llm_args.py and batch_manager/kvCacheManager.cpp, 1.0",
        blocks,
    )
}
