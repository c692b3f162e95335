"""Fits the parameters of the time of a training step to the measured runs, and says how well they do on a source that
was left out. It prints; calculator/data/training.json is written by hand from what it says.

    python docs/calibrate_training.py [--left-out]

The loss is the sum over sources of the mean |log(predicted / measured)|, cut at 0.6 a run, times the root of the
source's runs (twelve at most), and half of each parameter's distance from its prior, so that what no run moves stays.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from calculator import train
from calculator.training import speed
from calculator.training.recipe import tables
from calculator.training.stage import stages
from docs import training_runs

PRIORS = {
    "products_ampere": (0.72, 0.55, 0.8),
    "products_hopper": (0.58, 0.5, 0.75),
    "products_blackwell": (0.49, 0.42, 0.7),  # what SimuMax measured of single products of Llama's shapes
    "products_fp8": (1.2, 0.6, 1.4),
    "products_nvfp4": (1.0, 0.35, 1.1),
    "experts": (0.55, 0.35, 1.0),
    "attention_ampere": (0.5, 0.45, 0.72),
    "attention_hopper": (0.35, 0.3, 0.65),
    "attention_blackwell": (0.4, 0.2, 0.65),
    "alibi_ampere": (0.4, 0.25, 0.6),
    "alibi_hopper": (0.2, 0.15, 0.5),
    "memory": (0.8, 0.5, 0.9),
    "elementwise_compiled": (1.0, 0.8, 1.5),
    "elementwise_fused": (1.8, 1.0, 3.0),
    "elementwise_plain": (2.6, 1.5, 5.0),
    "launch": (2e-5, 5e-6, 6e-5),
    "link": (0.65, 0.4, 1.0),
    "all_to_all": (0.8, 0.1, 1.0),
    "hop": (1e-5, 2e-6, 1e-4),
    "overlap": (0.6, 0.3, 0.97),
    "tensor_link": (0.75, 0.5, 2.0),
    "accumulation": (0.6, 0.2, 1.0),
    "unaligned": (0.3, 0.1, 0.8),
}
"""Where the fit starts and what it is held to, and what is allowed. They were chosen with the runs in sight: free
fits and single kernels' measurements gave their size."""


class Item(NamedTuple):
    """A run, laid out, with its measured seconds."""

    source: str
    arguments: tuple[Any, ...]
    seconds: float


def items() -> list[Item]:
    """The runs that are fitted to."""
    found = []
    for run, row in zip(training_runs.runs(), training_runs.data()["rows"], strict=True):
        if run.seconds is None or not training_runs.calibrated(run):
            continue
        model, given = training_runs.arguments(row)
        t = train(model, **given)
        listed = stages(model, t.training, t.layout, t.batch_size, t.sequence_length)
        found.append(Item(run.source, (listed, t.training, t.layout, t.device, t.micro_batches), run.seconds))
    return found


def errors(given: list[Item]) -> dict[str, list[float]]:
    """log(predicted / measured) by source."""
    found = defaultdict(list)
    for item in given:
        found[item.source].append(math.log(speed.step_time(*item.arguments).expected / item.seconds))
    return found


def loss(given: list[Item]) -> float:
    """What the fit makes small."""
    runs = sum(mean(min(abs(e), 0.6) for e in es) * math.sqrt(min(len(es), 12)) for es in errors(given).values())
    return runs + 0.5 * sum(abs(math.log(tables()["speed"][k]["value"] / v[0])) for k, v in PRIORS.items())


def fit(given: list[Item]) -> dict[str, float]:
    """The parameters by coordinate descent from their priors."""
    rates = tables()["speed"]
    for name, (value, _, _) in PRIORS.items():
        rates[name]["value"] = value
    best = loss(given)
    for step in (0.15, 0.08, 0.04):
        moved = True
        while moved:
            moved = False
            for name, (_, least, most) in PRIORS.items():
                for factor in (1 + step, 1 / (1 + step)):
                    before = rates[name]["value"]
                    rates[name]["value"] = min(max(before * factor, least), most)
                    now = loss(given)
                    if now < best - 1e-5:
                        best, moved = now, True
                    else:
                        rates[name]["value"] = before
    return {name: rates[name]["value"] for name in PRIORS}


def said(name: str, es: list[float]) -> str:
    """A line about the errors of a source."""
    count, middle, high = training_runs.quantiles(math.expm1(e) for e in es)
    return f"{name:24} {count:4} runs, median {middle:.1%}, p90 {high:.1%}, bias {math.expm1(median(es)):+.1%}"


def main() -> None:
    given = items()
    fitted = fit(given)
    found = errors(given)
    for name, value in fitted.items():
        print(f"{name:24} {value:.3g}")
    for source, es in found.items():
        print(said(source, es))
    print(said("all", [e for es in found.values() for e in es]))
    ratios = sorted(math.exp(-e) for es in found.values() for e in es)
    print(
        f"measured over predicted, 10 % and 90 %: {ratios[len(ratios) // 10]:.3g}, {ratios[9 * len(ratios) // 10]:.3g}"
    )
    if "--left-out" not in sys.argv:
        return
    left: list[float] = []
    values = defaultdict(list)
    for source in found:
        for name, value in fit([item for item in given if item.source != source]).items():
            values[name].append(value)
        es = errors([item for item in given if item.source == source])[source]
        left += es
        print(said(f"without {source}", es))
    print(said("left out, all", left))
    for name, each in values.items():
        print(f"{name:24} {min(each):.3g} to {max(each):.3g}")


if __name__ == "__main__":
    main()
