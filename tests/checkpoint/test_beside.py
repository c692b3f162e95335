"""Headers that lie beside the config of a type that a family reads: the bytes are theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from writers import Tensors, gguf_bytes, safetensors_bytes

from calculator import compare, estimate, load_checkpoint, load_model

WIDTH, INNER, VOCABULARY, EXPERTS = 256, 128, 1024, 4
DENSE = {
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
MIXTURE = DENSE | {
    "model_type": "qwen3_moe",
    "head_dim": 64,
    "moe_intermediate_size": INNER,
    "num_experts": EXPERTS,
    "num_experts_per_tok": 2,
}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


def tensors(config: dict[str, Any], matrix: str = "BF16") -> Tensors:
    """The tensors of the config's checkpoint, its layers' matrices in the type."""
    found: Tensors = {}
    for name, shape in load_model(config).tensors():
        inside = len(shape) == 2 and ".layers." in name and ".gate.weight" not in name
        found[name] = (matrix if inside else "BF16", shape)
    return found


def write(folder: Path, config: dict[str, Any], stored: Tensors, file: str = "model.safetensors") -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    header, size = safetensors_bytes(stored)
    (folder / file).write_bytes(header + bytes(size))
    return folder


def notes(source: Path) -> str:
    return " ".join(load_model(source).notes)


def test_bytes_are_the_headers_and_the_rules_stand_beside(tmp_path: Path):
    """A config that says FP8, whose files hold 16 bit."""
    config = DENSE | {"quantization_config": FP8}
    model = load_model(write(tmp_path, config, tensors(DENSE)))
    e, rules = estimate(model, mode="decode"), estimate(load_model(config), mode="decode")
    assert e.memory.weights == 2 * model.parameters.total == 2_230_784
    assert rules.memory.weights == e.memory.weights - sum(
        r * c - 4 * -(-r // 128) * -(-c // 128) for name, (_, (r, c)) in _matrices(DENSE).items()
    )
    assert e.memory.kv_cache == rules.memory.kv_cache
    assert e.flops.total == rules.flops.total
    assert f"the config's rules say {rules.memory.weights:,}" in notes(tmp_path)
    compared = compare(model, load_checkpoint(tmp_path))
    assert (compared.formula.nbytes, compared.stored.nbytes) == (rules.memory.weights, e.memory.weights)


def _matrices(config: dict[str, Any]) -> Tensors:
    return {name: entry for name, entry in tensors(config, "F8_E4M3").items() if entry[0] == "F8_E4M3"}


def test_rules_that_are_right_are_said_to_be(tmp_path: Path):
    assert "as the config's rules say too" in notes(write(tmp_path, DENSE, tensors(DENSE)))


def test_another_precision_is_asked_for(tmp_path: Path):
    """The headers are of the checkpoint; what is asked for instead is priced by its own rules."""
    here, there = load_model(write(tmp_path, DENSE, tensors(DENSE, "F8_E4M3"))), load_model(DENSE)
    for dtype in ("bf16", "int4", "q4_k"):
        assert estimate(here, dtype=dtype).memory.weights == estimate(there, dtype=dtype).memory.weights
    assert estimate(here, mode="pretraining").memory.weights == estimate(there, mode="pretraining").memory.weights


def test_experts_of_different_types(tmp_path: Path):
    """One expert of a layer in 16 bit, the others two 4-bit floats a byte with a scale for 32."""
    stored: Tensors = {}
    for name, (dtype, shape) in tensors(MIXTURE).items():
        if ".experts." in name and not (".layers.1." in name and ".experts.3." in name):
            stored[name] = ("I8", (shape[0], shape[1] // 2))
            stored[f"{name.removesuffix('.weight')}.scale"] = ("F8_E8M0", (shape[0], shape[1] // 32))
        else:
            stored[name] = (dtype, shape)
    model = load_model(write(tmp_path, MIXTURE, stored))
    packed = 7 * 3 * WIDTH * INNER  # elements of seven of the eight experts
    whole = 2 * (model.parameters.total - packed)
    assert estimate(model).memory.weights == whole + packed // 2 + packed // 32
    assert model.parameters.total == load_model(MIXTURE).parameters.total


def test_packed_experts_in_one_tensor(tmp_path: Path):
    stored = {name: entry for name, entry in tensors(MIXTURE).items() if ".experts." not in name}
    for i in range(2):
        prefix = f"model.layers.{i}.mlp.experts"
        stored[f"{prefix}.gate_up_proj"] = ("F8_E4M3", (EXPERTS, 2 * INNER, WIDTH))
        stored[f"{prefix}.down_proj"] = ("BF16", (EXPERTS, WIDTH, INNER))
    model = load_model(write(tmp_path, MIXTURE, stored))
    saved = 2 * EXPERTS * 2 * INNER * WIDTH
    assert estimate(model).memory.weights == 2 * model.parameters.total - saved


@pytest.mark.parametrize(
    ("damage", "words"),
    {
        "shard": "of the 2 shards",
        "cut": "cut short",
        "index": "A shard that model.safetensors.index.json lists is missing",
        "garbage": "no usable safetensors file",
    }.items(),
)
def test_headers_that_cannot_be_read_cost_a_note(tmp_path: Path, damage: str, words: str):
    config = DENSE | {"quantization_config": FP8}
    file = "model-00001-of-00002.safetensors" if damage in ("shard", "index") else "model.safetensors"
    write(tmp_path, config, tensors(DENSE), file)
    if damage == "cut":
        (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-100])
    if damage == "garbage":
        (tmp_path / file).write_bytes(b"<html>a page about a login</html>")
    if damage == "index":
        places = {"model.norm.weight": "model-00002-of-00002.safetensors"}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert estimate(load_model(tmp_path)).memory.weights == estimate(load_model(config)).memory.weights
    assert words in notes(tmp_path)


def test_headers_of_another_model_are_not_taken(tmp_path: Path):
    write(tmp_path, DENSE, tensors(DENSE | {"vocab_size": 1040}))
    assert estimate(load_model(tmp_path)).memory.weights == estimate(load_model(DENSE)).memory.weights
    assert "parameters where the config describes" in notes(tmp_path)


def test_what_lies_beside_a_config_of_another_name_is_not_its_own(tmp_path: Path):
    write(tmp_path, DENSE, tensors(DENSE, "F8_E4M3"))
    (tmp_path / "mine.json").write_text(json.dumps(DENSE))
    assert estimate(load_model(tmp_path / "mine.json")).memory.weights == estimate(load_model(DENSE)).memory.weights


def test_a_gguf_file_beside_the_config(tmp_path: Path):
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    inside = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    names |= {f"model.layers.{i}.{a}": f"blk.{i}.{b}" for i in range(2) for a, b in inside.items()}
    stored: Tensors = {}
    matrices = 0
    for name, (_, shape) in tensors(DENSE).items():
        kind = "Q8_0" if len(shape) == 2 else "F32"
        matrices += shape[0] * shape[1] if len(shape) == 2 else 0
        stored[f"{names[name.removesuffix('.weight')]}.weight"] = (kind, shape)
    (tmp_path / "config.json").write_text(json.dumps(DENSE))
    header, size = gguf_bytes(stored, {"general.architecture": "llama"})
    (tmp_path / "model-Q8_0.gguf").write_bytes(header + bytes(size))
    model = load_model(tmp_path)
    vectors = model.parameters.total - matrices
    assert estimate(model).memory.weights == matrices * 34 // 32 + 4 * vectors
    assert "how a GGUF file is quantized follows from no config" in notes(tmp_path)


def test_packing_that_is_not_known_still_tells_the_bytes(tmp_path: Path):
    """A method of tomorrow: 3 bits of 32 in an I32 with 16-bit scales, which no rule reads."""
    config = DENSE | {"quantization_config": {"quant_method": "of-tomorrow", "bits": 3}}
    stored: Tensors = {}
    for name, (dtype, shape) in tensors(DENSE).items():
        if ".layers." in name and len(shape) == 2:
            stored[name] = ("I32", (shape[0], shape[1] * 3 // 32))
            stored[f"{name.removesuffix('.weight')}.weight_scale"] = ("F16", (shape[0], shape[1] // 64))
        else:
            stored[name] = (dtype, shape)
    model = load_model(write(tmp_path, config, stored))
    packed = sum(shape[0] * shape[1] for name, (_, shape) in _matrices(DENSE).items())
    assert estimate(model).memory.weights == 2 * (model.parameters.total - packed) + packed * 3 // 8 + packed // 32
    assert model.parameters.total == load_model(DENSE).parameters.total


def test_tensors_that_the_formula_lacks_are_told(tmp_path: Path):
    stored = tensors(DENSE) | {"model.side_tower.weight": ("BF16", (16, 16))}
    model = load_model(write(tmp_path, DENSE, stored))
    assert estimate(model).memory.weights == 2 * model.parameters.total
    assert "The checkpoint holds 512 bytes more" in " ".join(model.notes)
