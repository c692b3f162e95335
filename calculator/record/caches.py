"""What layers keep between tokens: a record for each kind of cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from calculator.numbers.symbolic import Number


@dataclass(frozen=True)
class Kept:
    """What one layer keeps of one sequence: so many bytes for each of its tokens, or a state of a fixed size.

    Attributes:
        per_token: bytes a token.
        limit: tokens kept at most; None for all.
        kind: what a person calls it.
    """

    per_token: Number = 0
    limit: Number | None = None
    kind: ClassVar[str]


@dataclass(frozen=True)
class KeysAndValues(Kept):
    """Of each token, or of those in a window; `chunked`: the window is a chunk, which ends all at once (Llama 4)."""

    chunked: bool = False
    kind = "keys and values"


@dataclass(frozen=True)
class EncoderKeysAndValues(Kept):
    """Of the encoder's tokens, `limit` of them, written once."""

    kind = "encoder keys and values"


@dataclass(frozen=True)
class Latent(Kept):
    """One compressed vector a token that serves all heads.

    Attributes:
        elements: a token.
        expanded: elements a token if it were kept as every head's keys and values.
        values: those of its elements that an engine may keep a second time, as values.
    """

    elements: Number = 0
    expanded: Number = 0
    values: Number = 0
    kind = "latent"


@dataclass(frozen=True)
class IndexKeys(Kept):
    """The keys by which an indexer chooses tokens (DeepSeek-V3.2), of `elements` a token."""

    elements: Number = 0
    kind = "index keys"


@dataclass(frozen=True)
class Compressed(Kept):
    """Entries that stand for several tokens each; `per_token` is bytes an entry (DeepSeek-V4).

    Attributes:
        elements: an entry. values: those of them that are not rotated, 0 of an indexer's. ratio: tokens to an entry.
    """

    elements: Number = 0
    values: Number = 0
    ratio: Number = 0
    kind = "compressed"


@dataclass(frozen=True)
class State(Kept):
    """A recurrent state, of `elements` in so many bytes together, whatever the length; `widened` are its bytes where a
    recurrence's part is in 32 bit."""

    elements: Number = 0
    size: Number = 0
    widened: Number = 0
    kind = "state"


class Cache(NamedTuple):
    """Bytes of cache that an operation holds, reads and writes, and what one layer keeps of one sequence."""

    held: Number = 0
    read: Number = 0
    written: Number = 0
    kept: Kept | None = None


NOTHING = Cache()
