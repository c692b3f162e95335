"""The registry of families, and what each makes of a config."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.model import Stack


@dataclass(frozen=True)
class Blueprint:
    """What a family builds from a config: the language model, its towers, and what to tell the reader.

    Attributes:
        reads_class: the family has put on top what the class in `architectures` has there.
    """

    text: Stack
    vocabulary: int
    towers: tuple[Stack, ...] = ()
    context: int | None = None
    notes: tuple[str, ...] = ()
    encoder: Stack | None = None
    encoder_length: int | None = None
    apart: tuple[Stack, ...] = ()
    reads_class: bool = False


Family = Callable[[Config], Blueprint]
FAMILIES: dict[str, Family] = {}


def family(*model_types: str) -> Callable[[Family], Family]:
    """Register a function as the reader of these model types."""

    def register(function: Family) -> Family:
        for model_type in model_types:
            if model_type in FAMILIES:
                raise RuntimeError(f"two families for model type {model_type!r}")
            FAMILIES[model_type] = lambda c: layer_by_layer(c, function)
        return function

    return register


def layer_by_layer(c: Config, function: Family) -> Blueprint:
    """What the family builds, with the fields that `per_layer_config` changes for single layers: transformers 5 writes
    Gemma 4's larger heads in the full-attention layers that way."""
    overrides = c.get("per_layer_config")
    if not overrides:
        return function(c)
    built = function(c)
    layers = list(built.text.layers)
    for changes in {json.dumps(changes, sort_keys=True): changes for changes in overrides.values()}.values():
        other = function(Config({**c.raw, **changes}, c.model_type, where=c.where)).text.layers
        for index in (int(i) for i, found in overrides.items() if found == changes):
            if not 0 <= index < len(layers):
                raise ConfigError(f"per_layer_config in {c.where} has layer {index}; there are {len(layers)} layers.")
            layers[index] = other[index]
    return replace(built, text=replace(built.text, layers=tuple(layers)))
