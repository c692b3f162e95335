"""The engine against numbers recorded from transformers on torch's meta device (tests/oracle/make_golden.py):
parameters, tensors by name and shape, and the FLOPs that torch's FlopCounterMode counts, all with ==."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from calculator import Workload, estimate
from calculator.families import FAMILIES
from calculator.operations import forward
from calculator.parts import Attention, LatentAttention, LightningAttention
from calculator.sources import model_from_config

CASES = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
# transformers builds it with num_experts_per_tok = None, and then cannot run it.
RUNS = [c for c in CASES if (c["model_type"], c["name"]) != ("deepseek_v2", "default")]
FLOPS = [c for c in RUNS if "flops" in c]
# These store some matrices as [inputs, outputs] (Conv1D, packed experts); the engine lists all as [outputs, inputs].
TRANSPOSED = {
    "gpt2": ("c_attn.weight", "q_attn.weight", "c_proj.weight", "c_fc.weight"),
    "gpt_oss": ("gate_up_proj", "down_proj"),
    "gemma3": ("mm_input_projection_weight",),
    "llama4": ("experts.gate_up_proj", "experts.down_proj"),
    "llama4_text": ("experts.gate_up_proj", "experts.down_proj"),
}
# transformers 5 writes paths that the checkpoints on the Hub do not have: it shortens two towers, and where it reverses
# the renames of Kimi K2.5 and DeepSeek-V4 they hit names that they should not, or miss some.
RENAMED = {
    "gemma3": ((r"^vision_tower\.vision_model\.", "vision_tower."),),
    "lfm2_vl": ((r"^model\.vision_tower\.vision_model\.", "model.vision_tower."),),
    "kimi_k25": (
        (r"^language_model\.model\.layers", "language_model.model.blocks"),
        (r"\.self_attn\.q_proj\.", ".self_wqkv."),
        (r"^mm_projector\.pre_norm", "model.mm_projector.pre_norm"),
        (r"^vision_tower\.patch_embed\.proj", "vision_tower.encoder.patch_embed.proj"),
    ),
    "deepseek_v4": (
        (r"^embed\.", "embed_tokens."),
        (r"^hc_head_", "hc_head.hc_"),
        (r"\.attn\.kv_norm\.", ".attn.norm."),
        (r"^(?!head\.)", "model."),
    ),
}
# Buffers, which the recording leaves out; those of two types are parameters in spite of their name.
BUFFERS = {
    "hy_v3": ("expert_bias",),
    "lfm2_moe": ("expert_bias",),
    "gemma4": ("layer_scalar",),
    "gemma4_text": ("layer_scalar",),
    "deepseek_v4": ("gate.bias", "gate.tid2eid"),
    "ernie4_5_moe": (),
    "laguna": (),
}


def named(case: dict) -> str:
    return f"{case['model_type']}-{case['name']}"


def model_of(case: dict):
    return model_from_config(case["config"])


def counted(flops) -> int:
    """What the oracle counts, without the short convolutions: it counts them on their padded output."""
    return flops.matmul - flops.by_kind.get("convolution", 0)


def recorded(entry: dict) -> int:
    return entry.get("matmul_without_scan", entry.get("matmul")) - entry.get("convolution", 0)


def test_every_recorded_type_has_a_family():
    assert {c["model_type"] for c in CASES} <= set(FAMILIES)
    assert len(CASES) >= 441


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_parameters(case):
    assert model_of(case).parameters.total == case["parameters"]


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_tensors_are_the_checkpoints_by_name_and_shape(case):
    transposed = TRANSPOSED.get(case["model_type"], ())
    lines = []
    for name, shape in model_of(case).tensors():
        if name.endswith(BUFFERS.get(case["model_type"], ("e_score_correction_bias",))):
            continue
        for pattern, replacement in RENAMED.get(case["model_type"], ()):
            name = re.sub(pattern, replacement, name)
        if name.endswith(transposed):
            shape = (*shape[:-2], shape[-1], shape[-2])
        lines.append(f"{name} {'x'.join(map(str, shape))}")
    expected = case.get("checkpoint", case)
    assert len(lines) == expected["tensors"]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] == expected["shapes_sha"]


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_forward_flops(case):
    model = model_of(case)
    for entry in case["flops"]:
        w = Workload(batch_size=entry["batch"], sequence_length=entry["seq"], logits=entry["logits"])
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_decode_flops(case):
    model = model_of(case)
    for entry in case["decode"]:
        w = Workload(mode="decode", batch_size=entry["batch"], sequence_length=entry["cached"])
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_training_flops_are_forward_and_backward(case):
    model = model_of(case)
    for entry in case["train_flops"]:
        w = Workload(mode="pretraining", batch_size=entry["batch"], sequence_length=entry["seq"])
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


def apart(case: dict, model, w: Workload) -> int:
    """What transformers counts beyond the engine where it runs another algorithm."""
    kinds = {type(part) for layer in model.text.layers for part in layer.parts}
    more = 0
    if w.mode == "decode" and LatentAttention in kinds:
        more += expansion_of_the_cache(model, w.batch_size, w.sequence_length + 1)
    if w.mode == "decode" and case["model_type"] == "gpt_neo":
        more += keys_before_the_window(model, w.batch_size, w.sequence_length + 1)
    if w.mode == "pretraining":
        more -= gradients_of_the_indexer(model, w)
    if case["model_type"].startswith("llama4"):
        more += experts_not_chosen(model, w)
    if case["model_type"].startswith("gemma4") and w.logits == "last":
        more -= tokens_past_the_shared_keys(model, w)
    if LightningAttention in kinds:
        more += linear_attention_in_blocks(model, w)
    return more


def expansion_of_the_cache(model, batch: int, keys: int) -> int:
    """What transformers' decode adds to the absorbed one: it expands the whole latent cache at every step, and attends
    over expanded heads."""
    part = next(p for p in model.text.layers[0].parts if isinstance(p, LatentAttention))
    wide, latent = part.nope_dim + part.rope_dim + part.value_dim, 2 * part.kv_rank + part.rope_dim
    expand = 2 * batch * (keys - 1) * part.kv_rank * part.heads * (part.nope_dim + part.value_dim)
    return model.layers * (expand + 2 * batch * keys * part.heads * (wide - latent))


def keys_before_the_window(model, batch: int, keys: int) -> int:
    """GPT-Neo's local attention is a mask in transformers: it keeps and scores all keys at every step."""
    parts = [p for layer in model.text.layers for p in layer.parts if isinstance(p, Attention) and p.window]
    return sum(4 * batch * max(keys - p.window, 0) * p.heads * p.head_dim for p in parts)


def gradients_of_the_indexer(model, w: Workload) -> int:
    """A choice by topk passes no gradient on, so transformers runs the indexer forward only; its published training has
    a loss of its own (arXiv:2512.02556), which the engine prices."""
    listed = forward(model, w, w.batch_size, w.sequence_length)
    kinds = ("matmul", "attention")
    return sum(op.flops * op.count for op in listed if ".indexer." in op.name and op.kind in kinds) * 2 // 3


def experts_not_chosen(model, w: Workload) -> int:
    """Llama 4 in transformers sends every token through all experts, and multiplies the others' inputs by zero."""
    used, held = model.experts.top_k, model.experts.experts
    listed = forward(model, w, w.batch_size, w.sequence_length)
    routed = sum(op.flops * op.count for op in listed if op.component == "experts" and op.kind == "matmul")
    return routed * (held - used) // used


def tokens_past_the_shared_keys(model, w: Workload) -> int:
    """Where Gemma 4's last layers reuse earlier keys and values, transformers runs only the tokens whose logits are
    wanted through them."""
    layers = model.text.layers
    own = [layer for layer in layers if not any(isinstance(p, Attention) and p.shared_kv for p in layer.parts)]
    shared = counted(estimate(model, w).flops) - counted(estimate(model.with_layers(tuple(own)), w).flops)
    return shared // w.sequence_length * (w.sequence_length - 1)


def linear_attention_in_blocks(model, w: Workload) -> int:
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


def test_the_recording_covers_what_it_claims():
    assert sum(len(c["flops"]) for c in FLOPS) >= 900
    assert sum(len(c["decode"]) for c in FLOPS) >= 550
