"""llama.cpp: weights of the offloaded layers, cells for the whole context, and a compute buffer for one micro-batch."""

from __future__ import annotations

from fractions import Fraction

from calculator.engines.engine import Layers, Settings
from calculator.engines.memory.ask import Ask, Budget, Item
from calculator.engines.memory.facts import facts
from calculator.engines.memory.pages import Cells
from calculator.engines.memory.shares import Stage, kept_layers, tensor_share, weights_listed
from calculator.numbers.units import MIB
from calculator.parallel import Layout

ONE = Layout()  # llama.cpp divides by layers, no matrices
COMPUTE = (
    "ggml-org/llama.cpp src/llama-graph.cpp: the larger of the attention's scores (without flash attention) and the "
    "logits of a micro-batch, in 32 bit; it closes on logs of Llama-3-8B (560 MiB), Llama-2-7B (164) and TriLM (105)"
)


def budget(ask: Ask) -> Budget:
    """The first device of a split by layers (-sm layer), which is at least as full as the others."""
    layers = ask.model.layers
    offered = ask.get("n_gpu_layers", default=layers + 1)
    devices = ask.layout.pp * ask.layout.tp
    on_device = min(offered, layers)
    # The last layers are offloaded, and the output with one more than there are layers.
    stage = Stage(layers - on_device, layers, False, offered > layers)
    listed = weights_listed(ask.model, ask.dtype, ask.kv_dtype)
    held, host = Fraction(0), Fraction(0)
    for op in listed:
        here = _part(op.span.layers, op.span.after, op.span.stack == ask.path, stage)
        size = op.weight_bytes * op.stored * tensor_share(op, ONE)
        if op.component == "head" and not op.stored:
            size = Fraction(op.weight_bytes * op.count)  # a tied head is the embedding once more, on the device
            held += size * here
            continue
        held += size * here
        host += size * (1 - here)
    context = facts()["llama.cpp"]["context_mib"]
    micro = ask.get("ubatch_size", "max_num_batched_tokens", default=facts()["llama.cpp"]["n_ubatch"])
    compute = compute_buffer(ask, micro)
    items = (
        Item("weights", f"Weights of {on_device} of {layers} layers", round(held / devices), "gguf's tensors", "exact"),
        Item("activations", f"Compute buffer of {micro:,} tokens", compute, COMPUTE),
        Item("overhead", "CUDA context", context[0] * MIB, context[1], "logged"),
    )
    kinds = [_divided(k, devices) for k in kept_layers(listed, stage, ONE, ask.path)]
    cache = Cells(tuple(k for k in kinds if k.count), Settings(batched_tokens=micro, cache=ask.kv_dtype))
    pool = ask.get("cache_pool") or ask.visible - sum(item.size for item in items)
    notes = ["The token embedding stays in the host's memory."]
    if on_device < layers:
        notes.append(f"{layers - on_device} of {layers} layers run on the host, which is slower by its bandwidth.")
    defaults = {"n_gpu_layers": offered, "ubatch_size": micro}
    return Budget(ask.visible, items, pool, cache, None, tuple(notes), round(host), defaults)


def _part(layers: tuple[int, ...], after: bool, text: bool, stage: Stage) -> Fraction:
    if not text:
        return Fraction(1)
    if not layers:
        return Fraction(stage.last if after else 0)
    return Fraction(sum(stage.start <= i < stage.stop for i in layers), len(layers))


def _divided(layers: Layers, devices: int) -> Layers:
    return Layers(layers.kept, -(-layers.count // devices))


def compute_buffer(ask: Ask, micro: int) -> int:
    """Bytes of the buffer that the operations of a micro-batch share."""
    hidden, vocabulary = ask.model.hidden_size, ask.model.vocabulary_size
    logits = micro * (vocabulary + hidden) * 4
    if ask.get("flash_attn", default=True):
        return logits
    heads = int(ask.model.stated("num_attention_heads") or 1)
    cells = -(-ask.longest // 256) * 256
    return max(logits, micro * 4 * (heads * cells + cells + 4 * hidden))
