"""A predicted time: what no device beats, what is expected, and how far measured cases lie from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.hardware import Device

UNMEASURED = "No parameter was fitted to runs of this device under this engine, so the range is wider"


@cache
def _data() -> Mapping[str, Any]:
    """What docs/calibrate_time.py writes. `ranges`: measured over expected, 10th and 90th percentile, by kind and
    engine: "tpot" and "ttft" over the serving runs of families that were left out of the fit ("" over all engines;
    "pools": disaggregated runs, which the two parameters of pools were fitted to), "pass" a single pass (published
    points of one stream). `measured`: devices of those runs; `unmeasured`: how much wider the range of others is."""
    found: dict[str, Any] = json.loads((DATA / "efficiency.json").read_text(encoding="utf-8"))
    return found


def measured(device: Device, engine: str = "") -> bool:
    """Whether serving runs on a device, and under an engine, are among those that the ranges come from."""
    return device.id in _data()["measured"] and engine in _data()["ranges"]["tpot"]


def spread(kind: str, engine: str, device: Device) -> tuple[float, float]:
    """Measured over expected, 10th and 90th percentile. On a device or under an engine without a run it is wider, by
    as much as the runs at full load on devices that no parameter was fitted to are (RTX PRO 6000, MI300X)."""
    known = _data()["ranges"][kind]
    low, high = known.get(engine, known[""])
    below, above = (1.0, 1.0) if measured(device, engine) else wider()
    return low * below, high * above


def wider() -> tuple[float, float]:
    """What the ends of a range are multiplied by where no parameter was fitted to runs of the device."""
    below, above = _data()["unmeasured"]
    return below, above


@dataclass(frozen=True)
class Seconds:
    """A time: no datasheet allows less than `lower_bound`; 8 of 10 measured cases lie from `low` to `high`. `measured`:
    whether runs on the same device under the same engine are among those."""

    lower_bound: float
    expected: float
    low: float
    high: float
    measured: bool = True


def seconds(bound: float, expected: float, kind: str, device: Device, engine: str = "") -> Seconds:
    """An expected time with its bound and the measured range of that kind of question."""
    low, high = (max(expected * share, bound) for share in spread(kind, engine, device))
    return Seconds(bound, max(expected, bound), low, high, measured(device, engine))
