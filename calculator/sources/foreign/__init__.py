"""Configs that are no config.json of transformers: Mistral's and Meta's params.json, mamba_ssm's, Megatron's and
NeMo's, and what Falcon's own code read. Each is said in the fields of the type that builds the same tensors, or refused
with what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from calculator.sources.foreign import falcon, mamba, megatron, params

Reader = Callable[[Mapping[str, Any]], dict[str, Any]]
READERS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reader], ...] = (
    (params.is_mistral, params.mistral),
    (params.is_meta, params.meta),
    (falcon.is_falcon, falcon.falcon),
    (mamba.is_mamba, mamba.mamba),
    (megatron.is_megatron, megatron.megatron),
)


def translated(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config in transformers' fields; the same where it already is.

    Raises:
        ConfigError: it is one of those known here, and a fact is missing or cannot be built.
    """
    for fits, read in READERS:
        if fits(raw):
            return read(raw)
    return raw
