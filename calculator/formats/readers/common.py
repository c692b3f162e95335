"""What the readers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from calculator.formats.named import FORMATS, Format
from calculator.formats.rules import Scheme

Result: TypeAlias = tuple[Scheme | None, str | None]
"""A scheme, or None with the reason why the block is not understood."""

IGNORED = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules")
"""How libraries call the list of modules that stay as they are."""


def pieces(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under the key, empty where there is none."""
    found = settings.get(key) or {}
    if not isinstance(found, Mapping):
        raise ValueError(f"{key} {found!r} is not a mapping of modules")
    return found


def nvfp4(inputs: bool, *, smoothed: bool = False) -> Format:
    """A 32-bit scalar for each matrix, and one for its input where that is quantized too; `smoothed`: a 16-bit factor
    for each input channel (AWQ)."""
    return replace(
        FORMATS["nvfp4"],
        tensor_bits=64 if inputs else 32,
        column_bits=16 if smoothed else 0,
        arithmetic="nvfp4" if inputs else "",
    )


def mx(bits: int, arithmetic: str = "") -> Format:
    """OCP microscaling floats: an 8-bit scale per 32."""
    form = FORMATS["mxfp4"] if bits == 4 else Format(f"mxfp{bits}", bits, tile_columns=32, scale_bits=8)
    return replace(form, arithmetic=arithmetic)


def computed(inputs: Any) -> str:
    """What products are computed in where the inputs are quantized, too: the wider of the two, which is theirs. "" for
    inputs that stay as they are."""
    if not isinstance(inputs, Mapping):
        return ""
    bits = inputs.get("num_bits")
    if inputs.get("type", "int") == "float":
        return {8: "fp8", 4: "nvfp4"}.get(bits if isinstance(bits, int) else 8, "")
    return "int8" if bits in (None, 8) else ""


def cache_format(settings: Mapping[str, Any]) -> str | None:
    """The KV cache's format, where the config asks for one."""
    scheme = settings.get("kv_cache_scheme")
    if isinstance(scheme, Mapping):
        bits, kind = scheme.get("num_bits"), scheme.get("type", "float")
        found = {(8, "float"): "fp8", (8, "int"): "int8", (4, "float"): "nvfp4"}
        return found.get((bits, kind)) if isinstance(bits, int) and isinstance(kind, str) else None
    algorithm = str(scheme or settings.get("kv_cache_quant_algo") or "").lower()
    # modelopt has variants of NVFP4 by how values are rounded (NVFP4_AFFINE, NVFP4_ROTATE); the bytes are the same.
    return next((name for name in ("nvfp4", "fp8", "int8") if algorithm.startswith(name)), None)
