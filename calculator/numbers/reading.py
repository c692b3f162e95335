"""Numbers as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from calculator.errors import WorkloadError
from calculator.numbers.units import GIB, KIB, MIB

BINARY = {"": 1, "k": KIB, "m": MIB, "g": GIB}
"""Of lengths and batches 1k is 1,024 in either case, as contexts are named (32k = 32,768)."""

WRITTEN = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(?:e\+?(\d{1,2}))?([kmg]?)", re.ASCII)
ALLOWED = "write a whole number such as 4096, 32,768, 32_768, 32k (32,768) or 1e6"


def whole(text: str, what: str = "The number", *, least: int = 1, most: int = 10**12) -> int:
    """A whole number: 4096, 32,768, 32_768, 32k = 32,768, 1M = 1,048,576, 1e6.

    Raises:
        WorkloadError: it is none, or outside of least to most.
    """
    said = text.strip()
    bare = re.sub(r"(?<=\d)[,_ \u00a0\u202f](?=\d{3})", "", said).replace("_", "").lower()
    found = WRITTEN.fullmatch(bare)
    if found is None:
        raise WorkloadError(f"{what} cannot be {said[:40]!r}; {ALLOWED}.")
    number = Fraction(found[1]) * 10 ** int(found[2] or 0) * BINARY[found[3]]
    if number.denominator != 1:
        raise WorkloadError(f"{what} cannot be {said[:40]!r}, which is no whole number; {ALLOWED}.")
    if not least <= number <= most:
        raise WorkloadError(f"{what} must be from {least:,} to {most:,}, not {int(number):,}.")
    return int(number)


DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
"""Of amounts of training data 1M is a million, as corpora are named (15T tokens)."""


def amount(text: str, what: str = "The amount", *, most: int = 10**16) -> int:
    """A whole number as data are counted: 300M, 1.4T, 1e12, 20,000,000.

    Raises:
        WorkloadError: it is none, or outside of 1 to most.
    """
    said = text.strip()
    bare = said.lower().removesuffix("tokens").replace(",", "").replace("_", "").replace(" ", "")
    found = re.fullmatch(r"(\d{1,17}(?:\.\d{1,9})?)(?:e\+?(\d{1,2}))?([kmbgt]?)", bare, re.ASCII)
    number = Fraction(found[1]) * 10 ** int(found[2] or 0) * DECIMAL[found[3]] if found else Fraction(0)
    if number.denominator != 1 or not 1 <= number <= most:
        raise WorkloadError(
            f"{what} cannot be {said[:40]!r}; write an amount such as 300M, 1.4T or 1e12, up to {most:,}."
        )
    return int(number)
