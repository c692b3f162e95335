"""What the process remembers of the Hub and of uploads: one memory for all kinds, bounded by bytes over all together.

A key names a repository and a revision or commit, never the text that a visitor typed, and the access token that opened
it: what one token opened is found again with that token only.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from calculator.errors import HubUnreachableError

if TYPE_CHECKING:
    from concurrent.futures import Future  # loads when the Hub is asked: a bundled model needs none

T = TypeVar("T")
Key = tuple[Any, ...]

MOST_BYTES = 64 * 2**20
"""Of all that is remembered."""

FOR_NOW = 300.0
"""Seconds that something is remembered of which the Hub did not tell all."""

LARGEST_SHARE = 4
"""One thing may take this share of it; what is larger is made anew each time."""


def scope(token: str | None) -> str:
    """The part of a key that stands for an access token: nothing of the token can be read from it."""
    import hashlib  # here, because it takes as long to load as all the rest

    return hashlib.sha256(token.encode(errors="replace")).hexdigest()[:32] if token else ""


@dataclass
class _Entry:
    value: Any
    nbytes: int
    when: float
    seconds: float


class Memory:
    """Values by key, the least recently used forgotten first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.nbytes = 0
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Key, threading.Lock] = {}
        self._under_way: dict[Key, Future[Any]] = {}

    def get(self, key: Key, seconds: float | None = None) -> Any:
        """The value, None where it is not known or older than it may be, or than these seconds."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if time.monotonic() - entry.when >= (entry.seconds if seconds is None else seconds):
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: Key, value: Any, seconds: float) -> None:
        """Remember the value for so long, if it is not too large for that."""
        if seconds <= 0:
            return
        nbytes = size_of(value, self.most_bytes // LARGEST_SHARE) + size_of(key, 10_000)
        with self._lock:
            self._drop(key)
            if nbytes > self.most_bytes // LARGEST_SHARE:
                return
            self._entries[key] = _Entry(value, nbytes, time.monotonic(), seconds)
            self.nbytes += nbytes
            while self.nbytes > self.most_bytes:
                self._drop(next(iter(self._entries)))

    def made(
        self, key: Key, seconds: float, make: Callable[[], T], whole: Callable[[T], bool] = lambda value: True
    ) -> T:
        """The value that is remembered, or that `make` makes; one that is not `whole` only for a few
        minutes."""
        if seconds <= 0:
            return make()
        with self.alone(key):
            found: T | None = self.get(key)
            if found is None:
                found = make()
                self.put(key, found, seconds if whole(found) else min(seconds, FOR_NOW))
            return found

    @contextmanager
    def alone(self, key: Key) -> Iterator[None]:
        """One at a time for each key: who asks for the same at the same time waits for the first."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                yield
        finally:
            with self._lock:
                self._making.pop(key, None)

    def under_way(self, key: Key) -> tuple[Future[Any], bool]:
        """The answer to a question that is asked now, and whether the caller is the first, who must settle it."""
        from concurrent.futures import Future

        with self._lock:
            found = self._under_way.get(key)
            if found is not None:
                return found, False
            made = self._under_way[key] = Future[Any]()
            return made, True

    def settled(self, key: Key) -> None:
        """The question has its answer; the next one asks again."""
        with self._lock:
            del self._under_way[key]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.nbytes -= entry.nbytes


_default = Memory()
_current: ContextVar[Memory] = ContextVar("memory", default=_default)


def current() -> Memory:
    """The memory in use: one for the process, unless the app brings its own."""
    return _current.get()


@contextmanager
def used(memory: Memory) -> Iterator[None]:
    """This memory, for what runs inside."""
    token = _current.set(memory)
    try:
        yield
    finally:
        _current.reset(token)


def answered(
    key: Key, failure_seconds: float, ask: Callable[[], T], patience: float, late: Callable[[], HubUnreachableError]
) -> T:
    """What asking the Hub gives. Where it lately did not answer to this key, that is said again without asking; who
    asks for the same meanwhile gets the first one's answer, and `late` when that takes longer than these seconds.

    Raises:
        HubUnreachableError: as `ask`, now or a moment ago, or `late`.
    """
    if failure_seconds <= 0:
        return ask()
    from concurrent.futures import wait

    key = ("failure", *key)
    held = current()
    answer, first = held.under_way(key)
    if not first:
        if not wait([answer], patience).done:
            raise late()
        found: T = answer.result()
        return found
    try:
        answer.set_result(_asked(held, key, failure_seconds, ask))
    except BaseException as error:  # raised below, and in whoever waits for the same
        answer.set_exception(error)
    finally:
        held.settled(key)
    return cast(T, answer.result())


def _asked(held: Memory, key: Key, failure_seconds: float, ask: Callable[[], T]) -> T:
    failed = held.get(key)
    if failed is not None:
        raise HubUnreachableError(failed)
    try:
        return ask()
    except HubUnreachableError as error:
        held.put(key, str(error), failure_seconds)
        raise


def size_of(value: Any, enough: int) -> int:
    """Bytes of a value with all that it holds; counting ends where they are more than enough."""
    total, seen, left = 0, set[int](), [value]
    while left and total <= enough:
        each = left.pop()
        if id(each) in seen or isinstance(each, type) or callable(each):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each, 64)
        left += _held(each)
    return total


def _held(value: Any) -> list[Any]:
    if isinstance(value, str | bytes | int | float | bool | None):
        return []
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    found = [getattr(value, f.name, None) for f in fields(value)] if is_dataclass(value) else []
    own = getattr(value, "__dict__", None)
    if own:
        found.append(own)
    if isinstance(value, Mapping) and not own:
        found += list(value.values())
    return found
