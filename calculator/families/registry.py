"""The registry of families, and what each makes of a config."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module

from calculator.config import DATA, Config
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
REGISTERED: dict[str, partial[Blueprint]] = {}
"""The families of the modules that were imported so far."""

MODULES = DATA / "families.json"
"""Module -> the model types that it registers, made by docs/make_index.py."""


@cache
def module_by_type() -> Mapping[str, str]:
    """model_type -> the module of this package that registers it, so that one model needs one module."""
    listed = json.loads(MODULES.read_text(encoding="utf-8"))
    return {kind: module for module, kinds in listed.items() for kind in kinds}


def register_all() -> None:
    """Import every module of the families, which registers them all."""
    package = import_module("calculator.families")
    from pkgutil import walk_packages

    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)


class Families(Mapping[str, Family]):
    """model_type -> family, each module imported when the first of its types is asked for."""

    def __getitem__(self, model_type: str) -> Family:
        if model_type not in REGISTERED:
            import_module(f"calculator.families.{module_by_type()[model_type]}")
        return REGISTERED[model_type]

    def __contains__(self, model_type: object) -> bool:
        return model_type in REGISTERED or model_type in module_by_type()

    def __iter__(self) -> Iterator[str]:
        return iter({**module_by_type(), **REGISTERED})

    def __len__(self) -> int:
        return len({**module_by_type(), **REGISTERED})


FAMILIES = Families()


def family(*model_types: str) -> Callable[[Family], Family]:
    """Register a function as the reader of these model types."""

    def register(function: Family) -> Family:
        for model_type in model_types:
            if model_type in REGISTERED:
                raise RuntimeError(f"two families for model type {model_type!r}")
            REGISTERED[model_type] = partial(layer_by_layer, function=function)
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
