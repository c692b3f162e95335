"""A GGUF file as llama.cpp's converter writes it from a config: metadata by architecture, tensors by their names.

Source: ggml-org/llama.cpp, conversion/*.py (set_gguf_parameters).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from writers import Tensors, write_gguf

from calculator.formats.gguf_names import stored_as
from calculator.model import Model
from calculator.passes.plan import plan_of
from calculator.record.run import weights_of
from calculator.record.workload import Workload

USUAL = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
}


def metadata(architecture: str, config: Any, more: dict[str, Any]) -> dict[str, Any]:
    """What the converter's base class writes, and `more` (None takes a key away)."""
    found = {key: config.get(field) for key, field in USUAL.items()}
    found["block_count"] = config.get("num_hidden_layers")
    counts = map(config.get, ("num_local_experts", "num_experts", "n_routed_experts"))
    found["expert_count"] = next((n for n in counts if n), None)
    found |= more
    said = {f"{architecture}.{key}": value for key, value in found.items() if value is not None}
    return {"general.architecture": architecture} | said


def tensors(architecture: str, model: Model, layers: int, ways: int = 0) -> Tensors:
    """The model's tensors as the file has them, each in 32 bit; with `ways` another of the spellings of split ones."""
    plan_of(model, Workload())
    found: dict[str, int] = {}
    for stack in (*model.stacks, *model.apart):
        places = [("", stack.before), ("", stack.after)]
        places += [(f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)]
        for prefix, parts in places:
            for w in weights_of(parts, stored=True):
                spelled = stored_as(prefix + w.name, architecture, layers)
                assert spelled, prefix + w.name
                names = spelled[min(ways, len(spelled) - 1)]
                whole = math.prod(map(int, w.shape)) * int(w.copies)
                for i, name in enumerate(names):  # how the parts divide a whole means nothing to the sum
                    found[name] = found.get(name, 0) + (whole * (i + 1) // len(names) - whole * i // len(names))
                    if len(names) > 1 and len(w.shape) > 1:
                        shapes[name] = (1, found[name])
                    elif len(names) == 1 and len(w.shape) > 1 and found[name] == whole:
                        shapes[name] = (
                            (int(w.copies), *map(int, w.shape)) if "*" in w.name else tuple(map(int, w.shape))
                        )
    return {
        n: ("F32", shapes[n] if shapes.get(n) and math.prod(shapes[n]) == size else (size,))
        for n, size in found.items()
    }


shapes: dict[str, tuple[int, ...]] = {}


def convert(path: Path, architecture: str, model: Model, more: dict[str, Any], ways: int = 0) -> Path:
    shapes.clear()
    said = metadata(architecture, model.config, more)
    return write_gguf(path, tensors(architecture, model, len(model.text.layers), ways), said)
