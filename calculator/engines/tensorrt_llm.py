"""TensorRT-LLM: blocks of 32 tokens; a window's layers hold the blocks of the window and one more.

Read from NVIDIA/TensorRT-LLM, tensorrt_llm/llmapi/llm_args.py (KvCacheConfig.tokens_per_block) and
cpp/include/tensorrt_llm/batch_manager/kvCacheManager.h (kSWAExtraBlock) with kvCacheManager.cpp
(calculateMaxBlockRequirementsPerBeam), 1.0.
"""

from __future__ import annotations

from calculator.engines.engine import Engine, Layers, NotModelled, Settings, up
from calculator.record.caches import IndexKeys, KeysAndValues, Latent, State

BLOCK = 32  # tokens_per_block
EXTRA = 1  # kSWAExtraBlock: so that the window's tokens are always whole in the blocks


def blocks(kinds: list[Layers], length: int, settings: Settings) -> tuple[int, list[str]]:
    """Whole blocks of every token; of a window's tokens, and one block more where the sequence is longer."""
    block = settings.block_size or BLOCK
    size, steps = 0, []
    for k in kinds:
        kept = k.kept
        if isinstance(kept, State):
            size += int(kept.size) * k.count
            steps.append(f"{k.count} layers: a state of {int(kept.size):,} bytes")
            continue
        chunked = isinstance(kept, KeysAndValues) and kept.chunked
        if chunked or not isinstance(kept, KeysAndValues | Latent | IndexKeys):
            raise NotModelled(f"How TensorRT-LLM lays out {'chunks' if chunked else kept.kind} is not known here.")
        held = length if kept.limit is None else min(length, int(kept.limit))
        count = up(held, block) + (EXTRA if held < length else 0)
        extra = f" + {EXTRA}" if held < length else ""
        size += int(count * block * kept.per_token) * k.count
        steps.append(
            f"{k.count} layers ({kept.kind}): ⌈{held:,} / {block}⌉{extra} = {count:,} blocks of {block} tokens × "
            f"{int(kept.per_token):,} bytes"
        )
    steps.append(f"Together {size:,} bytes")
    return size, steps


ENGINES = {
    "tensorrt-llm": Engine(
        "TensorRT-LLM",
        "tensorrt_llm/llmapi/llm_args.py and batch_manager/kvCacheManager.cpp, 1.0",
        blocks,
    )
}
