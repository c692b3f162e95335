"""Lists on the command line: `--batch-size 1,2,4,8 --seq-len 1k,8k,32k` is a row for every pair."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from calculator.errors import WorkloadError
from calculator.record.workload import Workload

MOST = 2000
"""Rows of one run; more is quicker from Python, where batch and length may be arrays."""

GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
NO_LENGTH = 2**24
"""No context is longer: 64,128,256 is a list, not 64 million."""


class Listed(tuple[Any, ...]):
    """Several values of one option."""


def listed(read: Callable[[str], Any], *, lengths: bool = False) -> Callable[[str], Any]:
    """A reader of one value, or of several between commas.

    Args:
        read: of one value. lengths: 32,768 is one number rather than a list, because lengths are written so.
    """

    def reader(text: str) -> Any:
        words = _words(text, lengths=lengths)
        return read(text) if words is None else Listed(dict.fromkeys(map(read, words)))

    return reader


def _words(text: str, *, lengths: bool) -> list[str] | None:
    """The values of a list, None where the text is one value."""
    if "," not in text:
        return None
    if GROUPED.fullmatch(text) and _one_number(text, lengths=lengths):
        return None
    words = [word.strip() for word in text.split(",")]
    return [word for place, word in enumerate(words) if word or place < len(words) - 1]


def _one_number(text: str, *, lengths: bool) -> bool:
    """Whether groups of three digits are one number: always where a group begins with 0, as in 131,072; of lengths also
    where there are two groups, as in 32,768.

    Raises:
        ArgumentTypeError: it may be either.
    """
    first, *others = text.split(",")
    if any(group[0] == "0" for group in others):
        return True
    if not lengths:
        return False
    if len(others) > 1 and int(text.replace(",", "")) <= NO_LENGTH:
        raise ArgumentTypeError(
            f"{text!r} may be one number or a list; write {text.replace(',', '')}, or {text + ','} for the list"
        )
    return len(others) == 1 and first != "0"


def workloads(fields: Mapping[str, Any]) -> list[Workload]:
    """A workload for every combination of what was listed, in the order of the options.

    Raises:
        WorkloadError: there are too many, or one of them is not allowed.
    """
    several = {name: value for name, value in fields.items() if isinstance(value, Listed)}
    count = 1
    for name, value in several.items():
        count *= len(value)
        if not value:
            raise WorkloadError(f"The list of {name} is empty; give values between commas, as in 1,2,4.")
    if count > MOST:
        raise WorkloadError(
            f"These lists make {count:,} rows, and at most {MOST:,} are made in one run; shorten them, or use Python, "
            "where batch_size and sequence_length may be arrays of any size."
        )
    return [Workload(**{**fields, **dict(zip(several, values, strict=True))}) for values in product(*several.values())]
