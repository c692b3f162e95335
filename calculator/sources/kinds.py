"""Which reader a parsed config is for: a draft's, a family's with the head that its class has, or a family's after a
translation from somebody else's fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from calculator.config import Config
from calculator.errors import ConfigError, UnknownModelTypeError

if TYPE_CHECKING:
    from calculator.families.registry import Family


def reader_of(raw: Mapping[str, Any]) -> tuple[Config, Family]:
    """The config and what reads it.

    Raises:
        ConfigError: it does not say what it describes; UnknownModelTypeError: nothing here reads that.
    """
    from calculator.families import FAMILIES
    from calculator.families.classes import with_class
    from calculator.families.drafts.registry import draft_of
    from calculator.sources.foreign import translated

    drafted = draft_of(raw)
    if drafted is not None:
        return drafted
    raw = translated(raw)
    kind = raw.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ConfigError(
            'The config has no model_type, which says what it describes; add the field (for instance "llama").'
        )
    if kind not in FAMILIES:
        near = ", ".join(difflib.get_close_matches(kind, FAMILIES, 4, 0))
        raise UnknownModelTypeError(f"Model type {kind!r} is not known here; the nearest known types are {near}.")
    return Config(raw, kind), with_class(FAMILIES[kind])
