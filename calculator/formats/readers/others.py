"""Methods with one format for all matrices: FP8, MXFP4, bitsandbytes, torchao, HQQ, Quanto, EETQ, BitNet.

Sources: transformers integrations (finegrained_fp8, fbgemm_fp8, mxfp4, bitnet, eetq) and utils/quantization_config.py,
bitsandbytes functional.py, pytorch/ao, mobiusml/hqq core/quantize.py, huggingface/optimum-quanto nn/qmodule.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from calculator.formats.named import FORMATS, Format, grouped
from calculator.formats.readers.common import IGNORED, Result, pieces
from calculator.formats.readers.modelopt import experts_rule, quantized_layers
from calculator.formats.rules import LINEAR, Rule, Scheme, converting, listed, names

UNSAID = ("eh_proj", "compressor", "indexer.weights_proj")
"""Modules that stay as they are in FP8 checkpoints that do not say so: what joins the vectors in front of a prediction
layer (DeepSeek-V3, MiMo), and the compressors and the indexer's weights of DeepSeek-V4. The Hub's counts of V3 and V4
close with these in 16 bit, and engines build them without quantization."""


def _whole(
    title: str, form: Format, settings: Mapping[str, Any], field: str = "quant_method", roles: frozenset[str] = LINEAR
) -> Result:
    """One format for all matrices but those left out."""
    return Scheme(title, (*listed(settings, *IGNORED), *converting("Linear", form, field, roles))), None


def fp8(settings: Mapping[str, Any]) -> Result:
    """Blocks with a 32-bit scale each, or one scale a matrix; inputs are quantized, too, whatever the scheme. With
    modelopt's `quantized_layers` and `moe_quant_algo` where a checkpoint has them (DeepSeek-V4 in NVFP4)."""
    block = settings.get("weight_block_size")
    if block:
        if not isinstance(block, list | tuple) or len(block) != 2:
            raise ValueError(f"weight_block_size {block!r} is not [rows, columns]")
        form = Format("fp8", 8, tile_rows=int(block[0]), tile_columns=int(block[1]), scale_bits=32, arithmetic="fp8")
        title, field = f"FP8, one 32-bit scale per {block[0]}×{block[1]} block", "weight_block_size"
    else:
        # A static activation scheme stores the input's scale beside the weight's.
        scales = 64 if settings.get("activation_scheme") == "static" else 32
        form, title = Format("fp8", 8, tile_rows=0, scale_bits=scales, arithmetic="fp8"), "FP8, one scale per matrix"
        field = "activation_scheme" if "activation_scheme" in settings else "quant_method"
    own, _ = quantized_layers(settings)
    experts = experts_rule(settings)
    tables = (
        Rule("within", n, Format("fp8", 8, tile_rows=0, scale_bits=32), "modules_to_convert", frozenset(("embedding",)))
        for n in names(settings, "modules_to_convert")
    )  # tables with one scale each (Qwen4-Exp's n-grams)
    # Where modelopt has gone over an FP8 checkpoint, `ignore` names what it left in FP8.
    kept = ("modules_to_not_convert", "ignored_layers") if own or experts else IGNORED
    unsaid = (Rule("within", name, None, "") for name in UNSAID)
    rules = (*listed(settings, *kept), *tables, *own, *experts, *unsaid, *converting("Linear", form, field))
    return Scheme(title + (f"; experts {experts[0].form.name}" if experts and experts[0].form else ""), rules), None


def fbgemm_fp8(settings: Mapping[str, Any]) -> Result:
    return _whole("FBGEMM FP8, one scale a row", Format("fp8", 8, scale_bits=32, arithmetic="fp8"), settings)


def mxfp4(settings: Mapping[str, Any]) -> Result:
    return _whole("MXFP4, 8-bit scale per 32", FORMATS["mxfp4"], settings)


def hqq(settings: Mapping[str, Any]) -> Result:
    """HQQ keeps a 16-bit scale and a 16-bit zero point per group."""
    options = pieces(settings, "quant_config")
    tagged = {tag: own for tag, own in options.items() if isinstance(own, Mapping) and "weight_quant_params" in own}
    if tagged:
        # A tag is a module's path without the model, the layers and every number; what has none stays as it is.
        rules = list(listed(settings, *IGNORED, "skip_modules"))
        for tag, own in tagged.items():
            path = r"(?:\.\d+)*\.".join(tag.split("."))
            rules.append(Rule("search", rf"(?:^|\.){path}$", _hqq_format(own["weight_quant_params"]), "quant_config"))
        return Scheme("HQQ, by kind of module", tuple(rules)), None
    weights = options.get("weight_quant_params") or settings
    if not isinstance(weights, Mapping) or "nbits" not in weights:
        return None, "HQQ's block states no bits"
    bits, group = int(weights["nbits"]), int(weights.get("group_size") or 0)
    return _whole(f"HQQ {bits}-bit, groups of {group or 'a row'}", _hqq_format(weights), settings, "nbits")


def _hqq_format(weights: Mapping[str, Any]) -> Format:
    bits, group = int(weights.get("nbits") or 4), int(weights.get("group_size") or 0)
    # Ten 3-bit numbers share 32 bits, 5- and 6-bit ones take a byte each; what is beyond whole bits is on the scale.
    beyond = {3: Fraction(group, 5), 5: Fraction(3 * group), 6: Fraction(2 * group)}.get(bits, Fraction(0))
    return grouped(Format(f"int{bits}", bits, scale_bits=32 + beyond), columns=group)


def quanto(settings: Mapping[str, Any]) -> Result:
    """8-bit numbers with a 16-bit scale a row; 4- and 2-bit ones with a scale and a shift per 128 inputs. Two scalars
    for the activations stand beside each matrix."""
    kind = str(settings.get("weights") or "int8")
    scalars = 2 * 16
    forms = {
        "int8": Format("int8", 8, scale_bits=16, tensor_bits=scalars),
        "float8": Format("fp8", 8, scale_bits=16, tensor_bits=scalars),
        "int4": Format("int4", 4, tile_columns=128, scale_bits=32, tensor_bits=scalars),
        "int2": Format("int2", 2, tile_columns=128, scale_bits=32, tensor_bits=scalars),
    }
    if kind not in forms:
        return None, f"Quanto's weights {kind!r} are not known here"
    inputs = {"int8": "int8", "float8": "fp8"}.get(str(settings.get("activations")), "")
    return _whole(f"Quanto {kind}", replace(forms[kind], arithmetic=inputs), settings, "weights")


def eetq(settings: Mapping[str, Any]) -> Result:
    return _whole("EETQ int8, one 16-bit scale a row", Format("int8", 8, scale_bits=16), settings)


def bitsandbytes(settings: Mapping[str, Any]) -> Result:
    """What `load_in_8bit` or `load_in_4bit` switches on; where they are there and off, nothing is converted. A list of
    modules to skip stands for itself: the head is only left out of it by transformers where there is no list."""
    eight = settings.get("load_in_8bit") or settings.get("_load_in_8bit")
    four = settings.get("load_in_4bit") or settings.get("_load_in_4bit")
    flags = ("load_in_4bit", "_load_in_4bit", "load_in_8bit", "_load_in_8bit")
    if not eight and not four and settings.keys() & set(flags):
        return Scheme("weights as they were (bitsandbytes, its flags are off)", ()), None
    roles = LINEAR if settings.get("llm_int8_skip_modules") is None else LINEAR | {"head"}
    if eight:
        # A byte beside each matrix names its layout.
        form = Format("int8", 8, scale_bits=32, tensor_bits=8, arithmetic="int8")
        return _whole("bitsandbytes LLM.int8()", form, settings, "load_in_8bit", roles)
    double = bool(settings.get("bnb_4bit_use_double_quant"))
    scale = Fraction(8 * 256 + 32, 256) if double else 32
    tables = 16 * 32 + (256 * 32 if double else 0)  # the 16 values a code stands for, and the 256 of a scale
    kind = str(settings.get("bnb_4bit_quant_type", "fp4"))
    title = f"bitsandbytes {kind}, blocks of 64" + (", double-quantized scales" if scale != 32 else "")
    form = Format(kind, 4, tile_columns=64, scale_bits=scale, tensor_bits=tables)
    return _whole(title, form, settings, "load_in_4bit", roles)


def bitnet(settings: Mapping[str, Any]) -> Result:
    return _whole("BitNet, ternary packed in 2 bits", Format("ternary", 2, tile_rows=0, scale_bits=16), settings)


def torchao(settings: Mapping[str, Any]) -> Result:
    """One type for all, or a type for each module by its name or an expression ("re:"), with "_default" for the
    rest; null leaves a module as it is."""
    kind = settings.get("quant_type", "")
    if not isinstance(kind, Mapping):
        kind = {"default": {"_type": kind, "_data": settings.get("quant_type_kwargs") or {}}}
    inner = kind.get("default")
    if not isinstance(inner, Mapping):
        return None, "torchao's quant_type names no type"
    data = inner.get("_data") or {}
    modules = {**pieces(data, "module_fqn_to_config"), **pieces(data, "fqn_to_config")}
    if not modules:
        form, title = _torchao_format(inner)
        ends = settings.get("include_input_output_embeddings") is True
        roles = LINEAR | {"embedding", "head"} if ends else LINEAR
        return _whole(title, form, settings, "quant_type", roles) if form else (None, title)
    rules, whole = list(listed(settings, *IGNORED)), modules.pop("_default", None)
    for expression in (False, True):  # names go before expressions
        for name, own in modules.items():
            form, reason = _torchao_format(own) if isinstance(own, Mapping) else (None, "")
            if isinstance(own, Mapping) and form is None:
                return None, reason
            if name.startswith("re:") == expression:
                rules.append(Rule("regex", name[3:] + "$", form, "quant_type") if expression
                             else Rule("name", name, form, "quant_type"))  # fmt: skip
    default, reason = _torchao_format(whole) if isinstance(whole, Mapping) else (None, "")
    if default is not None:
        rules += converting("Linear", default, "quant_type")
    elif isinstance(whole, Mapping):
        return None, reason
    forms = dict.fromkeys(r.form.name for r in rules if r.form is not None)
    return Scheme(f"torchao {', '.join(forms)}", tuple(rules)), None


def _torchao_format(said: Mapping[str, Any]) -> tuple[Format | None, str]:
    """The format of one of torchao's types and its title, or None with the reason why it is not known."""
    kind, options = str(said.get("_type", "")).lower(), said.get("_data") or {}
    group = int(options.get("group_size") or 128)
    # Int8DynamicActivationInt4Weight, float8_dynamic_activation_float8_weight ...: what the inputs become stands first.
    inputs = ("fp8" if kind.startswith("float8") else "int8") if "activation" in kind else ""
    if "intx" in kind:
        # IntxUnpackedToInt8Tensor: a byte each whatever the bits, a 16-bit scale and an 8-bit zero point per group.
        grain = options.get("weight_granularity") or options.get("granularity") or {}
        size = int((grain.get("_data") or {}).get("group_size") or 32) if grain.get("_type") == "PerGroup" else 0
        title = f"torchao integers in bytes, groups of {size}" if size else "torchao integers in bytes, one scale a row"
        return grouped(Format("int8", 8, scale_bits=16, zero_bits=8, arithmetic=inputs), columns=size), title
    if "int4" in kind:
        # A 16-bit scale and a 16-bit zero point per group (Int4Tensor and the tensor-core layout).
        form = Format("int4", 4, scale_bits=32, arithmetic=inputs)
        return grouped(form, columns=group), f"torchao int4, groups of {group}"
    if "int8" in kind:
        return replace(FORMATS["int8"], arithmetic=inputs), "torchao int8"
    if "float8" in kind:
        return replace(FORMATS["fp8"], arithmetic=inputs), "torchao float8"
    return None, f"torchao type {kind!r} is not known here"
