"""compressed-tensors (llm-compressor): formats by groups of target modules.

Source: vllm-project/compressed-tensors 0.20: utils/match.py, quantization/lifecycle (apply.py, initialize.py) and
compressors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.named import Format, grouped
from calculator.formats.readers.common import Result, cache_format, computed, mx, nvfp4, pieces
from calculator.formats.rules import CLASSES, Rule, Scheme, names

SPARSE = ("marlin-24", "sparse-24-bitmask", "sparse-bitmask")
UNCOMPRESSED = ("dense", "fakequant")
"""Formats that keep the weights as they were, whatever the groups say."""
UNFINISHED = ("initialized", "calibration", "frozen", "decompressed")
"""States before the weights are compressed, or after they were taken apart again. Old files say "frozen" beside the
format that they are compressed in: then the format counts."""
AS_BYTES = ("int-quantized", "float-quantized", "naive-quantized")
SCALE_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8_e4m3fn": 8, "uint8": 8}


def compressed_tensors(settings: Mapping[str, Any]) -> Result:
    """What `ignore` names is left out. Of the others, a target that is a module's name goes before an expression
    ("re:"), and that before a class ("Linear", which the head is too); several of a kind go by the alphabet."""
    whole, status = str(settings.get("format") or ""), str(settings.get("quantization_status") or "")
    sparse = (whole, str(pieces(settings, "sparsity_config").get("format") or ""))
    if any(name in SPARSE for name in sparse):
        return None, f"its format {next(n for n in sparse if n in SPARSE)!r} keeps part of the weights only"
    cache = cache_format(settings)
    groups = {
        name: group
        for name, group in pieces(settings, "config_groups").items()
        if isinstance(group, Mapping) and group.get("weights")
    }
    if whole in UNCOMPRESSED or not groups or (not whole and status in UNFINISHED):
        said = f"format {whole}" if whole else "no group of weights" if not groups else f"status {status}"
        return Scheme(f"weights as they were (compressed-tensors, {said})", (), cache), None
    targets: dict[str, tuple[str, Format | None]] = {}
    for name, group in groups.items():
        form = group_format(group, str(group.get("format") or whole))
        for target in names(group, "targets") or ["Linear"]:
            targets[target] = f"config_groups.{name}.targets", form
    ordered = sorted(targets, key=lambda target: (target in CLASSES, "re:" in target, target))
    ignored = [_rule(name, None, "ignore") for name in names(settings, "ignore")]
    rules = (*ignored, *(_rule(target, targets[target][1], targets[target][0]) for target in ordered))
    forms = dict.fromkeys(form for _, form in targets.values() if form is not None)
    title = ", ".join(dict.fromkeys(f"{form.name} ({form.bits}-bit)" for form in forms))
    return Scheme(title, rules, cache), None


def _rule(target: str, form: Format | None, field: str) -> Rule:
    if target.startswith("re:"):
        return Rule("regex", target[3:], form, field)
    if target in CLASSES:
        return Rule("class", target, form, field, CLASSES[target])
    return Rule("name", target, form, field)


def group_format(group: Mapping[str, Any], packing: str) -> Format | None:
    """The format of a group: scales are in the model's 16-bit type unless `scale_dtype` says otherwise, packed tensors
    carry their unpacked shape in two 64-bit numbers; None where its weights are as they were."""
    weights, inputs = group["weights"], group.get("input_activations")
    if packing in UNCOMPRESSED:
        return None
    bits, kind = int(weights.get("num_bits") or 8), weights.get("type", "int")
    size = weights.get("group_size")
    strategy = weights.get("strategy") or ("group" if size else "tensor")
    if kind == "float" and bits == 4:
        if int(size or 16) != 16:
            return mx(4, "mxfp4" if computed(inputs) == "nvfp4" else computed(inputs))
        return replace(nvfp4(bool(inputs)), arithmetic=computed(inputs))
    if packing.startswith("mxfp"):
        return replace(mx(bits, computed(inputs)), tile_columns=int(size or 32))
    bits = 8 if packing in AS_BYTES else bits  # a byte each, however few bits are used
    name = f"fp{bits}" if kind == "float" else f"int{bits}"
    scale = SCALE_BITS.get(str(weights.get("scale_dtype") or "").removeprefix("torch."), 16)
    packed = packing == "pack-quantized" or (packing not in AS_BYTES and kind == "int" and bits < 8)
    beside = (128 if packed else 0) + (16 if inputs and not inputs.get("dynamic", True) else 0)
    zeros = 0 if weights.get("symmetric", True) else bits if packed else 8
    columns = 32 if packed and str(weights.get("actorder")).lower() in ("group", "true", "dynamic") else 0
    base = Format(name, bits, 1, 0, scale, zeros, columns, beside, arithmetic=computed(inputs))
    if strategy == "block":
        rows, wide = weights.get("block_structure") or (128, 128)
        return replace(base, tile_rows=int(rows), tile_columns=int(wide))
    if strategy == "tensor":
        return replace(base, tile_rows=0)
    return grouped(base, columns=int(size or 0) if strategy in ("group", "tensor_group") else 0)
