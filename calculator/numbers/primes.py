"""Primes, which some tables of embeddings have for their lengths."""

from __future__ import annotations

from functools import lru_cache

WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


@lru_cache(maxsize=64)
def primes_from(start: int, count: int) -> tuple[int, ...]:
    """The first `count` primes that are `start` or larger."""
    found: list[int] = []
    value = max(start, 2)
    while len(found) < count:
        if is_prime(value):
            found.append(value)
        value += 1
    return tuple(found)


def is_prime(value: int) -> bool:
    """Miller and Rabin's test, which with these witnesses is certain below 3.3e24 (Sorenson and Webster, 2015)."""
    if value < 2 or any(value % p == 0 for p in WITNESSES):
        return value in WITNESSES
    twos = ((value - 1) & (1 - value)).bit_length() - 1
    odd = (value - 1) >> twos
    return all(
        pow(p, odd, value) in (1, value - 1) or any(pow(p, odd << i, value) == value - 1 for i in range(1, twos))
        for p in WITNESSES
    )
