"""A predicted time: what no device beats, what is expected, and how far measured cases lie from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from calculator.config import DATA


@cache
def ranges() -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """Measured over expected, 10th and 90th percentile, by kind and engine: "tpot" and "ttft" over the serving runs of
    families that were left out of the fit ("" over all engines; "pools": disaggregated runs, which the two parameters
    of pools were fitted to), "pass" a single pass (published points of one stream). docs/calibrate_time.py writes
    them."""
    found: dict[str, dict[str, list[float]]] = json.loads((DATA / "efficiency.json").read_text(encoding="utf-8"))[
        "ranges"
    ]
    return {kind: {name: (low, high) for name, (low, high) in row.items()} for kind, row in found.items()}


@dataclass(frozen=True)
class Seconds:
    """A time: no datasheet allows less than `lower_bound`; 8 of 10 measured cases lie from `low` to `high`."""

    lower_bound: float
    expected: float
    low: float
    high: float


def seconds(bound: float, expected: float, kind: str, engine: str = "") -> Seconds:
    """An expected time with its bound and the measured range of that kind of question."""
    known = ranges()[kind]
    low, high = known.get(engine, known[""])
    return Seconds(bound, max(expected, bound), max(expected * low, bound), max(expected * high, bound))
