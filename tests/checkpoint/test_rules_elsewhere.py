"""Rules as other libraries and other places state them: AMD Quark, torchao's integers in bytes, AWQ's own file beside
the config, a pattern for the module that holds the experts, MLX's names of towers, and what FP8 leaves out unsaid.

Formats are summed by hand over the shapes of a miniature: 2 layers of width 256, keys and values of 128, an MLP of 512.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from layouts import QUARK_FP8, QUARK_MX, quark

from calculator import estimate, load_model
from calculator.model import Model
from calculator.sources.load import model_from_config

SMALL = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
ATTENTION = (256 * 256, 128 * 256, 128 * 256, 256 * 256)  # q, k, v, o
MLP = (512 * 256, 512 * 256, 256 * 512)
ROWS = (256, 128, 128, 256, 512, 512, 256)
KEPT = 2 * (2 * 1024 * 256 + 5 * 256)  # embedding, head and norms in 16 bit
ALL = 2 * sum((*ATTENTION, *MLP))


def quantized(block: dict[str, Any], **fields: Any) -> Model:
    return model_from_config(SMALL | fields | {"quantization_config": block})


def weights(model: Model) -> int:
    return int(estimate(model).memory.weights)


def forms(model: Model) -> dict[str, set[str]]:
    """Which formats the components have."""
    found: dict[str, set[str]] = {}
    for row in estimate(model).rows("formats"):
        found.setdefault(row["component"], set()).add(row["format"])
    return found


INT4_GROUPS = {"dtype": "uint4", "qscheme": "per_group", "group_size": 128, "symmetric": False}
INT8_ROWS = {"dtype": "int8", "qscheme": "per_channel", "symmetric": True}
STAGES = [QUARK_FP8, {"dtype": "int4", "qscheme": "per_channel", "symmetric": True, "ch_axis": 0}]
NVFP4 = [{"dtype": "fp4", "qscheme": "per_group", "group_size": 16, "is_dynamic": False}, QUARK_FP8]


@pytest.mark.parametrize(
    ("block", "nbytes"),
    {
        "mxfp4": (quark(QUARK_MX), ALL // 2 + ALL // 32),
        "mxfp6": (quark(QUARK_MX | {"dtype": "fp6_e3m2"}), ALL * 6 // 8 + ALL // 32),
        "fp8, static inputs": (quark(QUARK_FP8, QUARK_FP8), ALL + 14 * 8),
        "fp8, dynamic inputs": (quark(QUARK_FP8, QUARK_FP8 | {"is_dynamic": True}), ALL + 14 * 4),
        "int8 by row": (quark(INT8_ROWS), ALL + 2 * sum(ROWS) * 4),
        "int4 in groups, asymmetric": (quark(INT4_GROUPS), ALL // 2 + ALL // 128 * 20 // 8),
        "int4 made from fp8": (quark(STAGES), ALL // 2 + 2 * sum(ROWS) * 4 + 14 * 4),
        "nvfp4": (quark(NVFP4), ALL // 2 + ALL // 16 + 14 * 4),
        "not quantized": (quark({}), 2 * ALL),
        "scales beside 16 bit": (quark(QUARK_MX, export={"weight_format": "fake_quantized"}), 2 * ALL),
        "a class": (quark({}, layer_type_quant_config={"Linear": {"weight": QUARK_FP8}}), ALL + 14 * 4),
    }.values(),
)
def test_quark(block: dict[str, Any], nbytes: int) -> None:
    assert weights(quantized(block)) == KEPT + nbytes


def test_quarks_precedence() -> None:
    """What is excluded, then the first pattern that matches, then the global specification."""
    layers = {
        "*down_proj": {"weight": QUARK_FP8},
        "*mlp*": {"weight": QUARK_MX},
        "*v_proj": {"weight": QUARK_FP8, "output_tensors": {"dtype": "fp8_e4m3"}},
    }
    block = quark(INT8_ROWS, layer_quant_config=layers) | {"exclude": ["lm_head", "model.layers.0.self_attn.q_proj"]}
    model = quantized(block)
    found = {row["example"].rpartition(".layers.")[2]: row["format"] for row in estimate(model).rows("formats")}
    assert found["0.mlp.down_proj.weight"] == "fp8"
    assert found["0.mlp.gate_proj.weight"] == "mxfp4"
    assert found["0.self_attn.v_proj.weight"] == "fp8"
    assert found["0.self_attn.q_proj.weight"] == "bf16"
    assert found["0.self_attn.k_proj.weight"] == "int8"
    assert estimate(model, mode="decode", sequence_length=10).memory.kv_cache == 10 * 2 * 2 * 128


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (quark({"dtype": "int7", "qscheme": "per_tensor"}), "'int7'"),
        (quark(QUARK_MX | {"group_size": 64}), "groups of 64"),
        (quark([QUARK_FP8, QUARK_FP8, QUARK_FP8]), "3 stages"),
        (quark(QUARK_FP8, layer_type_quant_config={"GRUCell": {"weight": QUARK_FP8}}), "GRUCell"),
    ],
)
def test_what_of_quark_is_not_known_is_said(block: dict[str, Any], word: str) -> None:
    model = quantized(block)
    assert any(word in note and "priced unquantized" in note for note in model.notes)


def test_integers_in_bytes_of_torchao() -> None:
    """A byte each whatever the bits, a 16-bit scale and an 8-bit zero point per group; names go before the default."""

    def intx(bits: str, grain: dict[str, Any]) -> dict[str, Any]:
        data = {"weight_dtype": {"_data": bits, "_type": "torch.dtype"}, "granularity": grain}
        return {"_type": "IntxWeightOnlyConfig", "_version": 2, "_data": data}

    by_row, by_group = {"_type": "PerAxis", "_data": {"axis": 0}}, {"_type": "PerGroup", "_data": {"group_size": 32}}
    modules = {"_default": intx("int4", by_group), "model.embed_tokens": intx("int8", by_row), "lm_head": None}
    default = {"_type": "ModuleFqnToConfig", "_data": {"module_fqn_to_config": modules}}
    model = quantized({"quant_method": "torchao", "quant_type": {"default": default}})
    table = 1024 * 256
    assert weights(model) == KEPT - 2 * table + table + 1024 * 3 + ALL + ALL // 32 * 3


def test_awqs_own_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    said = {"zero_point": True, "q_group_size": 64, "w_bit": 4, "version": "GEMM"}
    (tmp_path / "quant_config.json").write_text(json.dumps(said))
    model = load_model(tmp_path)
    assert weights(model) == KEPT + ALL // 2 + ALL // 64 * 20 // 8
    assert {row["where"] for row in estimate(model).rows("formats")} >= {"quant_config.json.bits"}


def test_a_pattern_for_the_module_that_holds_the_experts() -> None:
    sizes = {"model_type": "qwen3_moe", "num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
    group = {"targets": [r"re:.*mlp\.experts$"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
    block = {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": group}}
    model = quantized(block, **sizes)
    assert forms(model)["experts"] == {"fp8"}
    assert forms(model)["attention"] == {"bf16"}
    assert not any("no tensor" in note for note in model.notes)


def test_mlx_names_a_tower_in_its_own_words() -> None:
    """mlx-vlm calls Qwen's `visual` vision_tower; 27 layers of Qwen3-VL-4B stay in 16 bit but for what is named."""
    config = {k: v for k, v in load_model("Qwen/Qwen3-VL-4B-Instruct").config.items() if not k.startswith("default_")}
    own = {"vision_tower.blocks.0.attn.qkv": {"group_size": 64, "bits": 8}}
    plain, named = (
        model_from_config(config | {"quantization": {"group_size": 64, "bits": 4} | more}) for more in ({}, own)
    )
    qkv = 3 * 1024 * 1024
    assert weights(plain) - weights(named) == 2 * qkv - qkv * (64 * 8 + 32) // (64 * 8)
    assert named.notes == plain.notes


def test_what_fp8_leaves_out_unsaid_is_no_rule_that_matches_nothing() -> None:
    block = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    model = quantized(block)
    assert not any("no tensor" in note for note in model.notes)
    found = estimate(load_model("deepseek-ai/DeepSeek-V4-Flash")).rows("formats")
    kept = [(row["tensors"], row["where"]) for row in found if "compressor" in row["rule"]]
    assert kept == [(21 * 5 + 20 * 2, "")]  # two of a compressor, and of the indexer's, and its weights
