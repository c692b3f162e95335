"""transformers' generate(): weights, a cache that grows with the tokens, and the prompt's activations."""

from __future__ import annotations

from calculator.engines.memory.ask import Ask, Budget, Item
from calculator.engines.memory.facts import facts
from calculator.engines.memory.pages import Rows
from calculator.numbers.units import MIB


def budget(ask: Ask) -> Budget:
    """The first of the devices that `device_map="auto"` fills, one after the other by layers."""
    rules = facts()["transformers"]
    context, source = rules["context_mib"]
    stage = max(ask.stages, key=ask.weights)
    tokens = ask.get("max_num_batched_tokens", default=min(ask.longest, 4096)) * ask.get("batch_size", default=1)
    activations = ask.peak(tokens)
    items = (
        Item("weights", "Weights", ask.weights(stage), "the checkpoint's tensors, divided by layers", "exact"),
        Item("activations", f"A prompt of {tokens:,} tokens", activations, "the operation list"),
        Item("overhead", "CUDA context", context * MIB, source, "logged"),
    )
    pool = ask.get("cache_pool") or ask.visible - sum(item.size for item in items)
    notes = (
        "The cache is concatenated at each step, which holds a layer's twice for a moment.",
        "torch's allocator holds a few per cent more than its tensors.",
    )
    return Budget(ask.visible, items, pool, Rows(tuple(ask.kept(stage))), None, notes)
