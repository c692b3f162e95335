"""AMD Quark: a specification of weights for all linear layers, and others by a class or a pattern of names.

Source: vllm-project/vllm, layers/quantization/quark (which module has which specification, and what is stored beside
it), and Quark's own quantization/config (to_dict).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.named import Format, grouped
from calculator.formats.readers.common import Result, mx, nvfp4, pieces
from calculator.formats.rules import CLASSES, Rule, Scheme, converting, listed

_FLOATS = {"fp4": 4, "fp4_e2m1": 4, "fp6_e3m2": 6, "fp6_e2m3": 6, "fp8_e4m3": 8, "fp8_e5m2": 8}
_INTEGERS = {"int8": 8, "uint8": 8, "int4": 4, "uint4": 4, "int3": 3, "int2": 2}


def quark(settings: Mapping[str, Any]) -> Result:
    """Excluded modules first, then patterns in their order, then classes, then the global specification."""
    export = pieces(settings, "export")
    if export.get("weight_format") == "fake_quantized":
        return Scheme("weights as they were (Quark, scales beside them)", (), _cache(settings)), None
    rules: list[Rule] = list(listed(settings, "exclude", globs=True))
    for name, layer in pieces(settings, "layer_quant_config").items():
        form, reason = _form(layer)
        if reason:
            return None, reason
        rules.append(Rule("glob" if "*" in name else "below", name, form, "layer_quant_config"))
    classes: list[Rule] = []
    for kind, layer in pieces(settings, "layer_type_quant_config").items():
        form, reason = _form(layer)
        roles = CLASSES.get(str(kind).rpartition(".")[2].removesuffix("'>"))
        if reason or roles is None:
            return None, reason or f"Quark's class {kind!r} is not known here"
        classes.append(Rule("class", kind, form, "layer_type_quant_config", roles))
    whole, reason = _form(settings.get("global_quant_config") or {})
    if reason:
        return None, reason
    if whole is not None:
        classes += converting("Linear", whole, "global_quant_config", CLASSES["Linear"])
    names = dict.fromkeys(rule.form.name for rule in (*rules, *classes) if rule.form is not None)
    title = f"{', '.join(names)} (Quark)" if names else "weights as they were (Quark)"
    return Scheme(title, (*rules, *classes), _cache(settings)), None


def _form(layer: Any) -> tuple[Format | None, str]:
    """The format of a layer's specification, None where its weights stay; a reason where it is not known."""
    if not isinstance(layer, Mapping):
        return None, "" if layer is None else f"Quark's specification {layer!r} is not known here"
    said = layer.get("weight")
    stages = said if isinstance(said, list) else [said] if said else []
    if not all(isinstance(stage, Mapping) for stage in stages):
        return None, f"Quark's weights {said!r} are not known here"
    if not stages:
        return None, ""
    inputs = layer.get("input_tensors")
    first = inputs[-1] if isinstance(inputs, list) and inputs else inputs
    static = isinstance(first, Mapping) and not first.get("is_dynamic")
    if len(stages) > 2:
        return None, f"Quark's {len(stages)} stages are not known here"
    form, reason = _staged(stages, static) if len(stages) == 2 else _single(stages[0], static)
    return (None if form is None else replace(form, arithmetic=_within(form, first))), reason


def _within(form: Format, inputs: Any) -> str:
    """What products are computed in: the inputs' own type, the model's where they have none."""
    kind = str(inputs.get("dtype")) if isinstance(inputs, Mapping) else ""
    if kind.startswith("fp4"):
        return "nvfp4" if form.name == "nvfp4" else "mxfp4"
    return "fp8" if kind.startswith("fp8") else "int8" if kind in ("int8", "uint8") else ""


def _staged(stages: list[Mapping[str, Any]], static: bool) -> tuple[Format | None, str]:
    """Two stages: NVFP4, whose scales have a scale, or integers made from 8-bit floats."""
    kinds = [str(stage.get("dtype")) for stage in stages]
    if kinds[0] in ("fp4", "fp4_e2m1") and int(stages[0].get("group_size") or 16) == 16:
        return nvfp4(static), ""
    if kinds == ["fp8_e4m3", "int4"]:  # a scale of each stage
        return Format("int4", 4, scale_bits=32, tensor_bits=32 + 32 * static), ""
    return None, f"Quark's stages {' and '.join(kinds)} are not known here"


def _single(stage: Mapping[str, Any], static: bool) -> tuple[Format | None, str]:
    kind, scheme = str(stage.get("dtype")), str(stage.get("qscheme") or "per_tensor")
    group, beside = int(stage.get("group_size") or 0), 32 * static
    if kind in ("float16", "bfloat16", "float32"):
        return None, ""
    if kind in _FLOATS and scheme == "per_group" and (stage.get("scale_format") == "e8m0" or kind != "fp8_e4m3"):
        return (
            (mx(_FLOATS[kind]), "") if group == 32 else (None, f"Quark's {kind} in groups of {group} is not known here")
        )
    if kind not in _INTEGERS and kind not in ("fp8_e4m3", "fp8_e5m2"):
        return None, f"Quark's type {kind!r} is not known here"
    bits = _INTEGERS.get(kind, 8)
    name = f"int{bits}" if kind in _INTEGERS else "fp8"
    if scheme == "per_group":
        # Scales are in the model's own 16 bit, zero points packed as the weights are.
        form = grouped(
            Format(name, bits, scale_bits=16), columns=group, zero_bits=0 if stage.get("symmetric") else bits
        )
        return form, ""
    if scheme == "per_block":
        rows, columns = stage.get("block_size") or (128, 128)
        return Format(name, bits, tile_rows=int(rows), tile_columns=int(columns), scale_bits=32, tensor_bits=beside), ""
    return Format(name, bits, tile_rows=1 if scheme == "per_channel" else 0, scale_bits=32, tensor_bits=beside), ""


def _cache(settings: Mapping[str, Any]) -> str | None:
    """The cache's format: of the outputs of keys and values, in their layers' specification or one of its own."""
    layers = (*pieces(settings, "kv_cache_quant_config").values(), *pieces(settings, "layer_quant_config").values())
    outputs = (layer.get("output_tensors") for layer in layers if isinstance(layer, Mapping))
    kinds = [str(out.get("dtype")) for out in outputs if isinstance(out, Mapping)]
    return next(
        ("fp8" if kind.startswith("fp8") else "int8" for kind in kinds if kind.startswith(("fp8", "int8"))), None
    )
