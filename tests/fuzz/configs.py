"""Configs: mutations of recorded ones, and the systematic sweep type × numeric field × {0, −1, a billion}."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from calculator.config import DATA, defaults_of
from calculator.engines.memory import fit
from calculator.errors import CalculatorError
from calculator.estimation import estimate
from calculator.families import FAMILIES
from calculator.limits import STANDARD
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.record.vocabulary import MEMORY_KINDS
from calculator.report import output
from calculator.serving.serve import serve
from calculator.sources.catalogue import entries
from calculator.sources.load import model_from_config
from calculator.training import train

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers")
EXTREMES = (0, -1, 10**9)
LONGEST = STANDARD.config_values
STRANGE: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 7, 10**9, 10**12, 10**18, 10**30, 1.5, -0.5, 1e308, math.inf, math.nan, True, False, None),
    *("", "x", "a" * 10_000, "((.+))+Z", "../../etc/passwd", "\x1b[31m", "=1+1", "![x](http://x/y.png)"),
    *([], [0], [1, 2], [[]], [None], [10**9], ["full_attention"], {}, {"a": 1}, {"0": {}}, [{}], list(range(2000))),
)


@cache
def recorded() -> dict[str, list[dict[str, Any]]]:
    """model_type -> configs: those of the recorded cases and of the bundled models."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(GOLDEN.glob("*.json")):
        for case in json.loads(file.read_text(encoding="utf-8")):
            found.setdefault(case["model_type"], []).append(case["config"])
    for entry in entries():
        found.setdefault(str(entry.config["model_type"]), []).append(dict(entry.config))
    for kind in FAMILIES:
        found.setdefault(kind, []).append({"model_type": kind})
    return found


def every_default() -> list[dict[str, Any]]:
    """The defaults of every type."""
    types = json.loads((DATA / "defaults.json").read_text(encoding="utf-8"))["model_types"]
    return [entry.get("defaults", {}) for entry in types.values() if isinstance(entry, dict)]


def sweep() -> Iterator[dict[str, Any]]:
    """Every numeric field of the smallest recorded config of each type, and of the type's defaults, at each extreme."""
    for kind, configs in sorted(recorded().items()):
        config = min(configs, key=lambda c: (len(json.dumps(c)) < 60, len(json.dumps(c))))
        for path in numeric_fields(config, kind):
            for value in EXTREMES:
                yield changed(config, path, value)


def numeric_fields(config: Mapping[str, Any], kind: str, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    known = defaults_of(kind)
    values = {**known.get("defaults", {}), **config}
    found = []
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append((*path, name))
    for name, inner in known.get("sub_configs", {}).items():
        if len(path) < 2:
            stated = config.get(name)
            found += numeric_fields(stated if isinstance(stated, Mapping) else {}, str(inner), (*path, name))
    return found


def changed(config: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    found = copy.deepcopy(dict(config))
    place = found
    for name in path[:-1]:
        inner = place.get(name)
        place[name] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[name]
    place[path[-1]] = value
    return found


def mutations(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Recorded configs with one to four fields changed, dropped, or taken from another type."""
    rng = random.Random(seed)
    kinds = sorted(recorded())
    names = sorted({name for fields in every_default() for name in fields})
    for _ in range(count):
        kind = rng.choice(kinds)
        config: dict[str, Any] = copy.deepcopy(rng.choice(recorded()[kind]))
        for _ in range(rng.randint(1, 4)):
            place = config
            inner = [v for v in config.values() if isinstance(v, dict)]
            if inner and rng.random() < 0.4:
                place = rng.choice(inner)
            own = list(place) + list(defaults_of(kind).get("defaults", {}))
            name = rng.choice(own) if own and rng.random() < 0.8 else rng.choice(names)
            if name == "model_type":
                continue
            place[name] = mutated(rng, place.get(name))
            if rng.random() < 0.1:
                place.pop(name)
        yield config


def mutated(rng: random.Random, value: Any) -> Any:
    choice = rng.random()
    if isinstance(value, int) and not isinstance(value, bool) and choice < 0.4:
        return value + rng.choice((-1, 1, 7, -value, value, value * 1000, -2 * value))
    if isinstance(value, list) and value and choice < 0.5:
        longer = value * min(300, -(-LONGEST // len(value)))  # what is longer is refused by its bytes, unread
        return rng.choice((value[:-1], value * 2, value[::-1], [*value, rng.choice(STRANGE)], value[0], longer))
    if isinstance(value, str) and choice < 0.3:
        return value * min(rng.choice((0, 2, 3000)), -(-LONGEST // max(len(value), 1)))
    return copy.deepcopy(rng.choice(STRANGE))


def run(config: dict[str, Any]) -> None:
    """All that a visitor can ask of the model; its numbers have sense."""
    model = model_from_config(config)
    p = model.parameters
    assert isinstance(p.total, int), p
    assert p.active >= 0, p
    assert p.total > 0, p
    for mode in ("prefill", "decode", "pretraining"):
        if mode == "decode" and not model.text.causal:
            continue
        e = estimate(model, mode=mode, batch_size=2)
        for kind in MEMORY_KINDS:
            amount = getattr(e.memory, kind)
            assert isinstance(amount, int), (mode, kind, amount)
            assert amount >= 0, (mode, kind, amount)
        assert isinstance(e.flops.total, int), e.flops.total
        assert e.flops.total >= 0, e.flops.total
        assert e.traffic.total >= 0, e.traffic.total
        assert math.isfinite(e.intensity), e.intensity
        for op in e.operations:
            assert op.flops >= 0, op
            assert op.traffic >= 0, op
            assert op.cache_bytes >= 0, op
        output.report([e], "all", "text")
        output.report([e], "operations", "csv")
        if mode != "pretraining":
            output.report([e], "engines", "text")
    on_devices(model)


def on_devices(model: Model) -> None:
    """What engines make of the model on a device, and a step of training; each may refuse it with a sentence."""
    engine = ENGINES[len(model.name + model.model_type) % len(ENGINES)]
    questions: tuple[Callable[[], Any], ...] = (
        lambda: fit(model, "h100-sxm-80gb", engine, max_model_len=2048).to_dict(),
        lambda: fit(model, "rtx-4090", engine, layout=Layout(pp=min(model.layers, 8))).rows(),
        lambda: serve(model, device="h100-sxm-80gb", engine=engine, prompt_length=512, output_length=64),
        lambda: train(model, device="h100-sxm-80gb", layout=Layout(tp=2, dp=4), sequence_length=512).fixes,
    )
    for ask in questions:
        with contextlib.suppress(CalculatorError):
            ask()
