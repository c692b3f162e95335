"""Methods under the names that engines give them, blocks that name no method, and formats that transformers' own
modules hold: bytes by hand over the shapes of the miniature of `test_rules_elsewhere`."""

from __future__ import annotations

from typing import Any

import pytest
from test_rules_elsewhere import ALL, ATTENTION, KEPT, MLP, ROWS, SMALL, quantized, weights

from calculator import load_model
from calculator.formats.quantization import block_of
from calculator.model import Model
from calculator.sources.load import model_from_config

GPTQ = ALL // 2 + ALL // 128 * 20 // 8 + 2 * 4 * (6 * 256 + 512)  # a scale, a zero point, and g_idx
AWQ = ALL // 2 + ALL // 128 * 20 // 8
ENDS = 2 * 1024 * 256  # elements of embedding and head, and bytes of one of them in 16 bit
NORMS = 2 * 5 * 256
PER_ROW = 4 * 2 * sum(ROWS)


def nvfp4(elements: int) -> int:
    return elements // 2 + elements // 16


INTEGERS = {"bits": 4, "group_size": 128}
HQQ = {"weight_quant_params": {"nbits": 4, "group_size": 64}}
NVFP4_LAYER = {"model.layers.0.mlp.down_proj": {"quant_algo": "NVFP4"}}


@pytest.mark.parametrize(
    ("block", "nbytes"),
    {
        "gptq_marlin": ({"quant_method": "gptq_marlin"} | INTEGERS, KEPT + GPTQ),
        "awq_marlin": ({"quant_method": "awq_marlin", "zero_point": True} | INTEGERS, KEPT + AWQ),
        "inc": ({"quant_method": "inc", "sym": True} | INTEGERS, KEPT + AWQ),
        "modelopt_mxfp8": ({"quant_method": "modelopt_mxfp8", "quant_algo": "MXFP8"}, KEPT + ALL * 33 // 32),
        "modelopt_mixed": (
            {"quant_method": "modelopt_mixed", "quant_algo": "MIXED_PRECISION", "quantized_layers": NVFP4_LAYER},
            KEPT + 2 * (ALL - 512 * 256) + nvfp4(512 * 256) + 8,
        ),
        "GPTQ unsaid": (INTEGERS | {"sym": True, "desc_act": False}, KEPT + GPTQ),
        "AWQ unsaid": (INTEGERS | {"zero_point": True}, KEPT + AWQ),
        "bitsandbytes unsaid": ({"load_in_4bit": True}, KEPT + ALL // 2 + ALL // 64 * 4 + 14 * 64),
        "bitsandbytes, a list without the head": (
            {"load_in_4bit": True, "llm_int8_skip_modules": ["vision_tower"]},
            NORMS + ENDS + (ALL + 1024 * 256) // 2 + (ALL + 1024 * 256) // 64 * 4 + 15 * 64,
        ),
        "bitsandbytes, a list with the head": (
            {"load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]},
            KEPT + ALL // 2 + ALL // 64 * 4 + 14 * 64,
        ),
        "bitsandbytes off": ({"load_in_4bit": False, "load_in_8bit": False}, KEPT + 2 * ALL),
        "MLX by mode": ({"mode": "nvfp4"}, NORMS + nvfp4(ALL + ENDS)),
        "HQQ by tags": (
            {"quant_method": "hqq", "quant_config": {"self_attn.q_proj": HQQ, "mlp.down_proj": HQQ}},
            KEPT + 2 * ALL - 2 * (256 * 256 + 512 * 256) * 2 + 2 * (256 * 256 + 512 * 256) * 9 // 16,
        ),
        "torchao, ends too": (
            {"quant_method": "torchao", "quant_type": "int8_weight_only", "include_input_output_embeddings": True},
            NORMS + ALL + ENDS + PER_ROW // 2 + 2 * 1024 * 2,
        ),
        "MXFP8": ({"quant_method": "mxfp8", "weight_block_size": [1, 32]}, KEPT + ALL * 33 // 32),
        "Metal": ({"quant_method": "metal", "bits": 4, "group_size": 64}, KEPT + ALL // 2 + ALL // 64 * 4),
        "FP-Quant": (
            {"quant_method": "fp_quant", "forward_dtype": "nvfp4"},
            KEPT + nvfp4(ALL) + 14 * (8 + 2 * 2 * 16 * 16),
        ),
        "FP-Quant for training": ({"quant_method": "fp_quant", "store_master_weights": True}, KEPT + 2 * ALL),
        "Gemma": ({"quant_method": "gemma", "num_bits": 4}, KEPT + ALL // 2 + PER_ROW + 14 * 8),
        "Gemma by module": (  # a list of modules, so that the head is converted unless it is in it
            {
                "quant_method": "gemma",
                "num_bits": 8,
                "quantize_embeddings": True,
                "module_quant_configs": {r"mlp\.": {"num_bits": 2}, "down_proj": {"num_bits": 4}},
                "modules_to_not_convert": ["model.layers.0.self_attn"],
            },
            NORMS
            + 2 * sum(ATTENTION)
            + (sum(ATTENTION) + 4 * 768 + 4 * 8)
            + 2 * (sum(MLP) // 4 + 4 * 1280 + 3 * 8)
            + (1024 * 256 + 4 * 1024 + 8)
            + (1024 * 256 + 4 * 1024),
        ),
        "FP8 tables": (
            {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_convert": ["model.embed_tokens"]},
            KEPT - 1024 * 256 + 4 + ALL + ALL // 128 // 128 * 4,
        ),
    }.values(),
)  # fmt: skip
def test_bytes(block: dict[str, Any], nbytes: int) -> None:
    assert weights(quantized(block)) == nbytes


def test_a_block_in_the_thinker_of_an_omni_model() -> None:
    """The thinker has towers, the language model inside it has none; the talker is outside of both."""
    config = dict(load_model("Qwen/Qwen2.5-Omni-7B").config)
    block = {"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["lm_head"]}
    thinker = config["thinker_config"]
    inner = thinker | {"text_config": thinker["text_config"] | {"quantization_config": block}}
    places = (thinker | {"quantization_config": block}, inner)
    found = [block_of(config | {"thinker_config": place}) for place in places]
    assert [(b.place, b.towers) for b in found if b] == [
        ("thinker_config.quantization_config", True),
        ("thinker_config.text_config.quantization_config", False),
    ]


def test_mlx_converts_what_joins_a_tower_to_the_language_model() -> None:
    """mlx-vlm skips the paths of towers; LLaVA's projector is none. Gemma 3's projection is a bare array."""
    mlx = {"quantization": {"group_size": 64, "bits": 4}}
    llava = dict(load_model("llava-hf/llava-1.5-7b-hf").config) | mlx
    kept = llava | {"quantization": mlx["quantization"] | {f"multi_modal_projector.linear_{i}": False for i in (1, 2)}}
    assert weights(model_from_config(llava)) == 4_409_864_192
    assert weights(model_from_config(kept)) == 4_409_864_192 + (1024 + 4096) * 4096 * 23 // 16
    gemma = model_from_config(dict(load_model("google/gemma-3-4b-it").config) | mlx)
    assert weights(gemma) == 3_022_809_824
    assert not any("matches no tensor" in note for note in gemma.notes)


@pytest.mark.parametrize("method", [None, "none"])
def test_no_method_is_no_quantization(method: str | None) -> None:
    model = quantized({"quant_method": method})
    assert weights(model) == KEPT + 2 * ALL
    assert not any("quantized" in note for note in model.notes)


def test_a_method_of_its_own_is_told_by_name() -> None:
    model: Model = model_from_config(SMALL | {"quantization_config": {"quant_method": "sinq", "nbits": 4}})
    assert any("'sinq' is not known here" in note for note in model.notes)
