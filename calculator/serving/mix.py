"""Requests of different lengths: distributions, pairs of numbers, or a trace in a CSV file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from math import exp, log, log1p, sqrt
from pathlib import Path
from statistics import NormalDist, fmean
from typing import TextIO

from calculator.errors import WorkloadError, shown

COLUMNS = ("prompt_length", "output_length")
MOST = 1_000_000  # requests of a trace
LONGEST = 10**9  # tokens
_NUMBER = r"([0-9]{1,10}(?:\.[0-9]{1,6})?)"
FORMS = re.compile(rf"([0-9]{{1,10}})\s*-\s*([0-9]{{1,10}})|lognormal:{_NUMBER}:{_NUMBER}|exponential:{_NUMBER}")


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompts or of answers.

    Attributes:
        mean: of them. square: mean of their squares. longest: the longest; of a distribution without an end the one
            that 999 of 1,000 stay below.
    """

    mean: float
    square: float
    longest: int

    @staticmethod
    def of(said: int | str, what: str) -> Lengths:
        """All of one length (4096), evenly between two ("512-4096"), or "lognormal:MEAN:CV" and "exponential:MEAN",
        where CV is the standard deviation over the mean.

        Raises:
            WorkloadError: it is none of these, or not from 1 to 10^9.
        """
        if isinstance(said, int) and not isinstance(said, bool):
            return Lengths._checked(said, said**2, said, what, said)
        found = FORMS.fullmatch(said.strip().lower()) if isinstance(said, str) else None
        if found is None:
            raise WorkloadError(
                f"{what} must be a whole number, 1 or more, or a distribution such as 512-4096, exponential:1024 or "
                f"lognormal:1024:0.8, not {shown(said)}."
            )
        low, high, mean, spread, only = found.groups()
        if low:
            first, last = int(low), int(high)
            if last < first:
                raise WorkloadError(f"{what} {shown(said)} ends before it begins.")
            count = last - first + 1  # whole numbers, each as likely
            center = (first + last) / 2
            return Lengths._checked(center, center**2 + (count**2 - 1) / 12, last, what, said)
        if only:
            return Lengths._checked(float(only), 2 * float(only) ** 2, round(float(only) * log(1000)), what, said)
        width = log1p(float(spread) ** 2)  # variance of the logarithm
        longest = round(float(mean) * exp(NormalDist().inv_cdf(0.999) * sqrt(width) - width / 2))
        return Lengths._checked(float(mean), float(mean) ** 2 * exp(width), longest, what, said)

    @staticmethod
    def _checked(mean: float, square: float, longest: int, what: str, said: int | str) -> Lengths:
        if not (mean >= 1 and longest <= LONGEST):
            raise WorkloadError(f"{what} must be from 1 to {LONGEST:,} tokens, not {shown(said)}.")
        return Lengths(mean, square, longest)


@dataclass(frozen=True)
class Mix:
    """What the requests are like.

    Attributes:
        prompt, output: tokens of a request, on average. longest: tokens of the longest one, with its answer.
        running: tokens of a sequence that generates, on average over time: long answers are there for longer.
        variation: mean of the squared prompts over their squared mean; 1 where all are alike.
        rate: requests a second, where the trace says when they arrive.
    """

    prompt: int
    output: int
    longest: int
    running: int
    variation: float = 1.0
    rate: float | None = None

    @staticmethod
    def drawn(prompt: int | str, output: int | str) -> Mix:
        """Requests whose prompts and answers are of these lengths, independent of each other; each as `Lengths.of`
        reads it.

        Raises:
            WorkloadError: what is no length and no distribution.
        """
        read, written = Lengths.of(prompt, "prompt_length"), Lengths.of(output, "output_length")
        half = written.square / (2 * written.mean)
        running = round(read.mean) + int(half) if written.longest == written.mean else round(read.mean + half)
        return Mix(
            round(read.mean),
            round(written.mean),
            read.longest + written.longest,
            running,
            read.square / read.mean**2,
        )

    @staticmethod
    def of(requests: str | Path | Sequence[tuple[int, int]]) -> Mix:
        """The requests of pairs (prompt, output), or of a CSV file with the columns prompt_length, output_length and,
        if it knows, arrival in seconds.

        Raises:
            WorkloadError: there are none, or a length that is no whole number from 1 up.
        """
        if isinstance(requests, str | Path):
            return _read(Path(requests))
        return _mixed([(pair[0], pair[1]) for pair in requests], ())

    @staticmethod
    def read(text: str, name: str = "trace") -> Mix:
        """The requests of the text of such a file."""
        return _parsed(StringIO(text, newline=""), name)


def _mixed(pairs: Sequence[tuple[int, int]], arrivals: Iterable[float]) -> Mix:
    if not 1 <= len(pairs) <= MOST:
        raise WorkloadError(f"requests must be from 1 to {MOST:,} pairs of a prompt and an output length.")
    for row, pair in enumerate(pairs, 1):
        for what, value in zip(COLUMNS, pair, strict=True):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST:
                raise WorkloadError(
                    f"{what} of request {row} must be a whole number from 1 to {LONGEST:,}, not {shown(value)}."
                )
    prompt = fmean(p for p, _ in pairs)
    variation = fmean(p * p for p, _ in pairs) / prompt**2
    times = sorted(arrivals)
    passed = times[-1] - times[0] if times else 0.0
    rate = (len(times) - 1) / passed if passed > 0 else None
    output = fmean(o for _, o in pairs)
    running = fmean(o * (p + o / 2) for p, o in pairs) / output
    return Mix(max(round(prompt), 1), max(round(output), 1), max(map(sum, pairs)), round(running), variation, rate)


def _read(path: Path) -> Mix:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _parsed(file, path.name)
    except OSError as error:
        raise WorkloadError(f"The trace {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise WorkloadError(f"The trace {path.name!r} is no text in UTF-8.") from None


def _parsed(file: TextIO, name: str) -> Mix:
    pairs, arrivals = [], []
    reader = csv.DictReader(file)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    except csv.Error as error:
        raise WorkloadError(f"The trace {name!r} is no CSV file: {error}.") from error
    if missing:
        raise WorkloadError(f"The trace {name!r} has no column {missing[0]}; it needs {', '.join(COLUMNS)}.")
    try:
        for row in reader:
            pairs.append((int(row[COLUMNS[0]]), int(row[COLUMNS[1]])))
            if row.get("arrival"):
                arrivals.append(float(row["arrival"]))
            if len(pairs) > MOST:
                break
    except (ValueError, TypeError, csv.Error) as error:
        raise WorkloadError(f"Request {len(pairs) + 1} of the trace {name!r} has no number: {error}.") from error
    return _mixed(pairs, arrivals)
