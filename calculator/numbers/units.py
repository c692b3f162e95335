"""The only place where numbers become text for people."""

from __future__ import annotations

GIB = 2**30


def gib(size: float) -> str:
    """Bytes as GiB (2^30), or MiB, KiB or B where that reads better."""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(size) >= scale:
            return f"{size / scale:,.2f} {unit}"
    return f"{size:,.0f} B"


def flops(amount: float) -> str:
    """FLOPs with a decimal prefix."""
    return f"{_decimal(amount)}FLOP"


def count(amount: float) -> str:
    """A count in thousands, millions, billions or trillions."""
    for unit, scale in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if abs(amount) >= scale:
            return f"{amount / scale:,.2f}{unit}"
    return f"{amount:,.0f}"


def intensity(value: float) -> str:
    """FLOPs per byte."""
    return f"{value:,.2f} FLOP/B" if value < 100 else f"{value:,.0f} FLOP/B"


def percent(share: float) -> str:
    """A share as percent."""
    return f"{100 * share:.2f} %"


def _decimal(amount: float) -> str:
    for unit, scale in (
        ("Y", 10**24),
        ("Z", 10**21),
        ("E", 10**18),
        ("P", 10**15),
        ("T", 10**12),
        ("G", 10**9),
        ("M", 10**6),
        ("k", 10**3),
    ):
        if abs(amount) >= scale:
            return f"{amount / scale:,.2f} {unit}"
    return f"{amount:,.0f} "
