"""What each quantizer stores for a matrix of [rows, columns], as its code writes it, beside the config that says so.

Sources: ModelCloud/GPTQModel nn_modules/qlinear; casper-hansen/AutoAWQ modules/linear; intel/auto-round
export/export_to_autoround; vllm-project/compressed-tensors compressors and quantization/lifecycle/initialize.py;
NVIDIA/Model-Optimizer torch/export; bitsandbytes functional.py (QuantState.as_dict); transformers integrations (mxfp4,
bitnet, finegrained_fp8, fbgemm_fp8, eetq, gemma_quant, metal_quantization); IST-DASLab/FP-Quant;
ml-explore/mlx nn/layers/quantized.py; huggingface/optimum-quanto nn/qmodule.py; mobiusml/hqq core/quantize.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from writers import Tensors

Layout = Callable[[str, int, int], Tensors]


def up(a: int, b: int) -> int:
    return -(-a // b)


def gptq(bits: int, group: int) -> Layout:
    def layout(name: str, rows: int, columns: int) -> Tensors:
        groups = up(columns, group) if group > 0 else 1
        return {
            f"{name}.qweight": ("I32", (columns * bits // 32, rows)),
            f"{name}.qzeros": ("I32", (groups, rows * bits // 32)),
            f"{name}.scales": ("F16", (groups, rows)),
            f"{name}.g_idx": ("I32", (columns,)),
        }

    return layout


def without(layout: Layout, *tails: str) -> Layout:
    return lambda name, r, c: {n: t for n, t in layout(name, r, c).items() if not n.endswith(tails)}


def awq(name: str, rows: int, columns: int) -> Tensors:
    return {
        f"{name}.qweight": ("I32", (columns, rows // 8)),
        f"{name}.qzeros": ("I32", (columns // 128, rows // 8)),
        f"{name}.scales": ("F16", (columns // 128, rows)),
    }


def scaled(dtype: str, *scales: tuple[str, str, Callable[[int, int], tuple[int, ...]]]) -> Layout:
    """A weight of one byte an element and the scales beside it: (name, type, shape)."""
    return lambda name, r, c: {
        f"{name}.weight": (dtype, (r, c)),
        **{f"{name}.{tail}": (kind, shape(r, c)) for tail, kind, shape in scales},
    }


def one(_: int, __: int) -> tuple[int, ...]:
    return (1,)


def scalar(_: int, __: int) -> tuple[int, ...]:
    return ()


def row(r: int, _: int) -> tuple[int, ...]:
    return (r, 1)


def block(r: int, c: int) -> tuple[int, ...]:
    return (up(r, 128), up(c, 128))


def packed(bits: int, group: int, *, zeros: bool = False) -> Layout:
    def layout(name: str, r: int, c: int) -> Tensors:
        groups = up(c, group) if group else 1
        found: Tensors = {
            f"{name}.weight_packed": ("I32", (r, up(c * bits, 32))),
            f"{name}.weight_scale": ("BF16", (r, groups)),
            f"{name}.weight_shape": ("I64", (2,)),
        }
        if zeros:
            found[f"{name}.weight_zero_point"] = ("I32", (up(r * bits, 32), groups))
        return found

    return layout


def nvfp4_packed(inputs: bool) -> Layout:
    def layout(name: str, r: int, c: int) -> Tensors:
        found: Tensors = {
            f"{name}.weight_packed": ("U8", (r, c // 2)),
            f"{name}.weight_scale": ("F8_E4M3", (r, c // 16)),
            f"{name}.weight_global_scale": ("F32", (1,)),
        }
        return found | ({f"{name}.input_global_scale": ("F32", (1,))} if inputs else {})

    return layout


def nvfp4_modelopt(name: str, r: int, c: int) -> Tensors:
    return {
        f"{name}.weight": ("U8", (r, c // 2)),
        f"{name}.weight_scale": ("F8_E4M3", (r, c // 16)),
        f"{name}.weight_scale_2": ("F32", ()),
        f"{name}.input_scale": ("F32", ()),
    }


def mxfp4_packed(name: str, r: int, c: int) -> Tensors:
    return {f"{name}.weight_packed": ("U8", (r, c // 2)), f"{name}.weight_scale": ("U8", (r, c // 32))}


def quark(weight: dict[str, Any], inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A quantization_config of AMD Quark with one specification for all linear layers but the head."""
    spec = {"weight": weight, "input_tensors": inputs, "output_tensors": None, "bias": None}
    block = {"quant_method": "quark", "global_quant_config": spec, "exclude": ["lm_head"]}
    return (
        block | {"export": {"kv_cache_group": [], "pack_method": "reorder", "weight_format": "real_quantized"}} | more
    )


def mxfp4_quark(name: str, r: int, c: int) -> Tensors:
    return {f"{name}.weight": ("U8", (r, c // 2)), f"{name}.weight_scale": ("U8", (r, c // 32))}


QUARK_MX = {"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "scale_format": "e8m0", "is_dynamic": False}
QUARK_FP8 = {"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": False}
QUARK_ROWS = {"dtype": "fp8_e4m3", "qscheme": "per_channel", "is_dynamic": False}


def bnb4(double: bool) -> Layout:
    def layout(name: str, r: int, c: int) -> Tensors:
        n = r * c
        found: Tensors = {
            f"{name}.weight": ("U8", (n // 2, 1)),
            f"{name}.weight.absmax": ("U8" if double else "F32", (n // 64,)),
            f"{name}.weight.quant_map": ("F32", (16,)),
        }
        if double:
            found[f"{name}.weight.nested_absmax"] = ("F32", (n // 64 // 256,))
            found[f"{name}.weight.nested_quant_map"] = ("F32", (256,))
        return found

    return layout


def bitnet(name: str, r: int, c: int) -> Tensors:
    return {f"{name}.weight": ("U8", (r // 4, c)), f"{name}.weight_scale": ("BF16", (1,))}


def mlx(bits: int, group: int, *, bias: bool = True) -> Layout:
    def layout(name: str, r: int, c: int) -> Tensors:
        kind = "BF16" if bias else "U8"
        found: Tensors = {f"{name}.weight": ("U32", (r, c * bits // 32)), f"{name}.scales": (kind, (r, c // group))}
        return found | ({f"{name}.biases": (kind, (r, c // group))} if bias else {})

    return layout


def eetq(name: str, r: int, c: int) -> Tensors:
    return {f"{name}.weight": ("I8", (c, r)), f"{name}.weight_scales": ("F16", (r,))}


def hqq(name: str, r: int, c: int) -> Tensors:
    groups = r * c // 64
    return {
        f"{name}.W_q": ("U8", (32, groups)),
        f"{name}.scale": ("F16", (1, groups)),
        f"{name}.zero": ("F16", (1, groups)),
    }


def quanto4(name: str, r: int, c: int) -> Tensors:
    groups = r * c // 128
    return {
        f"{name}.weight._data": ("U8", (r * c // 2,)),
        f"{name}.weight._scale": ("BF16", (groups, 1)),
        f"{name}.weight._shift": ("BF16", (groups, 1)),
        f"{name}.input_scale": ("BF16", ()),
        f"{name}.output_scale": ("BF16", ()),
    }


def quanto8(name: str, r: int, c: int) -> Tensors:
    return {
        f"{name}.weight._data": ("I8", (r, c)),
        f"{name}.weight._scale": ("BF16", (r, 1)),
        f"{name}.input_scale": ("BF16", ()),
        f"{name}.output_scale": ("BF16", ()),
    }


def metal(name: str, r: int, c: int) -> Tensors:
    """transformers' metal_quantization.py: MLX's layout under other names."""
    beside = {f"{name}.{tail}": ("BF16", (r, c // 64)) for tail in ("scales", "qbiases")}
    return {f"{name}.weight": ("U32", (r, c // 8)), **beside}


def gemma4(name: str, r: int, c: int) -> Tensors:
    """transformers' gemma_quant.py: QuantizedLinear of 4 bits."""
    return {
        f"{name}.weight": ("U8", (r, c // 2)),
        f"{name}.weight_scale": ("F32", (r, 1)),
        f"{name}.input_activation_scale": ("F32", ()),
        f"{name}.output_activation_scale": ("F32", ()),
    }


def fp_quant(block: int) -> Layout:
    """What FP-Quant exports of a layer for real quantization, with rotations of the block's size."""
    beside = {"forward_hadamard_matrix": (block, block), "backward_hadamard_matrix": (block, block)}
    scales = {"weight_global_scale": (1,), "act_global_scale": (1,)}
    return lambda name, r, c: {
        f"{name}.qweight": ("U8", (r, c // 2)),
        f"{name}.scales": ("U8", (r, c // block)),
        **{f"{name}.{tail}": ("F32", shape) for tail, shape in scales.items()},
        **{f"{name}.{tail}": ("BF16", shape) for tail, shape in beside.items()},
    }


def group(weights: dict[str, Any], inputs: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": inputs, **more}}


def compressed(form: str, weights: dict[str, Any], inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    groups = group(weights, inputs)
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups, "ignore": ["lm_head"]}


INT4 = {"num_bits": 4, "type": "int", "group_size": 128, "strategy": "group", "symmetric": True}
FP8 = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
FP4 = {"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group", "symmetric": True}
DYNAMIC = {"num_bits": 8, "type": "float", "dynamic": True}
STATIC = {"num_bits": 8, "type": "float", "dynamic": False}
NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}

METHODS: dict[str, tuple[dict[str, Any], Layout]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, gptq(4, 128)),
    "gptq, 3 bit, a group a column": ({"quant_method": "gptq", "bits": 3, "group_size": -1}, gptq(3, -1)),
    "gptq, 8 bit": ({"quant_method": "gptq", "bits": 8, "group_size": 32, "desc_act": True}, gptq(8, 32)),
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}, awq),
    "auto-round": (
        {"quant_method": "auto-round", "bits": 4, "group_size": 128, "packing_format": "auto_round:auto_gptq"},
        without(gptq(4, 128), ".g_idx"),
    ),
    "fp8, a scale a matrix": ({"quant_method": "fp8"}, scaled("F8_E4M3", ("weight_scale", "F32", scalar))),
    "fp8, static": (
        {"quant_method": "fp8", "activation_scheme": "static"},
        scaled("F8_E4M3", ("weight_scale", "F32", scalar), ("input_scale", "F32", scalar)),
    ),
    "fp8, blocks": (
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        scaled("F8_E4M3", ("weight_scale_inv", "F32", block)),
    ),
    "fbgemm_fp8": ({"quant_method": "fbgemm_fp8"}, scaled("F8_E4M3", ("weight_scale", "F32", row))),
    "int4 packed": (compressed("pack-quantized", INT4), packed(4, 128)),
    "int4 packed, with zero points": (
        compressed("pack-quantized", INT4 | {"symmetric": False}),
        packed(4, 128, zeros=True),
    ),
    "int8 packed": (
        compressed("pack-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}),
        packed(8, 0),
    ),
    "int8": (
        compressed("int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}, DYNAMIC),
        scaled("I8", ("weight_scale", "BF16", row)),
    ),
    "float by row": (compressed("float-quantized", FP8, DYNAMIC), scaled("F8_E4M3", ("weight_scale", "BF16", row))),
    "float by matrix, static": (
        compressed("naive-quantized", FP8 | {"strategy": "tensor"}, STATIC),
        scaled("F8_E4M3", ("weight_scale", "BF16", one), ("input_scale", "BF16", one)),
    ),
    "float by block": (
        compressed("float-quantized", FP8 | {"strategy": "block", "block_structure": [128, 128]}, DYNAMIC),
        scaled("F8_E4M3", ("weight_scale", "BF16", block)),
    ),
    "nvfp4": (compressed("nvfp4-pack-quantized", FP4, FP4 | {"dynamic": "local"}), nvfp4_packed(True)),
    "nvfp4, weights only": (compressed("nvfp4-pack-quantized", FP4), nvfp4_packed(False)),
    "mxfp4 packed": (compressed("mxfp4-pack-quantized", FP4 | {"group_size": 32, "strategy": "group"}), mxfp4_packed),
    "modelopt nvfp4": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}, nvfp4_modelopt),
    "modelopt nvfp4 by group": (
        {
            "quant_method": "modelopt",
            "config_groups": group({"num_bits": 4, "type": "float", "group_size": 16}, {"num_bits": 4}),
        },
        nvfp4_modelopt,
    ),
    "modelopt fp8": (
        {"quant_method": "modelopt", "quant_algo": "FP8"},
        scaled("F8_E4M3", ("weight_scale", "F32", scalar), ("input_scale", "F32", scalar)),
    ),
    "modelopt fp8 by group": (
        {"quant_method": "modelopt", "config_groups": group({"num_bits": 8, "type": "float"}, {"num_bits": 8})},
        scaled("F8_E4M3", ("weight_scale", "F32", scalar), ("input_scale", "F32", scalar)),
    ),
    "bitsandbytes nf4": (NF4, bnb4(False)),
    "bitsandbytes nf4, double": (NF4 | {"bnb_4bit_use_double_quant": True}, bnb4(True)),
    "bitsandbytes int8": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        scaled("I8", ("SCB", "F32", lambda r, _: (r,)), ("weight_format", "U8", scalar)),
    ),
    "bitnet": ({"quant_method": "bitnet"}, bitnet),
    "eetq": ({"quant_method": "eetq", "weights": "int8"}, eetq),
    "hqq": ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, hqq),
    "quark mxfp4": (quark(QUARK_MX, QUARK_MX | {"is_dynamic": True}), mxfp4_quark),
    "quark fp8": (
        quark(QUARK_FP8, QUARK_FP8),
        scaled("F8_E4M3", ("weight_scale", "F32", scalar), ("input_scale", "F32", scalar)),
    ),
    "quark fp8 by row": (
        quark(QUARK_ROWS, {"dtype": "fp8_e4m3", "qscheme": "per_channel", "is_dynamic": True}),
        scaled("F8_E4M3", ("weight_scale", "F32", lambda r, _: (r,))),
    ),
    "gemma": ({"quant_method": "gemma", "num_bits": 4}, gemma4),
    "metal": ({"quant_method": "metal", "bits": 4, "group_size": 64}, metal),
    "mxfp8": ({"quant_method": "mxfp8"}, scaled("F8_E4M3", ("weight_scale_inv", "F8_E8M0", lambda r, c: (r, c // 32)))),
    "fp_quant, nvfp4": ({"quant_method": "fp_quant", "forward_dtype": "nvfp4"}, fp_quant(16)),
    "fp_quant, mxfp4": ({"quant_method": "fp_quant", "forward_dtype": "mxfp4"}, fp_quant(32)),
    "quanto int4": ({"quant_method": "quanto", "weights": "int4"}, quanto4),
    "quanto int8": ({"quant_method": "quanto", "weights": "int8"}, quanto8),
}
"""Methods that convert the matrices of the layers, by what they are called: (quantization_config, layout)."""

MLX: dict[str, tuple[dict[str, Any], Layout]] = {
    "mlx": ({"bits": 4, "group_size": 64}, mlx(4, 64)),
    "mlx, 6 bit": ({"bits": 6, "group_size": 32}, mlx(6, 32)),
    "mlx, mxfp4": ({"bits": 4, "group_size": 32, "mode": "mxfp4"}, mlx(4, 32, bias=False)),
}
"""MLX converts embedding and head too."""
