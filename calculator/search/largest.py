"""The largest number that keeps a bound, of a quantity that rises with it."""

from __future__ import annotations

from collections.abc import Callable


def largest(most: int, of: Callable[[int], float], bound: float = 1.0) -> int:
    """The largest number from 1 to `most` of which `of` is no more than the bound, where it rises with the number; 0
    where even that of 1 is more. It is looked for where a line through the ends of the bracket meets the bound, and in
    the bracket's middle where that did not halve it."""
    if most < 1 or not (below := of(1)) <= bound:
        return 0
    if most == 1 or (above := of(most)) <= bound:
        return most
    low, high, lines = 1, most, True
    while high - low > 1:
        width = high - low
        guess = low + width // 2
        if lines and above < float("inf"):
            meets = low + int((bound - below) / (above - below) * width)
            guess = min(max(meets, low + 1), high - 1)
        value = of(guess)
        if value <= bound:
            low, below = guess, value
        else:
            high, above = guess, value
        lines = high - low <= width // 2
    return low
