"""Every error a caller of this package may see. Each message is one full sentence or two: what was wrong, what is
allowed, what to do. Pages show it, the command line prints it to standard error and exits 2."""

from __future__ import annotations

import reprlib
from typing import Any

RAISE = "CALCULATOR_RAISE"
"""The environment variable that lets unforeseen exceptions through, for tests and for whoever mends them."""

LONGEST_MESSAGE = 3000
"""Characters; a message that repeats what it was given is cut in the middle."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 80
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 6


def shown(value: Any) -> str:
    """A value as Python writes it, short however large it is, for a sentence about it."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number of some {value.bit_length() * 30103 // 100000 + 1:,} digits"
    return _repr.repr(value)


class CalculatorError(Exception):
    """Base of all errors raised on purpose; the message is meant for the user."""

    def __init__(self, message: object = "") -> None:
        text = str(message)
        if len(text) > LONGEST_MESSAGE:
            text = f"{text[: LONGEST_MESSAGE * 2 // 3]} … {text[-LONGEST_MESSAGE // 3 :]}"
        super().__init__(text)


class ConfigError(CalculatorError):
    """A configuration lacks a field, or a field has a value no model can be built from."""


class UnknownModelTypeError(ConfigError):
    """No family is registered for the configuration's model_type."""


class WorkloadError(CalculatorError):
    """A mode, batch size, length, precision or option outside what is allowed."""


class SourceError(CalculatorError):
    """A model source that is neither a bundled name, a Hub id or URL, a path, nor a configuration."""


class HubError(CalculatorError):
    """The Hugging Face Hub did not give the file; the subclasses say why."""


class ModelNotFoundError(HubError):
    """The Hub knows no such repository or revision, or it is private and the token does not open it."""


class GatedModelError(HubError):
    """The repository is gated: its licence must be accepted and a token sent."""


class MissingFileError(HubError):
    """The repository exists but holds no such file."""


class HubUnreachableError(HubError):
    """No network, a timeout, a rate limit or a server fault; a later try may succeed."""


class CheckpointError(CalculatorError):
    """A checkpoint's files break the rules of their format, or do not belong together."""


class DeviceError(CalculatorError):
    """A device, a number of devices or a way to divide a model over them that does not exist or cannot work."""


class MissingExtraError(CalculatorError):
    """A function needs a package that a bare installation does not bring; the sentence names the extra."""
