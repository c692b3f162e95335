"""The formula against headers: what is equal, and the reason for everything that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from models import DEEPSEEK, EVERY, GEMMA, GPT2, GPT_OSS, LLAMA, QWEN3_MOE, folder, tensors
from writers import Tensors, write_gguf

from calculator import Comparison, compare, estimate, load_checkpoint, load_model
from calculator.sources.load import model_from_config


def compared(path: Path, config: dict[str, Any], stored: Tensors) -> Comparison:
    return compare(model_from_config(config), load_checkpoint(folder(path, config, stored)))


def renamed(stored: Tensors, pattern: str, new: str) -> Tensors:
    return {re.sub(pattern, new, name): of for name, of in stored.items()}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_the_formulas_own_tensors_are_equal(tmp_path: Path, config: dict[str, Any]) -> None:
    found = compared(tmp_path, config, tensors(config))
    model = model_from_config(config)
    assert found.equal
    assert found.rows == ()
    assert found.formula.parameters == found.stored.parameters == model.parameters.total
    assert found.formula.nbytes == found.stored.nbytes == found.file_bytes == estimate(model).memory.weights
    assert sum(a.parameters for a, _ in found.by_role.values()) == model.parameters.total


def test_prediction_layers_are_beside_the_model(tmp_path: Path) -> None:
    model = model_from_config(DEEPSEEK)
    own = tensors(DEEPSEEK)
    more = {name: ("BF16", shape) for name, shape in model.tensors(apart=True) if name not in own}
    found = compared(tmp_path, DEEPSEEK, own | more)
    assert found.equal
    assert {row.name for row in found.rows} == more.keys()
    assert found.reasons == {"multi-token-prediction layer": len(more)}
    assert found.stored.parameters == found.formula.parameters == model.parameters.total
    # The score bias of its router is a buffer of four.
    assert found.beside == {"multi-token-prediction layer": 2 * (model.parameters.apart + 4)}


def test_a_missing_and_an_added_tensor_are_unexplained(tmp_path: Path) -> None:
    stored = tensors(LLAMA)
    del stored["model.layers.1.mlp.up_proj.weight"]
    stored["model.layers.1.mlp.side_proj.weight"] = ("BF16", (5, 7))
    found = compared(tmp_path, LLAMA, stored)
    assert {(row.name, row.reason) for row in found.rows} == {
        ("model.layers.1.mlp.up_proj.weight", "unexplained"),
        ("model.layers.1.mlp.side_proj.weight", "unexplained"),
    }
    assert not found.equal
    assert found.formula.parameters - found.stored.parameters == 96 * 64 - 35
    assert found.by_role["unexplained"][1].parameters == 35


def test_a_tensor_of_another_size_is_unexplained(tmp_path: Path) -> None:
    stored = tensors(LLAMA) | {"model.norm.weight": ("BF16", (65,))}
    found = compared(tmp_path, LLAMA, stored)
    assert [(r.name, r.formula, r.stored, r.reason) for r in found.rows] == [
        ("model.norm.weight", (64,), (65,), "unexplained")
    ]
    assert not found.parameters_equal


REASONS: dict[str, tuple[dict[str, Any], Tensors, str]] = {
    "rotary": (LLAMA, {"model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (8,))}, "buffer"),
    "mask": (GPT2, {"transformer.h.0.attn.bias": ("BF16", (1, 1, 32, 32))}, "buffer"),
    "masked bias": (GPT2, {"transformer.h.0.attn.masked_bias": ("BF16", ())}, "buffer"),
    "tied": (GEMMA, {"lm_head.weight": ("BF16", (128, 64))}, "tied head stored twice"),
    "cache": (LLAMA, {"model.layers.0.self_attn.k_scale": ("F32", ())}, "scale of the KV cache"),
    "cache of compressed-tensors": (
        LLAMA,
        {"model.layers.0.self_attn.k_proj.output_scale": ("F32", ())},
        "scale of the KV cache",
    ),
    "prediction": (DEEPSEEK, {"model.layers.3.eh_proj.weight": ("BF16", (64, 128))}, "multi-token-prediction"),
    "prediction's experts": (
        DEEPSEEK,
        {"model.layers.3.mlp.experts.0.up_proj.weight": ("BF16", (32, 64))},
        "multi-token-prediction",
    ),
    "mtp": (LLAMA, {"mtp.layers.0.mlp.up_proj.weight": ("BF16", (96, 64))}, "multi-token-prediction layer"),
}


@pytest.mark.parametrize(("config", "more", "reason"), REASONS.values(), ids=REASONS)
def test_what_the_formula_rightly_lacks(tmp_path: Path, config: dict[str, Any], more: Tensors, reason: str) -> None:
    found = compared(tmp_path, config, tensors(config) | more)
    assert [row.name for row in found.rows] == list(more)
    assert reason in found.rows[0].reason
    assert found.parameters_equal
    assert found.equal
    assert sum(found.beside.values()) == found.file_bytes - found.stored.nbytes


@pytest.mark.parametrize(
    ("pattern", "new"),
    [(r"^model\.", ""), (r"^model\.", "language_model.model."), (r"^", "base."), (r"^model\.layers\.", "decoder.h.")],
)
def test_a_renamed_prefix(tmp_path: Path, pattern: str, new: str) -> None:
    found = compared(tmp_path, LLAMA, renamed(tensors(LLAMA), pattern, new))
    assert found.equal
    assert set(found.reasons) == {"renamed"}
    row = next(r for r in found.rows if r.name.endswith("1.mlp.up_proj.weight"))
    assert row.weight == "model.layers.1.mlp.up_proj.weight"


def test_packed_experts_against_separate_ones(tmp_path: Path) -> None:
    stored = {n: of for n, of in tensors(QWEN3_MOE).items() if ".experts." not in n}
    for i in range(3):
        stored[f"model.layers.{i}.mlp.experts.gate_up_proj"] = ("BF16", (4, 64, 64))
        stored[f"model.layers.{i}.mlp.experts.down_proj"] = ("BF16", (4, 64, 32))
    found = compared(tmp_path, QWEN3_MOE, stored)
    assert found.equal
    assert found.reasons == {"packed against separate experts": 6}


def test_separate_experts_against_packed_ones(tmp_path: Path) -> None:
    stored = {n: of for n, of in tensors(GPT_OSS).items() if ".experts." not in n}
    for i in range(3):
        for e in range(4):
            path = f"model.layers.{i}.mlp.experts.{e}."
            stored |= {f"{path}{n}_proj.weight": ("BF16", (64, 64)) for n in ("gate", "up", "down")}
            stored |= {f"{path}{n}_proj.bias": ("BF16", (64,)) for n in ("gate", "up", "down")}
    found = compared(tmp_path, GPT_OSS, stored)
    assert found.equal
    assert set(found.reasons) == {"packed against separate experts"}


def test_fused_projections(tmp_path: Path) -> None:
    stored = {n: of for n, of in tensors(LLAMA).items() if not re.search(r"[qkv]_proj|gate_proj|up_proj", n)}
    for i in range(3):
        stored[f"model.layers.{i}.self_attn.qkv_proj.weight"] = ("BF16", (128, 64))
        stored[f"model.layers.{i}.mlp.gate_up_proj.weight"] = ("BF16", (192, 64))
    found = compared(tmp_path, LLAMA, stored)
    assert found.equal
    assert found.reasons == {"fused against separate projections": 6}


def test_transposed_matrices(tmp_path: Path) -> None:
    stored = tensors(GPT2)
    for name, (dtype, shape) in stored.items():
        if "c_attn.weight" in name or "c_fc.weight" in name:
            stored[name] = (dtype, shape[::-1])
    found = compared(tmp_path, GPT2, stored)
    assert found.equal
    assert found.reasons == {"stored transposed": 6}


def test_another_type_than_the_config_says(tmp_path: Path) -> None:
    stored = tensors(LLAMA) | {"model.norm.weight": ("F32", (64,))}
    found = compared(tmp_path, LLAMA, stored)
    assert found.parameters_equal
    assert not found.bytes_equal
    assert not found.equal
    row = found.rows[0]
    assert (row.reason, row.dtype, row.formula_bytes, row.stored_bytes) == (
        "stored in another type than priced",
        "F32",
        128,
        256,
    )


def test_a_checkpoint_of_the_bare_model(tmp_path: Path) -> None:
    stored = renamed({n: of for n, of in tensors(LLAMA).items() if n != "lm_head.weight"}, r"^model\.", "")
    found = compared(tmp_path, LLAMA, stored)
    assert "head that this checkpoint of the bare model lacks" in found.reasons
    assert not found.equal
    assert not found.unexplained


def test_gguf_against_the_formula(tmp_path: Path) -> None:
    """llama.cpp's names, by layer and shape; bytes follow from no config and are not compared."""
    config = LLAMA | {"num_hidden_layers": 2, "intermediate_size": 256, "hidden_size": 256, "vocab_size": 512}
    short = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
    short |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
    short |= {"mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    stored: Tensors = {"rope_freqs.weight": ("F32", (32,))}
    for name, (_, shape) in tensors(config).items():
        for long, new in (*short.items(), ("model.layers.", "blk."), ("model.embed_tokens", "token_embd")):
            name = name.replace(long, new)
        name = name.replace("lm_head", "output").replace("model.norm", "output_norm")
        stored[name] = ("F32" if len(shape) == 1 else "Q4_K", shape)
    path = write_gguf(tmp_path / "x.gguf", stored, {"general.architecture": "llama"})
    found = compare(model_from_config(config), load_checkpoint(path))
    assert found.equal
    assert not found.priced
    assert set(found.reasons) <= {"renamed", "packed quantized weight", "buffer"}
    assert found.stored.parameters == model_from_config(config).parameters.total


def test_the_public_names(tmp_path: Path) -> None:
    path = folder(tmp_path, LLAMA, tensors(LLAMA))
    assert isinstance(compare(load_model(path), load_checkpoint(path)), Comparison)
