"""The engine against numbers recorded from transformers on torch's meta device (tests/oracle/make_golden.py):
parameters, tensors by name and shape, and the FLOPs that torch's FlopCounterMode counts, all with ==."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from calculator import Model, Workload, estimate
from calculator.families import FAMILIES
from calculator.sources.load import model_from_config

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "oracle"))
import variations  # noqa: E402
from variations.beyond import counted, of_any_type  # noqa: E402

FILES = sorted((HERE / "data" / "golden").glob("*.json"))
CASES = [case for file in FILES for case in json.loads(file.read_text(encoding="utf-8"))]
RUNS = [c for c in CASES if (c["model_type"], c["name"]) not in variations.CANNOT_RUN]
FLOPS = [c for c in RUNS if "flops" in c]


def named(case: dict) -> str:
    return f"{case['model_type']}-{case['name']}"


MODELS: dict[int, Model] = {}
"""Built once for the tests of a case, which hold CASES alive: its place in memory is its name."""


def model_of(case: dict) -> Model:
    if id(case) not in MODELS:
        MODELS[id(case)] = model_from_config(case["config"])
    return MODELS[id(case)]


def recorded(entry: dict) -> int:
    return entry.get("matmul_without_scan", entry.get("matmul")) - entry.get("convolution", 0)


def test_every_recorded_type_has_a_family():
    assert {c["model_type"] for c in CASES} <= set(FAMILIES)
    assert len(CASES) >= 441


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_parameters(case):
    assert in_memory(case, model_of(case)) == case["parameters"]


def in_memory(case: dict, model: Model) -> int:
    """The elements that transformers builds of what the engine says a checkpoint holds."""
    added = sum(math.prod(shape) for _, shape in tensors_added(case, model))
    unloaded = variations.UNLOADED.get(case["model_type"])
    return model.parameters.total + added - (unloaded(model) if unloaded else 0)


def tensors_added(case: dict, model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What transformers builds and no checkpoint holds."""
    added = variations.ADDED.get(case["model_type"])
    return added(model) if added else iter(())


def tensors_of(case: dict, model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The engine's tensors by the names and in the shapes that transformers writes."""
    kind = case["model_type"]
    transposed = variations.TRANSPOSED.get(kind, ())
    reshaped = variations.RESHAPED.get(kind, iter)
    for name, shape in reshaped(model.tensors()):
        if name.endswith(variations.BUFFERS.get(kind, ("e_score_correction_bias",))):
            continue
        for pattern, replacement in variations.RENAMED.get(kind, ()):
            name = re.sub(pattern, replacement, name)
        yield name, (*shape[:-2], shape[-1], shape[-2]) if name.endswith(transposed) else shape
    yield from tensors_added(case, model)


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_tensors_are_the_checkpoints_by_name_and_shape(case):
    lines = [f"{name} {'x'.join(map(str, shape))}" for name, shape in tensors_of(case, model_of(case))]
    expected = case.get("checkpoint", case)
    assert len(lines) == expected["tensors"]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] == expected["shapes_sha"]


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_forward_flops(case):
    model = model_of(case)
    for entry in case["flops"]:
        w = workload(entry, logits=entry["logits"])
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_decode_flops(case):
    model = model_of(case)
    for entry in case.get("decode", ()):
        w = workload(entry, mode="decode")
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_training_flops_are_forward_and_backward(case):
    model = model_of(case)
    for entry in case.get("train_flops", ()):
        w = workload(entry, mode="pretraining")
        assert counted(estimate(model, w).flops) + apart(case, model, w) == recorded(entry)


def workload(entry: dict, **options) -> Workload:
    """The workload that was recorded."""
    length = entry["cached"] if options.get("mode") == "decode" else entry["seq"]
    return Workload(batch_size=entry["batch"], sequence_length=length, encoder_length=entry.get("encoder"), **options)


def apart(case: dict, model, w: Workload) -> int:
    """What transformers counts beyond the engine where it runs another algorithm."""
    beyond = variations.BEYOND.get(case["model_type"], ())
    return of_any_type(model, w) + sum(more(model, w) for more in beyond)


def test_every_variation_is_recorded():
    assert {(c["model_type"], c["name"]) for c in CASES} == {(kind, name) for kind, name, _ in variations.cases()}


def test_the_recording_covers_what_it_claims():
    assert sum(len(c["flops"]) for c in FLOPS) >= 900
    assert sum(len(c.get("decode", ())) for c in FLOPS) >= 550
