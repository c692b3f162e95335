"""MLX: every matrix whose columns divide into groups is converted, embedding, head and routers included; towers of
vision and sound stay as they are, and what joins them to the language model does not.

Source: ml-explore/mlx nn/layers/quantized.py, mlx-lm utils.py, mlx-vlm utils.py (skip_multimodal_module).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.formats.named import Blocks
from calculator.formats.readers.common import Result
from calculator.formats.rules import LINEAR, MATRICES, Rule, Scheme, converting

MODES = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}
"""Group size and bits that a mode has where none are stated."""

JOINS = (
    r"(?:^|\.)(?:multi_modal_projector|mm_projector|mlp1|connector|embed_vision|embed_audio)\.(?!mm_input_projection)"
)
"""Modules between a tower and the language model, which mlx-vlm converts: it skips paths with the names of towers
(vision_tower, vision_model, audio_tower, ...) alone. Gemma 3's projection is a bare array, which is never converted."""


def mlx(settings: Mapping[str, Any]) -> Result:
    """A module's own entry stands alone: what it leaves out is MLX's default, not what the whole states."""
    default = _format(settings)
    rules = [
        Rule("name", name, _format(own) if isinstance(own, Mapping) else default if own else None, name)
        for name, own in settings.items()
        if isinstance(own, Mapping | bool)
    ]
    rules.append(Rule("search", JOINS, default, "", LINEAR | {"embedding"}))
    whole = converting("every matrix of the language model", default, "bits", MATRICES, towers=False)
    return Scheme(f"MLX {default.bits}-bit, groups of {default.tile_columns}", (*rules, *whole)), None


def _format(settings: Mapping[str, Any]) -> Blocks:
    mode = str(settings.get("mode") or "affine")
    size, width = MODES.get(mode, MODES["affine"])
    bits, group = int(settings.get("bits") or width), int(settings.get("group_size") or size)
    if mode != "affine":  # an 8-bit scale and no bias
        return Blocks(mode, bits, tile_columns=group, scale_bits=8)
    return Blocks(f"int{bits}", bits, tile_columns=group, scale_bits=32)  # a 16-bit scale and a 16-bit bias
