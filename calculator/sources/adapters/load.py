"""An adapter's base model, found and put together with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from calculator.errors import CalculatorError, ConfigError
from calculator.model import Model
from calculator.sources.adapters.build import adapted
from calculator.sources.adapters.settings import FILE, Settings

MOST_ADAPTERS = 2
"""An adapter may stand on another one; a chain, or one that names itself, ends here."""

_adapters_read: ContextVar[int] = ContextVar("adapters_read", default=0)


def adapter_model(
    raw: Mapping[str, Any], load: Callable[[str], Model], *, base: str | None, name: str, source: str
) -> Model:
    """The adapter beside its base model.

    Args:
        load: reads a base model by its name. base: the name to read instead of the one that the adapter states.

    Raises:
        ConfigError: the base model cannot be read, or the adapter does not fit it.
    """
    settings = Settings.read(raw)
    wanted = base or settings.base
    if not wanted:
        raise ConfigError(
            f"{name} is an adapter ({settings.title}) whose {FILE} names no base model; say which one it is for with "
            "base= or --base."
        )
    if _adapters_read.get() >= MOST_ADAPTERS:
        raise ConfigError(
            f"{name} is an adapter ({settings.title}) of {wanted}, and that one of another adapter in turn; give the "
            "base model with base= or --base."
        )
    before = _adapters_read.set(_adapters_read.get() + 1)
    try:
        model = load(wanted)
    except CalculatorError as error:
        raise ConfigError(
            f"{name} is an adapter ({settings.title}) of the base model {wanted}, which could not be read: {error} "
            "Give the base model's id, path or config with base= or --base."
        ) from error
    finally:
        _adapters_read.reset(before)
    return adapted(model, raw, name=name, source=source)
