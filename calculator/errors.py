"""Every error a caller of this package may see. Each message is one full sentence or two: what was wrong, what is
allowed, what to do. Pages show it, the command line prints it to standard error and exits 2."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
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


def nearest(said: object, known: Iterable[str]) -> str:
    """The name that was probably meant by what was said, "" where none is like it. A slip of the fingers (qlra) and a
    part of one name alone (gb300) are; another number (int3 beside int4) is none."""
    import difflib

    plain = {_plain(name): name for name in known}
    key = _plain(str(said)[:80])
    numbers = _numbers(key)
    alike = [name for name in plain if not numbers or _numbers(name) in (numbers, [])]
    near = difflib.get_close_matches(key, alike, 1, ALIKE)
    if not near and len(key) > 2:
        near = [name for name in plain if key in name or (name in key and len(name) > 3)]
    return plain[near[0]] if len(near) == 1 else ""


def _plain(name: str) -> str:
    """Without what is written in several ways: capitals, dashes, dots, underscores."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _numbers(name: str) -> list[str]:
    return sorted(c for c in name if c.isdigit())


ALIKE = 0.62
"""Of a name and what was said; "qlra" and "qlora" have 0.89."""


def choose(said: object, known: Iterable[str], also: str = "", words: str = "choose one of") -> str:
    """The end of a sentence about a value that is none of a few: what it may be, and what was probably meant.

    Args:
        also: what it may be besides. words: before the names, "choose from" where several may be chosen.
    """
    names = list(known)
    meant = nearest(said, names)
    return f"{words} {', '.join(names)}{also}." + (f" Did you mean {meant}?" if meant else "")


KINDS = {
    "Model": "the Model that load_model returns",
    "Workload": "a Workload or its fields as keywords",
    "Layout": "a Layout, such as Layout(tp=2)",
    "Training": 'a Training, such as Training(method="lora"), or its fields as keywords',
    "str": "text",
}


def needs(who: str, value: object, kind: type, *, optional: bool = False) -> None:
    """Hold an argument of a public function to its type.

    Args:
        optional: whether None is no argument.

    Raises:
        WorkloadError: it is of another type.
    """
    if not (isinstance(value, kind) or (optional and value is None)):
        raise WorkloadError(f"{who} needs {KINDS[kind.__name__]}, not {type(value).__name__}.")


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
