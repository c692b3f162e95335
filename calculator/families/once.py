"""What a family builds over and over for layers that are alike: built once for a config, and found again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast
from weakref import ref

from calculator.config import Config

Builder = TypeVar("Builder", bound=Callable[..., Any])
Built = dict[Any, Any]
_CONFIGS: dict[int, tuple[ref[Config], Built]] = {}
"""What was built for each config that still lives, by its identity: a copy that is read with other values has its own,
and a config stays plain data that can be pickled."""


def _of(c: Config) -> Built:
    place = id(c)
    entry = _CONFIGS.get(place)
    if entry is None:
        # The callback holds the table: when the interpreter ends, globals go first.
        entry = _CONFIGS[place] = ref(c, partial(_forget, _CONFIGS, place)), {}
    return entry[1]


def _forget(built: dict[int, Any], place: int, _: ref[Config]) -> None:
    built.pop(place, None)


def once(build: Builder) -> Builder:
    """The builder, which gives the same part or layer again for the same config and choices.

    A frozen part may stand in any number of layers, and layers that are one object need not be compared. Choices that
    cannot be looked up (lists of parts) are built anew.
    """

    @wraps(build)
    def found(c: Config, *choices: Any, **named: Any) -> Any:
        known = _of(c)
        key = (build, choices, tuple(named.items()))
        try:
            made = known.get(key)
        except TypeError:
            return build(c, *choices, **named)
        if made is None:
            made = known[key] = build(c, *choices, **named)
        return made

    return cast(Builder, found)
