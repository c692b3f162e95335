"""Formats that transformers' own modules hold: Gemma's integers, Metal's groups, FP-Quant and MXFP8.

Sources: huggingface/transformers 5.24, integrations/gemma_quant.py, metal_quantization.py, finegrained_fp8.py and
utils/quantization_config.py; IST-DASLab/FP-Quant, what its export stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.named import Blocks, Format
from calculator.formats.readers.common import IGNORED, Result, mx, nvfp4, pieces
from calculator.formats.rules import LINEAR, MATRICES, Rule, Scheme, converting, listed


def _heads(settings: Mapping[str, Any]) -> frozenset[str]:
    """Without a list of modules transformers leaves the head as it is; with one, only what is listed."""
    return LINEAR if settings.get("modules_to_not_convert") is None else LINEAR | {"head"}


def _row(bits: int, scalars: int) -> Format:
    """Packed integers with a 32-bit scale a row, and 32-bit scalars."""
    return Format(f"int{bits}", bits, scale_bits=32, tensor_bits=32 * scalars)


def gemma(settings: Mapping[str, Any]) -> Result:
    """Integers of 2, 4 or 8 bits with a 32-bit scale a row and a scalar for the inputs and the outputs; of the patterns
    of `module_quant_configs`, which are looked for anywhere in a module's path, the first that matches counts."""
    bits, embeddings = int(settings.get("num_bits") or 4), settings.get("quantize_embeddings") is True
    roles = _heads(settings)
    rules = list(listed(settings, *IGNORED))
    for key, own in pieces(settings, "module_quant_configs").items():
        given = int((own.get("num_bits") if isinstance(own, Mapping) else None) or bits)
        rules.append(Rule("search", key, _row(given, 2), "module_quant_configs", roles))
        if embeddings:
            rules.append(Rule("search", key, _row(given, 0), "module_quant_configs", MATRICES - LINEAR - {"head"}))
    rules += converting("Linear", _row(bits, 2), "num_bits", roles)
    if embeddings:
        rules += converting("Embedding", _row(bits, 0), "quantize_embeddings", frozenset(("embedding",)))
    return Scheme(f"Gemma {bits}-bit integers, one scale a row", tuple(rules)), None


def metal(settings: Mapping[str, Any]) -> Result:
    """MLX's groups in linear layers alone: a 16-bit scale and a 16-bit bias each."""
    bits, group = int(settings.get("bits") or 4), int(settings.get("group_size") or 64)
    form = Blocks(f"int{bits}", bits, tile_columns=group, scale_bits=32)
    rules = (*listed(settings, *IGNORED), *converting("Linear", form, "bits", _heads(settings)))
    return Scheme(f"Metal {bits}-bit, groups of {group}", rules), None


def mxfp8(settings: Mapping[str, Any]) -> Result:
    """8-bit floats with an 8-bit scale per 32 of a row."""
    return Scheme(
        "MXFP8, 8-bit scale per 32", (*listed(settings, *IGNORED), *converting("Linear", mx(8, "fp8"), "quant_method"))
    ), None


def fp_quant(settings: Mapping[str, Any]) -> Result:
    """MXFP4 or NVFP4 with two rotations of the inputs and a scale of the weights and of the inputs beside each matrix;
    pseudo-quantized weights, and those of training, stay in 16 bit."""
    kind = str(settings.get("forward_dtype") or "nvfp4")
    if kind not in ("nvfp4", "mxfp4"):
        return None, f"FP-Quant's type {kind!r} is not known here"
    if settings.get("pseudoquantization") or settings.get("store_master_weights"):
        return Scheme("weights as they were (FP-Quant)", ()), None
    group = int(settings.get("hadamard_group_size") or (16 if kind == "nvfp4" else 32))
    form = replace(nvfp4(True) if kind == "nvfp4" else mx(4, "mxfp4"), tensor_bits=64 + 2 * 16 * group * group)
    rules = (*listed(settings, *IGNORED), *converting("Linear", form, "forward_dtype", _heads(settings)))
    return Scheme(f"{kind.upper()} (FP-Quant)", rules), None
