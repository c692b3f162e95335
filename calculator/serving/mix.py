"""Requests of different lengths: pairs of numbers, or a trace in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from calculator.errors import WorkloadError

COLUMNS = ("prompt_length", "output_length")
MOST = 1_000_000  # requests of a trace


@dataclass(frozen=True)
class Mix:
    """What the requests are like.

    Attributes:
        prompt, output: tokens of a request, on average. longest: tokens of the longest one, with its answer.
        variation: mean of the squared prompts over their squared mean; 1 where all are alike.
        rate: requests a second, where the trace says when they arrive.
    """

    prompt: int
    output: int
    longest: int
    variation: float = 1.0
    rate: float | None = None

    @staticmethod
    def alike(prompt: int, output: int) -> Mix:
        """Requests that are all of one length."""
        return Mix(prompt, output, prompt + output)

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


def _mixed(pairs: Sequence[tuple[int, int]], arrivals: Iterable[float]) -> Mix:
    if not 1 <= len(pairs) <= MOST:
        raise WorkloadError(f"requests must be from 1 to {MOST:,} pairs of a prompt and an output length.")
    for row, pair in enumerate(pairs, 1):
        for what, value in zip(COLUMNS, pair, strict=True):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise WorkloadError(f"{what} of request {row} must be a whole number, 1 or more, not {value!r}.")
    prompt = fmean(p for p, _ in pairs)
    variation = fmean(p * p for p, _ in pairs) / prompt**2
    times = sorted(arrivals)
    passed = times[-1] - times[0] if times else 0.0
    rate = (len(times) - 1) / passed if passed > 0 else None
    output = fmean(o for _, o in pairs)
    return Mix(max(round(prompt), 1), max(round(output), 1), max(map(sum, pairs)), variation, rate)


def _read(path: Path) -> Mix:
    pairs, arrivals = [], []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise WorkloadError(
                    f"The trace {path.name!r} has no column {missing[0]}; it needs {', '.join(COLUMNS)}."
                )
            for row in reader:
                pairs.append((int(row[COLUMNS[0]]), int(row[COLUMNS[1]])))
                if row.get("arrival"):
                    arrivals.append(float(row["arrival"]))
                if len(pairs) > MOST:
                    break
    except OSError as error:
        raise WorkloadError(f"The trace {str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise WorkloadError(f"Request {len(pairs) + 1} of the trace {path.name!r} has no number: {error}.") from error
    return _mixed(pairs, arrivals)
