"""What transformers counts beyond the engine where it runs another algorithm: FLOPs of one workload."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from calculator import Workload, estimate
from calculator.model import Model
from calculator.parts import (
    Attention,
    ConvolvedAttention,
    CrossAttention,
    LatentAttention,
    LightningAttention,
    LocalAttention,
    Padded,
    WindowAttention,
)
from calculator.passes.forward import every_operation

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
    more, all_keys = 0, keys
    for part in (p for layer in model.text.layers for p in layer.parts if isinstance(p, LatentAttention)):
        keys = all_keys if part.window is None else min(all_keys, part.window)
        wide, latent = part.nope_dim + part.rope_dim + part.value_dim, 2 * part.kv_rank + part.rope_dim
        expand = 2 * batch * (keys - 1) * part.kv_rank * part.heads * (part.nope_dim + part.value_dim)
        more += expand + 2 * batch * keys * part.heads * (wide - latent)
    return more


def keys_before_the_window(model: Model, w: Workload) -> int:
    """GPT-Neo's local attention is a mask in transformers: it keeps and scores all keys at every step."""
    if w.mode != "decode":
        return 0
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, Attention) and p.sees.window]
    keys = w.sequence_length + 1
    return sum(4 * w.batch_size * max(keys - p.sees.window, 0) * p.heads * p.head_dim for p in parts)


def gradients_of_the_indexer(model: Model, w: Workload) -> int:
    """A choice by topk passes no gradient on, so transformers runs the indexer forward only; its published training has
    a loss of its own (arXiv:2512.02556), which the engine prices."""
    listed = every_operation(model, w, w.batch_size, w.sequence_length)
    kinds = ("matmul", "attention")
    return sum(op.flops * op.count for op in listed if ".indexer." in op.name and op.kind in kinds) * 2 // 3


def experts_not_chosen(model: Model, w: Workload) -> int:
    """Llama 4 in transformers sends every token through all experts, and multiplies the others' inputs by zero."""
    used, held = model.experts.top_k, model.experts.experts
    listed = every_operation(model, w, w.batch_size, w.sequence_length)
    routed = sum(op.flops * op.count for op in listed if op.component == "experts" and op.kind == "matmul")
    return routed * (held - used) // used


def choices_of_an_identity(model: Model, w: Workload) -> int:
    """The oracle lets every choice of LongCat-Flash's router be an expert that computes. The engine expects the share
    of them that the experts are of all choices; the others are the identity."""
    part = model.experts
    rows = w.batch_size * (1 if w.mode == "decode" else w.sequence_length) * part.top_k
    listed = every_operation(model, w, w.batch_size, w.sequence_length)
    routed = sum(op.flops * op.count for op in listed if op.component == "experts" and op.kind == "matmul")
    expected = rows * part.experts // part.choices
    return routed // expected * (rows - expected)


def values_before_the_first_token(model: Model, w: Workload) -> int:
    """transformers makes ZAYA1's value before the first token by projecting zeros, whose gradient nothing needs."""
    if w.mode == "decode":
        return 0
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, ConvolvedAttention)]
    once = sum(2 * w.batch_size * p.hidden * (p.kv_heads * p.head_dim // 2) for p in parts)
    return 2 * once if w.mode == "pretraining" else once


def halves_of_identities(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """transformers gives each identity expert of LongCat-Flash a gate and an up projection, which no checkpoint
    holds and no token passes."""
    for layer in range(len(model.text.layers)):
        for expert in range(model.experts.experts, model.experts.choices):
            for name in ("gate_proj", "up_proj"):
                shape = (model.experts.intermediate, model.experts.hidden)
                yield f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight", shape


def tokens_past_the_shared_keys(model: Model, w: Workload) -> int:
    """Where Gemma 4's last layers reuse earlier keys and values, transformers runs only the tokens whose logits are
    wanted through them."""
    if w.logits != "last":
        return 0
    layers = model.text.layers
    own = [layer for layer in layers if not any(isinstance(p, Attention) and p.sees.shared for p in layer.parts)]
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


def sums_as_products(model: Model, w: Workload) -> int:
    """LongT5's sums of blocks of tokens, which transformers computes as a product with a matrix of ones and zeros; that
    matrix needs no gradient."""
    stack, tokens = (model.encoder, w.encoder_length) if model.encoder else (model.text, w.sequence_length)
    parts = [p for layer in stack.layers for p in layer.parts if isinstance(p, LocalAttention) and p.summed]
    once = sum(2 * w.batch_size * tokens * (tokens // p.summed) * p.hidden for p in parts)
    return {"prefill": 1, "decode": 0, "pretraining": 2}[w.mode] * once


def tokens_of_every_pair(model: Model, w: Workload) -> int:
    """A decode step of RWKV-4 in transformers adds the last token of [sequences, features] to the new one of
    [sequences, 1, features]: the sum has a row for every pair of sequences."""
    return counted(estimate(model, w).flops) * (w.batch_size - 1) if w.mode == "decode" else 0


def keys_before_the_chunk(model: Model, w: Workload) -> int:
    """Llama 4's chunks are a mask in transformers, and a window in its cache: a decode step scores the last tokens of
    the chunk before, too."""
    if w.mode != "decode":
        return 0
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, Attention) and p.sees.chunked]
    past = w.sequence_length
    more = [(min(past, p.sees.window - 1) - past % p.sees.window) * p.heads * p.head_dim for p in parts]
    return 4 * w.batch_size * sum(more)


def blocks_not_scored(model: Model, w: Workload) -> int:
    """The reference of Qwen4-Exp's indexer scores each query apart; its scores are left out of the recording, and every
    key is attended to in decode."""
    forward_only = every_operation(model, w, w.batch_size, w.sequence_length)
    scores = sum(op.flops * op.count for op in forward_only if op.name.endswith(".indexer.scores"))
    if w.mode == "pretraining":
        return -scores // 3
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, Attention) and p.sees.selected]
    left = sum(max(w.sequence_length + 1 - p.sees.selected, 0) * p.heads * p.head_dim for p in parts)
    return -scores + (4 * w.batch_size * left if w.mode == "decode" else 0)


def padded_heads(model: Model, w: Workload) -> int:
    """Moonshine in transformers pads its heads with zeros for the kernels that want a round size; the cache keeps them
    as they are."""
    multiple = model.config.get("pad_head_dim_to_multiple_of")
    parts = [
        p
        for stack in model.stacks
        for layer in stack.layers
        for p in layer.parts
        if isinstance(p, Attention | CrossAttention)
    ]
    size = parts[0].head_dim
    products = sum(
        op.flops * op.count
        for op in every_operation(model, w, w.batch_size, w.sequence_length)
        if op.kind == "attention"
    )
    return products // size * (-size % multiple) if multiple else 0


def tokens_nothing_reads(model: Model, w: Workload) -> int:
    """Of Pegasus-X's last encoder layer nothing reads the global tokens, so that no gradient flows back through their
    queries, their attention, its output and their MLP."""
    if w.mode != "pretraining":
        return 0
    inner = {p.name: p for p in model.encoder.layers[-1].parts if isinstance(p, Padded)}
    outer, mlp = inner["self_attn"], inner[""].part
    attention, tokens = outer.part, inner[""].beside
    keys = -(-w.encoder_length // outer.block) * outer.block + outer.beside
    matrices = 2 * mlp.hidden * mlp.intermediate + 2 * attention.hidden * attention.heads * attention.head_dim
    products = 2 * tokens * matrices + 4 * tokens * keys * attention.heads * attention.head_dim
    return -2 * w.batch_size * products


def padding_of_the_head(model: Model) -> int:
    """Inkling 2's checkpoints pad the head to vocab_size rows; transformers loads those of the unpadded_vocab_size
    tokens and writes zeros for the others."""
    return (model.config["vocab_size"] - model.config["unpadded_vocab_size"]) * model.hidden_size


def products_with_the_padding(model: Model, w: Workload) -> int:
    """The logits of a padded head's rows, which transformers does not load."""
    rows = w.batch_size * (1 if w.mode == "decode" or w.logits == "last" else w.sequence_length)
    return -2 * rows * padding_of_the_head(model) * (3 if w.mode == "pretraining" else 1)


def patches_made_anew(model: Model, w: Workload) -> int:
    """Where every layer of the Byte Latent Transformer's encoder gathers patches, transformers keeps the last ones:
    no gradient reaches the others."""
    if w.mode != "pretraining":
        return 0
    listed = every_operation(model, w, w.batch_size, w.sequence_length)
    products = [
        op for op in listed if op.kind in ("matmul", "attention") and op.name.startswith("model.local_encoder.")
    ]
    last = max(op.name.split(".")[3] for op in products if ".cross_attn_layers." in op.name)
    lost = [
        op
        for op in products
        if (".cross_attn_layers." in op.name and op.name.split(".")[3] != last)
        or (".patch_embedding_projection." in op.name)
    ]
    return -sum(op.flops * op.count for op in lost) * 2 // 3


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
    listed = every_operation(model, w, w.batch_size, length)
    return sum(op.flops * op.count for op in listed if op.layers and op.kind in ("matmul", "attention"))
