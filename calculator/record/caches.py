"""What layers keep between tokens."""

from __future__ import annotations

from typing import NamedTuple

from calculator.numbers.symbolic import Number


class Kept(NamedTuple):
    """What one layer keeps of one sequence: so many bytes for each of its tokens, or a state of a fixed size.

    Attributes:
        kind: "keys and values", "latent", "index keys", "encoder keys and values", "compressed" or "state".
        per_token: bytes a token; of a compressed cache, bytes an entry.
        limit: tokens kept at most; of the encoder, its tokens; None for all. `chunked`: the limit is a chunk's.
        elements: of a state; of a latent, those a token. width: bytes of a state's element.
        expanded: elements a token if a latent were kept as every head's keys and values.
        values: elements of a latent that an engine may keep a second time, as values; of a compressed entry, those
            that are not rotated, 0 of an indexer's.
        ratio: tokens to an entry of a compressed cache.
    """

    kind: str
    per_token: Number = 0
    limit: Number | None = None
    elements: Number = 0
    width: int = 0
    expanded: Number = 0
    values: Number = 0
    chunked: bool = False
    ratio: Number = 0


class Cache(NamedTuple):
    """Bytes of cache that an operation holds, reads and writes, and what one layer keeps of one sequence."""

    held: Number = 0
    read: Number = 0
    written: Number = 0
    kept: Kept | None = None


NOTHING = Cache()
