"""The families: each turns the config of its model types into a description of what is built."""

from __future__ import annotations

from calculator.families import (
    classic,
    deepseek,
    deepseek_v4,
    dense,
    early,
    gemma,
    glm,
    hybrids,
    mixtures,
    moe,
    multimodal,
    qwen3_5,
    recurrent,
    variants,
    vision,
)
from calculator.families.common import FAMILIES, Blueprint

__all__ = [
    "FAMILIES",
    "Blueprint",
    "classic",
    "deepseek",
    "deepseek_v4",
    "dense",
    "early",
    "gemma",
    "glm",
    "hybrids",
    "mixtures",
    "moe",
    "multimodal",
    "qwen3_5",
    "recurrent",
    "variants",
    "vision",
]
