"""What transformers counts beyond the engine where it runs another algorithm: FLOPs of one workload."""

from __future__ import annotations

from collections.abc import Callable

from calculator import Workload, estimate
from calculator.model import Model
from calculator.operations import forward
from calculator.parts import Attention, LatentAttention, LightningAttention, WindowAttention

Beyond = Callable[[Model, Workload], int]


def counted(flops) -> int:
    """What the oracle counts, without the short convolutions: it counts them on their padded output."""
    return flops.matmul - flops.by_kind.get("convolution", 0)


def of_any_type(model: Model, w: Workload) -> int:
    """What follows from the parts, whatever the model type is called."""
    kinds = {type(part) for layer in model.text.layers for part in layer.parts}
    more = 0
    if w.mode == "decode" and LatentAttention in kinds:
        more += expansion_of_the_cache(model, w.batch_size, w.sequence_length + 1)
    if w.mode == "pretraining":
        more -= gradients_of_the_indexer(model, w)
    if LightningAttention in kinds:
        more += linear_attention_in_blocks(model, w)
    return more


def expansion_of_the_cache(model: Model, batch: int, keys: int) -> int:
    """What transformers' decode adds to the absorbed one: it expands the whole latent cache at every step, and attends
    over expanded heads."""
    more = 0
    for part in (p for layer in model.text.layers for p in layer.parts if isinstance(p, LatentAttention)):
        wide, latent = part.nope_dim + part.rope_dim + part.value_dim, 2 * part.kv_rank + part.rope_dim
        expand = 2 * batch * (keys - 1) * part.kv_rank * part.heads * (part.nope_dim + part.value_dim)
        more += expand + 2 * batch * keys * part.heads * (wide - latent)
    return more


def keys_before_the_window(model: Model, w: Workload) -> int:
    """GPT-Neo's local attention is a mask in transformers: it keeps and scores all keys at every step."""
    if w.mode != "decode":
        return 0
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, Attention) and p.window]
    keys = w.sequence_length + 1
    return sum(4 * w.batch_size * max(keys - p.window, 0) * p.heads * p.head_dim for p in parts)


def gradients_of_the_indexer(model: Model, w: Workload) -> int:
    """A choice by topk passes no gradient on, so transformers runs the indexer forward only; its published training has
    a loss of its own (arXiv:2512.02556), which the engine prices."""
    listed = forward(model, w, w.batch_size, w.sequence_length)
    kinds = ("matmul", "attention")
    return sum(op.flops * op.count for op in listed if ".indexer." in op.name and op.kind in kinds) * 2 // 3


def experts_not_chosen(model: Model, w: Workload) -> int:
    """Llama 4 in transformers sends every token through all experts, and multiplies the others' inputs by zero."""
    used, held = model.experts.top_k, model.experts.experts
    listed = forward(model, w, w.batch_size, w.sequence_length)
    routed = sum(op.flops * op.count for op in listed if op.component == "experts" and op.kind == "matmul")
    return routed * (held - used) // used


def tokens_past_the_shared_keys(model: Model, w: Workload) -> int:
    """Where Gemma 4's last layers reuse earlier keys and values, transformers runs only the tokens whose logits are
    wanted through them."""
    if w.logits != "last":
        return 0
    layers = model.text.layers
    own = [layer for layer in layers if not any(isinstance(p, Attention) and p.shared_kv for p in layer.parts)]
    shared = counted(estimate(model, w).flops) - counted(estimate(model.with_layers(tuple(own)), w).flops)
    return -(shared // w.sequence_length * (w.sequence_length - 1))


def linear_attention_in_blocks(model: Model, w: Workload) -> int:
    """The products of MiniMax's linear attention, which the engine prices as a scan: within a block of tokens, of its
    queries with the state, and of its keys with its values. The first state and the last have no gradient."""
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, LightningAttention)]
    size, block = parts[0].head_dim, model.config["block_size"]
    if w.mode == "decode":
        once = 2 * 2 * size * size
    else:
        blocks = [min(block, w.sequence_length - start) for start in range(0, w.sequence_length, block)]
        once = sum(4 * tokens * size * (tokens + size) for tokens in blocks)
        if w.mode == "pretraining":
            once = 3 * once - 2 * blocks[0] * size * size - 4 * blocks[-1] * size * size
    return once * w.batch_size * parts[0].heads * len(parts)


def windows_in_chunks(model: Model, w: Workload) -> int:
    """Longformer in transformers pads the text to whole windows and multiplies overlapping chunks of a window's length;
    the engine counts the pairs within the window."""
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, WindowAttention)]
    widest = max(part.window for part in parts)
    length, batch = -(-w.sequence_length // widest) * widest, w.batch_size
    more = in_layers(model, w, length) - in_layers(model, w, w.sequence_length)
    for part in parts:
        half = part.window // 2
        chunks, reach = length // half - 1, min(half, length - 1)
        scores, values = chunks * (2 * half) ** 2, (chunks + 1) * half * 3 * half
        band = length + 2 * length * reach - reach * reach - reach
        times = 3 if w.mode == "pretraining" else 1
        more += 2 * batch * part.heads * part.head_dim * (scores + values - 2 * band) * times
    return more


def in_layers(model: Model, w: Workload, length: int) -> int:
    """The products inside the layers, for so many tokens."""
    listed = forward(model, w, w.batch_size, length)
    return sum(op.flops * op.count for op in listed if op.layers and op.kind in ("matmul", "attention"))
