"""TensorRT-LLM: the cache takes a fraction of what is free after the weights, the runtime and one pass."""

from __future__ import annotations

from calculator.engines.engine import Settings
from calculator.engines.memory.ask import Ask, Budget, Item, tightest
from calculator.engines.memory.facts import facts
from calculator.engines.memory.pages import Ruled
from calculator.engines.memory.shares import Stage
from calculator.engines.tensorrt_llm import block_of, blocks, token_bytes
from calculator.numbers.units import MIB


def budget(ask: Ask) -> Budget:
    """The stage whose pool holds the fewest tokens."""
    return tightest(_of_stage(ask, stage) for stage in ask.stages)


def _of_stage(ask: Ask, stage: Stage) -> Budget:
    rules = facts()["tensorrt-llm"]
    tokens = ask.get("max_num_tokens", "max_num_batched_tokens", default=rules["max_num_tokens"])
    sequences = ask.get("max_batch_size", default=rules["max_batch_size"])
    fraction = ask.get("free_gpu_memory_fraction", "gpu_memory_utilization", default=rules["free_gpu_memory_fraction"])
    runtime, source = rules["runtime_mib"]
    weights, activations = ask.weights(stage), ask.peak(tokens)
    if stage.last and ask.model.text.causal:
        activations = max(activations, min(sequences, tokens) * ask.model.vocabulary_size * 4)
    free = ask.visible - weights - activations - runtime * MIB
    pool = ask.get("cache_pool") or round(free * fraction)
    items = (
        Item("weights", "Weights", weights, "the checkpoint's tensors, divided over the tensor group", "exact"),
        Item("activations", f"A pass of {tokens:,} tokens", activations, "the operation list; logits in 32 bit"),
        Item("overhead", "CUDA context and runtime", runtime * MIB, source, "logged"),
        Item("overhead", f"Left free: {1 - fraction:.0%}", max(0, free - round(free * fraction)), rules["source"]),
    )
    kinds, settings = tuple(ask.kept(stage)), Settings(block_size=ask.get("tokens_per_block"), cache=ask.kv_dtype)
    cache = Ruled(kinds, blocks, settings, token_bytes(kinds), block_of(kinds, settings))
    defaults = {"free_gpu_memory_fraction": fraction, "max_num_tokens": tokens, "max_batch_size": sequences}
    return Budget(ask.visible, items, pool, cache, sequences, (f"{rules['source']}.",), defaults=defaults)
