"""GPTQ, AWQ and AutoRound: integers in groups along the inputs, packed into 32-bit numbers.

Sources: ModelCloud/GPTQModel quantization/config.py and nn_modules/qlinear, casper-hansen/AutoAWQ, intel/auto-round
inference/convert_model.py and export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.named import FORMATS, Format, grouped
from calculator.formats.readers.common import IGNORED, Result, mx, nvfp4, pieces
from calculator.formats.rules import LINEAR, Rule, Scheme, converting, listed


def integer(bits: int, group: int, zeros: bool, *, columns: int = 0) -> Format:
    """Group-wise integers: a 16-bit scale, and a zero point of `bits`, per group."""
    base = Format(f"int{bits}", bits, scale_bits=16, zero_bits=bits if zeros else 0, column_bits=columns)
    return grouped(base, columns=group)


def gptq(settings: Mapping[str, Any]) -> Result:
    """qzeros are stored even for symmetric GPTQ, and g_idx names each input column's group in 32 bits. Only the layers
    of the language model are converted, and the head where `lm_head` says so. The first key of `dynamic` that matches
    gives a module sizes of its own ("+:" or nothing before the expression) or leaves it out ("-:")."""
    sizes = {"bits": int(settings.get("bits", 4)), "group_size": int(settings.get("group_size", 128))}
    roles = LINEAR | {"head"} if settings.get("lm_head") is True else LINEAR
    form = integer(sizes["bits"], sizes["group_size"], True, columns=32)
    rules = list(listed(settings, *IGNORED))
    for key, own in pieces(settings, "dynamic").items():
        expression = key[2:] if key[:2] in ("+:", "-:") else key
        special = {**sizes, **(own if isinstance(own, Mapping) else {})}
        changed = integer(int(special["bits"]), int(special["group_size"]), True, columns=32)
        given = None if key.startswith("-:") else form if changed == form else changed
        rules.append(Rule("regex", expression, given, "dynamic", roles, towers=False))
    inside = settings.get("modules_in_block_to_quantize")
    if inside:
        rules += [Rule("within", name, form, "modules_in_block_to_quantize", roles, False) for name in _flat(inside)]
    else:
        rules += converting("Linear of the layers", form, "bits", roles, towers=False)
    return Scheme(f"GPTQ {sizes['bits']}-bit, groups of {sizes['group_size']}", tuple(rules)), None


def _flat(listed_names: Any) -> list[str]:
    """Names in lists, or in lists of lists."""
    inner = listed_names if isinstance(listed_names, list | tuple) else [listed_names]
    found = [name for one in inner for name in (one if isinstance(one, list | tuple) else [one])]
    if not all(isinstance(name, str) for name in found):
        raise ValueError(f"{listed_names!r} names no modules")
    return found


def awq(settings: Mapping[str, Any]) -> Result:
    """A 16-bit scale and a zero point a group; only the layers of the language model are converted."""
    bits = int(settings.get("bits") or settings.get("w_bit") or 4)
    group = int(settings.get("group_size") or settings.get("q_group_size") or 128)
    form = integer(bits, group, bool(settings.get("zero_point", True)))
    rules = (*listed(settings, *IGNORED), *converting("Linear of the layers", form, "bits", towers=False))
    return Scheme(f"AWQ {bits}-bit, groups of {group}", rules), None


def auto_round(settings: Mapping[str, Any]) -> Result:
    """Integers packed as GPTQ or AWQ pack them, without GPTQ's group index, or block floats. A key of `extra_config`
    is a module's name, which goes before everything, or an expression that is looked for anywhere in it, which comes
    last; what it does not state it takes from the whole. Of `block_name_to_quantize` only those blocks are converted.
    """
    form = _rounded(settings, {})
    if form is None or str(settings.get("packing_format", "")).endswith("gguf"):
        return None, f"AutoRound's data type {settings.get('data_type', 'int')!r} is not known here"
    named: list[Rule] = []
    patterned: list[Rule] = []
    for key, own in pieces(settings, "extra_config").items():
        if not isinstance(own, Mapping):
            continue
        given = None if int(own.get("bits") or 4) >= 16 else _rounded(settings, own)
        if set(key) & set("*+?^$()[]{}|\\") or not _path(key):
            patterned.append(Rule("search", key, given, "extra_config"))
        else:
            named.append(Rule("name", key, given, "extra_config"))
    blocks = settings.get("block_name_to_quantize") or settings.get("to_quant_block_names") or ()
    blocks = [b.strip() for b in blocks.split(",")] if isinstance(blocks, str) else _flat(blocks)
    whole = [Rule("below", b, form, "block_name_to_quantize", LINEAR) for b in blocks if b]
    default = whole or list(converting("Linear of the layers", form, "bits", towers=False))
    rules = (*named, *listed(settings, *IGNORED), *patterned, *default)
    group = "" if form.name.startswith(("mx", "nv")) else f", groups of {settings.get('group_size', 128)}"
    return Scheme(f"AutoRound {form.bits}-bit{group}", rules), None


def _path(key: str) -> bool:
    """Whether the key is a module's whole path; a key that is none is looked for in every path."""
    return key.startswith("model.") or key in ("lm_head", "score") or any(word.isdigit() for word in key.split("."))


def _rounded(settings: Mapping[str, Any], own: Mapping[str, Any]) -> Format | None:
    """The format of AutoRound's sizes; None where its data type is not known."""
    said = {**settings, **{k: v for k, v in own.items() if v is not None}}
    kind, bits, group = str(said.get("data_type", "int")), int(said.get("bits", 4)), int(said.get("group_size", 128))
    if kind == "int":
        return integer(bits, group, True)
    inputs = int(said.get("act_bits") or 16)
    if kind.startswith("mx_fp"):
        return mx(bits, {4: "mxfp4", 8: "fp8"}.get(inputs, ""))
    if kind.startswith("nv_fp"):
        return nvfp4(inputs < 16)
    if kind.startswith("fp") and bits == 8:
        within = "fp8" if inputs < 16 else ""
        return replace(FORMATS["fp8"], tile_rows=0 if group == 0 else 1, scale_bits=16, arithmetic=within)
    return None
