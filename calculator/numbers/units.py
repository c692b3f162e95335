"""The only place where numbers become text for people."""

from __future__ import annotations

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
GB = 10**9  # what makers of devices and networks count in

BYTES = (("EiB", 2**60), ("PiB", 2**50), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
SECONDS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
LIMIT = 10**6  # beyond so many of the largest unit only that is said


def gib(size: float) -> str:
    """Bytes as GiB (2^30), or the unit of them that reads well."""
    for unit, scale in BYTES:
        if abs(size) >= scale:
            return f"{size / scale:,.2f} {unit}" if size < LIMIT * 2**60 else f"over {LIMIT:,} {unit}"
    return f"{size:,.0f} B"


def digits(amount: float) -> str:
    """Three digits that matter: 160, 14.9, 1.20, 0.05; no scientific notation."""
    size = abs(amount)
    if not size:
        return "0"
    if size < 0.0005:
        return "<0.001"
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.095 else 3
    return f"{amount:,.{places}f}"


def size(amount: float) -> str:
    """Bytes in the unit that reads well, with three digits: 160 GiB, 14.9 GiB."""
    for unit, scale in BYTES:
        if abs(amount) >= scale:
            return f"{digits(amount / scale)} {unit}" if amount < LIMIT * 2**60 else f"over {LIMIT:,} {unit}"
    return f"{amount:,.0f} B"


def seconds(amount: float) -> str:
    """A time in the unit that reads well, with three digits; years beyond a thousand days."""
    if amount >= 365.25 * 86400:
        return f"{digits(amount / (365.25 * 86400))} years"
    for unit, scale in SECONDS:
        if amount >= scale * (2 if unit in ("days", "h", "min") else 1):
            return f"{digits(amount / scale)} {unit}"
    return f"{digits(amount * 1e9)} ns"


def tokens(amount: int) -> str:
    """A length as it is named where it has a short name: 4k, 32k, 1M; otherwise with thousands."""
    for unit, scale in (("M", 2**20), ("k", 2**10)):
        if amount >= scale and amount % scale == 0:
            return f"{amount // scale:,}{unit}"
    return f"{amount:,}"


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
    return "<0.01 %" if 0 < share < 0.00005 else f"{100 * share:.2f} %"


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


def several(value: float, unit: str, form: str = ",.4g") -> str:
    """A number with the name of what it counts, which is one or several: "1 sequence", "3.5 tokens/s"."""
    said = format(value, form)
    return f"{said} {unit.removesuffix('s') if said == '1' and '/' not in unit else unit}"
