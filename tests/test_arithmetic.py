"""What products are computed in: a low-precision type where a checkpoint quantizes the inputs, too, else 16 bit."""

from __future__ import annotations

import pytest

from calculator import device, estimate, serve
from calculator.sources.load import model_from_config

LLAMA = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 2048,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}


def group(weights, inputs=None):
    return {"config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": inputs}}}


def tensors(packing, weights, inputs=None):
    return {"quant_method": "compressed-tensors", "format": packing, **group(weights, inputs)}


FP8, INT8, INT4 = ({"num_bits": b, "type": t} for b, t in ((8, "float"), (8, "int"), (4, "int")))
FP4 = {"num_bits": 4, "type": "float", "group_size": 16}
QUARK = {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}


def quark(weight, inputs):
    return {"quant_method": "quark", "global_quant_config": {"weight": weight, "input_tensors": inputs}}


def modelopt(algorithm):
    return {"quant_method": "modelopt", "quant_algo": algorithm}


def torchao(kind, **data):
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": data}}}


CASES = {
    "DeepSeek's blocks": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
    "FP8, one scale": ({"quant_method": "fp8", "activation_scheme": "dynamic"}, "fp8"),
    "FBGEMM": ({"quant_method": "fbgemm_fp8"}, "fp8"),
    "W8A8 FP8": (tensors("float-quantized", FP8, FP8 | {"dynamic": True}), "fp8"),
    "W8A16 FP8": (tensors("float-quantized", FP8), "bf16"),
    "W8A8 INT8": (tensors("int-quantized", INT8, INT8), "int8"),
    "W4A16": (tensors("pack-quantized", INT4 | {"group_size": 128}), "bf16"),
    "W4A8 FP8": (tensors("pack-quantized", INT4 | {"group_size": 128}, FP8), "fp8"),
    "W4A8 INT8": (tensors("pack-quantized", INT4 | {"group_size": 128}, INT8), "int8"),
    "NVFP4": (tensors("nvfp4-pack-quantized", FP4, FP4), "nvfp4"),
    "NVFP4A16": (tensors("nvfp4-pack-quantized", FP4), "bf16"),
    "MXFP4A16": (tensors("mxfp4-pack-quantized", FP4 | {"group_size": 32}), "bf16"),
    "modelopt FP8": (modelopt("FP8"), "fp8"),
    "modelopt NVFP4": (modelopt("NVFP4"), "nvfp4"),
    "modelopt W4A16_NVFP4": (modelopt("W4A16_NVFP4"), "bf16"),
    "modelopt W4A8_NVFP4_FP8": (modelopt("W4A8_NVFP4_FP8"), "fp8"),
    "modelopt W4A8_AWQ": (modelopt("W4A8_AWQ"), "fp8"),
    "modelopt INT4_AWQ": (modelopt("INT4_AWQ"), "bf16"),
    "modelopt INT8_SQ": (modelopt("INT8_SQ"), "int8"),
    "modelopt W8A16": (modelopt("W8A16"), "bf16"),
    "modelopt group": ({"quant_method": "modelopt", **group(FP8, FP8)}, "fp8"),
    "modelopt group, weights alone": ({"quant_method": "modelopt", **group(FP4)}, "bf16"),
    "quark FP8": (quark(QUARK, QUARK), "fp8"),
    "quark weights alone": (quark(QUARK, None), "bf16"),
    "quark MXFP4": (quark({"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0"},
                          {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}), "mxfp4"),
    "GPTQ": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "bf16"),
    "AWQ": ({"quant_method": "awq", "bits": 4, "group_size": 128}, "bf16"),
    "AutoRound": ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, "bf16"),
    "AutoRound NVFP4": ({"quant_method": "auto-round", "data_type": "nv_fp", "bits": 4, "group_size": 16,
                         "act_bits": 4}, "nvfp4"),
    "bitsandbytes int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
    "bitsandbytes nf4": ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bf16"),
    "torchao int8 weights": (torchao("Int8WeightOnlyConfig"), "bf16"),
    "torchao int8 both": (torchao("Int8DynamicActivationInt8WeightConfig"), "int8"),
    "torchao float8 both": (torchao("Float8DynamicActivationFloat8WeightConfig"), "fp8"),
    "torchao float8 weights": (torchao("Float8WeightOnlyConfig"), "bf16"),
    "torchao int4 under int8": (torchao("Int8DynamicActivationInt4WeightConfig", group_size=128), "int8"),
    "Quanto": ({"quant_method": "quanto", "weights": "int8"}, "bf16"),
    "Quanto with inputs": ({"quant_method": "quanto", "weights": "float8", "activations": "float8"}, "fp8"),
    "FP-Quant": ({"quant_method": "fp_quant", "forward_dtype": "nvfp4"}, "nvfp4"),
    "MXFP8": ({"quant_method": "mxfp8"}, "fp8"),
    "Gemma": ({"quant_method": "gemma", "num_bits": 4}, "bf16"),
    "EETQ": ({"quant_method": "eetq", "weights": "int8"}, "bf16"),
}  # fmt: skip


def arithmetic(settings):
    model = model_from_config({**LLAMA, "quantization_config": settings})
    steps = [op.step for op in estimate(model, mode="decode").operations]
    (found,) = {step.arithmetic for step in steps if step.name.endswith("q_proj")}
    return found


@pytest.mark.parametrize(("settings", "expected"), CASES.values(), ids=CASES)
def test_products_are_computed_in_what_both_sides_are(settings, expected):
    assert arithmetic(settings) == expected


def test_fp8_reads_prompts_faster_only_where_there_are_units_for_it():
    plain, blocks = (
        model_from_config({**LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, **said})
        for said in ({}, {"quantization_config": CASES["DeepSeek's blocks"][0]})
    )

    def bound(model, card):
        return serve(model, device=card, prompt_length=4000, output_length=8).prefill.bound

    assert device("a100-sxm4-80gb").peak_of("fp8") == device("a100-sxm4-80gb").peak_of("bf16")
    assert bound(blocks, "h100-sxm-80gb") < 0.6 * bound(plain, "h100-sxm-80gb")
    assert bound(blocks, "a100-sxm4-80gb") == pytest.approx(bound(plain, "a100-sxm4-80gb"), rel=0.01)
