"""What was lately worked out, bounded by how much it holds together rather than by a number of entries: one entry may
be a model of ten thousand operations that differ from one another."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key, the one that was not asked for longest forgotten first.

    Args:
        most: of all weights together; an entry that alone weighs more stays until the next one comes.
        forget: called with the key and the value of what is forgotten.
    """

    def __init__(self, most: int, forget: Callable[[Hashable, V], object] | None = None) -> None:
        self.most = most
        self.weight = 0
        self._forget = forget
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        """The value, None where it is not known."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Remember the value, and forget what is then too much."""
        gone = []
        with self._lock:
            if key in self._entries:
                self.weight -= self._entries.pop(key)[1]
            self._entries[key] = value, weight
            self.weight += weight
            while self.weight > self.most and len(self._entries) > 1:
                old, (lost, freed) = self._entries.popitem(last=False)
                self.weight -= freed
                gone.append((old, lost))
        for old, lost in gone:
            if self._forget is not None:
                self._forget(old, lost)

    def __len__(self) -> int:
        return len(self._entries)
