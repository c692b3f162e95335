"""NVIDIA Model Optimizer: an algorithm for all modules, or one for each module that `quantized_layers` or a group of
targets lists.

Source: NVIDIA/Model-Optimizer torch/export (model_config.py, quant_utils.py, unified_export_hf.py,
convert_hf_config.py) and vLLM's layers/quantization/modelopt.py for how modules are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.named import Format, grouped
from calculator.formats.readers.common import IGNORED, Result, cache_format, computed, mx, nvfp4, pieces
from calculator.formats.rules import CLASSES, Rule, Scheme, converting, listed, names

# A 32-bit scale of the weight and one of the input.
_FP8 = Format("fp8", 8, tile_rows=0, scale_bits=64, arithmetic="fp8")
_INT4 = Format("int4", 4, tile_columns=128, scale_bits=32, column_bits=16)
_INT8 = Format("int8", 8, scale_bits=32)
_FP8_ROWS = Format("fp8", 8, scale_bits=32, arithmetic="fp8")
_FP8_BLOCKS = replace(_FP8_ROWS, tile_rows=128, tile_columns=128)  # vLLM quantizes the inputs of "WO", too

ALGORITHMS: dict[str, Format] = {
    "FP8": _FP8,
    "FP8_PER_CHANNEL_PER_TOKEN": _FP8_ROWS,
    "FP8_PC_PT": _FP8_ROWS,
    "FP8_PB_WO": _FP8_BLOCKS,
    "FP8_PB_REAL": _FP8_BLOCKS,
    "FP8_BLOCK_SCALES": _FP8_BLOCKS,
    "NVFP4": nvfp4(True),
    "NVFP4_AWQ": nvfp4(True, smoothed=True),
    "W4A16_NVFP4": nvfp4(False),
    "W4A8_NVFP4_FP8": replace(nvfp4(True), arithmetic="fp8"),
    "MXFP4": mx(4, "mxfp4"),
    "W4A16_MXFP4": mx(4),
    "W4A8_MXFP4_FP8": mx(4, "fp8"),
    "W4A8_MXFP4_MXFP8": mx(4, "fp8"),
    "MXFP8": mx(8, "fp8"),
    "W4A16": replace(_INT4, column_bits=0),
    "W4A16_AWQ": _INT4,
    "INT4_AWQ": _INT4,
    "W4A8_AWQ": replace(_INT4, tensor_bits=64, arithmetic="fp8"),
    "W8A16": _INT8,
    "INT8_WO": _INT8,
    "W8A8_SQ_PER_CHANNEL": replace(_INT8, column_bits=16, tensor_bits=32, arithmetic="int8"),
    "INT8_SQ": replace(_INT8, column_bits=16, tensor_bits=32, arithmetic="int8"),
}
"""Algorithms by name, in either case: as hf_quant_config.json writes them and as modelopt's own code calls them. AWQ
and SmoothQuant keep a 16-bit factor for each input channel where no norm before could take it up."""

NOT_QUANTIZED = ("", "NONE", "NULL", "NO_QUANT", "BF16", "FP16", "W16A16")


def algorithm(name: Any, group: Any = None) -> Format | None:
    """The format of an algorithm, with the group size where one is stated; None where it is not known."""
    form = ALGORITHMS.get(str(name or "").upper())
    sized = form is not None and form.name == "int4" and isinstance(group, int) and group > 0
    return grouped(form, columns=group) if sized and form is not None else form


def modelopt(settings: Mapping[str, Any]) -> Result:
    """What is left out goes first, then the modules with formats of their own, then the algorithm of the whole."""
    cache, rules = cache_format(settings), list(listed(settings, *IGNORED, globs=True))
    own, unknown = quantized_layers(settings)
    rules += own
    groups = [g for g in pieces(settings, "config_groups").items() if isinstance(g[1], Mapping) and g[1].get("weights")]
    classes: list[Rule] = []
    for name, group in groups:
        form, field = _group_format(group), f"config_groups.{name}.targets"
        for target in names(group, "targets") or ["Linear"]:
            if target in CLASSES:
                classes += converting(target, form, field)
            else:
                rules += _named(target, form, field)
    name = str(settings.get("quant_algo") or "").upper()
    if not groups and name not in NOT_QUANTIZED and name != "MIXED_PRECISION":
        whole = algorithm(name, settings.get("group_size"))
        if whole is None:
            return None, f"modelopt's algorithm {name!r} is not known here"
        classes += converting("Linear", whole, "quant_algo")
    if unknown:
        return None, f"modelopt's algorithm {unknown!r}, in quantized_layers, is not known here"
    nothing = not groups and not own and not classes and not cache
    if nothing and name in ("", "MIXED_PRECISION"):
        return None, f"its quantization_config has no weight group and no known algorithm ({name or 'none'})"
    title = _title(name, groups, classes) if own or groups or classes else "weights as they were (modelopt)"
    return Scheme(title, (*rules, *classes), cache), None


def _title(name: str, groups: list[tuple[str, Any]], classes: list[Rule]) -> str:
    if name == "MIXED_PRECISION":
        return "mixed precision (modelopt)"
    if not groups:
        return f"{name} (modelopt)"
    forms = [_group_format(group) for _, group in groups]
    return ", ".join(dict.fromkeys(f"{form.name} ({form.bits}-bit)" for form in forms))


def quantized_layers(settings: Mapping[str, Any]) -> tuple[list[Rule], str | None]:
    """The rules of `quantized_layers`, and the first algorithm in it that is not known."""
    found: list[Rule] = []
    for name, entry in pieces(settings, "quantized_layers").items():
        said = entry if isinstance(entry, Mapping) else {"quant_algo": entry}
        kind = str(said.get("quant_algo") or "").upper()
        form = algorithm(kind, said.get("group_size") or settings.get("group_size"))
        if form is None and kind not in NOT_QUANTIZED:
            return found, kind
        found += _named(name, form, "quantized_layers")
    return found, None


def _named(name: str, form: Format | None, field: str) -> list[Rule]:
    if set(name) & set("*?"):
        return [Rule("glob", name, form, field)]
    return [Rule("regex", name[3:], form, field)] if name.startswith("re:") else [Rule("below", name, form, field)]


def experts_rule(settings: Mapping[str, Any]) -> tuple[Rule, ...]:
    """`moe_quant_algo`: another algorithm for routed experts."""
    form = algorithm(settings.get("moe_quant_algo"))
    return converting("routed experts", form, "moe_quant_algo", frozenset(("experts",))) if form else ()


def _group_format(group: Mapping[str, Any]) -> Format:
    weights, inputs = group["weights"], group.get("input_activations")
    bits, size = int(weights.get("num_bits") or 8), weights.get("group_size")
    within = computed({"type": "float", **inputs} if isinstance(inputs, Mapping) and inputs else None)
    if weights.get("type", "float") == "int":
        if bits != 4:
            return replace(_INT8, arithmetic=within)
        return grouped(replace(_INT4, column_bits=0, arithmetic=within), columns=int(size or 128))
    if bits == 4 and size in (None, 16, 32):
        four = "mxfp4" if within == "nvfp4" else within
        return mx(4, four) if size == 32 else replace(nvfp4(bool(inputs)), arithmetic=within)
    if bits == 4:  # W4A8_AWQ says float
        return grouped(replace(_INT4, tensor_bits=64, arithmetic=within), columns=int(size))
    if size == 32:
        return mx(bits, within)
    rows = 1 if weights.get("strategy") == "channel" else 0
    return Format("fp8", 8, tile_rows=rows, scale_bits=64 if inputs and not rows else 32, arithmetic=within)
