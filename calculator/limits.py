"""One place for budgets: how much of what a stranger sends is read, built, kept and waited for.

Every kind of input is held against them before anything is made of it. The limits in force are those of the context:
`STANDARD` on a person's own machine, `SERVER` in the app, where many visitors share one process.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from calculator.errors import CalculatorError, CheckpointError, ConfigError, shown


@dataclass(frozen=True)
class Limits:
    """Budgets. The largest published model is far below each of them.

    Attributes:
        config_bytes: of a config.json from a file, an upload or the Hub. config_values: values inside it, which take
            some thirty times the bytes of `{},`.
        link_characters: of a config packed into a link. upload_bytes: of an uploaded file.
        layers: of a stack. distinct_layers: of them that differ from one another.
        repeats: of all loops over numbers of a config together, while a model is built. parts: the parts made then.
        operations: of one pass. copies: of one kind of weight in a layer (experts).
        named: tensors of a model's layers in one of llama.cpp's mixtures, which has a rule for each.
        tensors: of a checkpoint over all its files. header_bytes: the same, in bytes.
        seconds: for everything that one request asks of the Hub, headers included, so that with drawing it is answered
            within ten.
        own_token: whether the machine's own token (HF_TOKEN or the stored login) is sent for whoever asks.
        disk: whether what the Hub sends is kept on, and read from, the machine's disk.
        failure_seconds: how long a Hub that did not answer is not asked again for the same thing.
        fresh_seconds: how long a model of the Hub is remembered without asking again.
    """

    config_bytes: int = 20_000_000
    config_values: int = 2_000_000
    link_characters: int = 8_000
    upload_bytes: int = 20_000_000
    layers: int = 10_000
    distinct_layers: int = 1_000
    repeats: int = 100_000
    parts: int = 100_000
    operations: int = 6_000
    named: int = 20_000
    copies: int = 100_000
    tensors: int = 1_000_000
    header_bytes: int = 200_000_000
    seconds: float = 9.0
    own_token: bool = True
    disk: bool = True
    failure_seconds: float = 0.0
    fresh_seconds: float = 0.0


STANDARD = Limits()

SERVER = Limits(
    config_bytes=5_000_000,
    config_values=300_000,
    upload_bytes=5_000_000,
    layers=2_000,
    distinct_layers=150,
    repeats=20_000,
    parts=30_000,
    operations=3_000,
    named=10_000,
    copies=20_000,
    tensors=200_000,
    header_bytes=25_000_000,
    own_token=False,
    disk=False,
    failure_seconds=20.0,
    fresh_seconds=86_400.0,
)

_current: ContextVar[Limits] = ContextVar("limits", default=STANDARD)
_spent: ContextVar[list[int] | None] = ContextVar("spent", default=None)
REPEATS, PARTS = 0, 1


def limits() -> Limits:
    """The limits in force."""
    return _current.get()


@contextmanager
def applied(chosen: Limits) -> Iterator[None]:
    """These limits, for what runs inside."""
    token = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def building() -> Iterator[None]:
    """A model is built inside: all its loops together have one budget of repeats, and all its parts one of parts."""
    token = _spent.set([0, 0])
    try:
        yield
    finally:
        _spent.reset(token)


def part_made() -> None:
    """Count a part of the model that is built.

    Raises:
        ConfigError: there are more than are built here.
    """
    spent = _spent.get()
    if spent is None:
        return
    spent[PARTS] += 1
    if spent[PARTS] > limits().parts:
        raise ConfigError(
            f"This model has more than {limits().parts:,} parts that are written one by one, which is more than is "
            "built here; check the numbers of layers and of parts in a layer."
        )


def times(count: Any, what: str = "a count in the config") -> int:
    """A number of a config as the length of a loop or a list: the only way such a number may become one.

    Raises:
        ConfigError: it is no whole number, or more than is built of anything.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise ConfigError(f"{what} is {shown(count)}; it must be a whole number, zero or more.")
    wanted: int = max(count, 0)  # one less than none is none, as for range()
    most = limits().repeats
    spent = _spent.get()
    if spent is not None:
        spent[REPEATS] += wanted
    if max(wanted, spent[REPEATS] if spent else 0) > most:
        raise ConfigError(
            f"The config asks for more repetitions than are built here: {what} is {shown(count)}, and all together may "
            f"be {most:,}; correct the number."
        )
    return wanted


def check_json(text: str | bytes, where: str, error: type[CalculatorError] = ConfigError) -> None:
    """Hold JSON against the limits of a config before it is parsed.

    Raises:
        CalculatorError: of the given kind, it is too long, holds too many values or nests too deep.
    """
    bound = limits()
    if len(text) > bound.config_bytes:
        raise error(f"{where} is larger than {bound.config_bytes / 1e6:g} MB, so it is no config.json.")
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    opened = raw.count(b"[") + raw.count(b"{")
    values = raw.count(b",") + opened
    if values > bound.config_values:
        raise error(
            f"{where} holds some {values:,} values, and at most {bound.config_values:,} are read; a model's "
            "config.json has a few thousand."
        )
    if opened > NESTED and _depth(raw) > NESTED:
        raise error(
            f"{where} nests objects and lists more than {NESTED} deep, so it is no config.json, which has a few levels."
        )


NESTED = 100
"""Levels of a config's JSON. How many Python itself parses differs from version to version."""
_TOKEN = rb'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[{\]}]'
_STEP = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def _depth(text: bytes) -> int:
    """How deep brackets stand in one another, those in strings left out."""
    deepest = depth = 0
    for token in re.finditer(_TOKEN, text, re.DOTALL):
        depth += _STEP.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


Asked = ParamSpec("Asked")
Value = TypeVar("Value")


def remembered(entries: int, longest: int = 200) -> Callable[[Callable[Asked, Value]], Callable[Asked, Value]]:
    """A function whose last answers are kept where strangers choose what it is asked: names, or lists of numbers. What
    is longer than `longest` is worked out each time, so that so many entries are so many bytes too."""

    def keeping(call: Callable[Asked, Value]) -> Callable[Asked, Value]:
        kept: Callable[Asked, Value] = lru_cache(maxsize=entries)(call)  # type: ignore[assignment]

        def asked(*args: Asked.args, **named: Asked.kwargs) -> Value:
            for value in (*args, *named.values()) if named else args:
                if isinstance(value, (str, tuple)) and len(value) > longest:
                    return call(*args, **named)
            return kept(*args, **named)

        return wraps(call)(asked)

    return keeping


@dataclass
class Deadline:
    """The time that one request as a whole may take, whatever it is made of."""

    seconds: float
    until: float = field(init=False)

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds left, zero when it is over."""
        return max(self.until - time.monotonic(), 0.0)


_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def one_request() -> Iterator[Deadline]:
    """What is asked of the Hub inside is one request with one deadline; inside another request, that one's."""
    outer = _deadline.get()
    if outer is not None:
        yield outer
        return
    made = Deadline(limits().seconds)
    token = _deadline.set(made)
    try:
        yield made
    finally:
        _deadline.reset(token)


def seconds_left(wanted: float) -> float:
    """The seconds wanted, or what is left of the request's time."""
    deadline = _deadline.get()
    return wanted if deadline is None else min(wanted, deadline.left)


@dataclass
class HeaderBudget:
    """What the headers of one checkpoint may hold together, over all its files, which several threads read."""

    name: str
    bound: Limits = field(default_factory=limits)
    bytes: int = 0
    tensors: int = 0
    until: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, nbytes: int = 0, tensors: int = 0) -> None:
        """Count what is about to be read.

        Raises:
            CheckpointError: it is more than is read of one checkpoint, or the time is over.
        """
        with self.lock:
            self.bytes += nbytes
            self.tensors += tensors
        if self.bytes > self.bound.header_bytes:
            raise CheckpointError(
                f"The headers of {self.name} take more than {self.bound.header_bytes / 1e6:g} MB together, which is "
                "more than is read of a checkpoint; give one of its files."
            )
        if self.tensors > self.bound.tensors:
            raise CheckpointError(
                f"The headers of {self.name} list more than {self.bound.tensors:,} tensors, which is more than is read "
                "of a checkpoint; give one of its files."
            )
        if self.until is not None and time.monotonic() > self.until:
            raise CheckpointError(
                f"Reading the headers of {self.name} took longer than a request may; try again, or give one of its "
                "files."
            )
