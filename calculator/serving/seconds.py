"""A predicted time: what no device beats, what is expected, and how far measured cases lie from it."""

from __future__ import annotations

from dataclasses import dataclass

RANGES = {
    ("tpot", "vllm"): (0.87, 1.27),
    ("tpot", "sglang"): (0.81, 1.45),
    ("tpot", "tensorrt-llm"): (0.72, 1.43),
    ("tpot", ""): (0.77, 1.41),
    ("ttft", "vllm"): (0.72, 1.44),
    ("ttft", "tensorrt-llm"): (0.45, 2.06),
    ("ttft", ""): (0.52, 2.26),
    ("pass", ""): (0.66, 1.9),
}
"""Measured over expected, 10th and 90th percentile over the serving runs of models that were left out of the fit, by
engine; "" where no engine of its own was measured, "pass" a single pass (the published points of one stream)."""


@dataclass(frozen=True)
class Seconds:
    """A time: no datasheet allows less than `lower_bound`; 8 of 10 measured cases lie from `low` to `high`."""

    lower_bound: float
    expected: float
    low: float
    high: float


def seconds(bound: float, expected: float, kind: str, engine: str = "") -> Seconds:
    """An expected time with its bound and the measured range of that kind of question."""
    low, high = RANGES.get((kind, engine), RANGES[kind, ""])
    return Seconds(bound, max(expected, bound), max(expected * low, bound), max(expected * high, bound))
