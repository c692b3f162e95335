"""Packages that only some functions need: which extra brings them, in a sentence where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from calculator.errors import MissingExtraError

EXTRAS = {"pandas": "data", "numpy": "data", "altair": "data", "streamlit": "app", "pynvml": "local"}
"""Module -> the extra of transformer-calculator that installs it."""


def needed(module: str, what: str) -> Any:
    """The module.

    Args:
        module: its name, one of EXTRAS. what: what needs it, the beginning of a sentence.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: "
            f'pip install "transformer-calculator[{EXTRAS[module]}]" brings it.'
        ) from error
