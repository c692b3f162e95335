"""The recording and the engine against transformers and torch, measured anew: two small configurations of every model
type, and published models whose figures are known. Run where torch and transformers are installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

oracle = pytest.importorskip("oracle")
import test_golden  # noqa: E402

from calculator.sources import catalogue  # noqa: E402
from calculator.sources.load import model_from_config  # noqa: E402


def spread() -> list[dict]:
    """The first two variations of every type that run; class defaults are full-size and slow."""
    chosen: dict[str, list[dict]] = {}
    for case in test_golden.CASES:
        if case["name"] != "default" and "flops" in case:
            chosen.setdefault(case["model_type"], []).append(case)
    return [case for cases in chosen.values() for case in cases[:2]]


def total(flops) -> int:
    """What is compared: products outside scans and short convolutions."""
    return flops.matmul - flops.scan - flops.convolution


@pytest.mark.parametrize("case", spread(), ids=test_golden.named)
def test_the_recording_is_what_transformers_does(case):
    built = oracle.build(case["config"])
    counted = oracle.parameters(built)
    assert counted.total == case["parameters"]
    assert len(counted.shapes) == case["tensors"]
    assert oracle.digest(counted.shapes) == case["shapes_sha"]
    forward, spoken = case["flops"][0], oracle.speaker(built)
    measured = oracle.forward_flops(spoken, forward["batch"], forward["seq"], forward["logits"])
    assert total(measured) == test_golden.recorded(forward)
    assert oracle.generates(spoken) is bool(case.get("decode"))
    for decode in case.get("decode", ())[:1]:
        assert total(oracle.decode_flops(spoken, decode["batch"], decode["cached"])) == test_golden.recorded(decode)


@pytest.mark.parametrize("case", spread()[::4], ids=test_golden.named)
def test_the_backward_pass_is_what_transformers_does(case):
    entry = case["train_flops"][0]
    built = oracle.speaker(oracle.build(case["config"]))
    measured = oracle.training_flops(built, entry["batch"], entry["seq"])
    assert total(measured) == test_golden.recorded(entry)


@pytest.mark.parametrize(
    "name",
    ["meta-llama/Llama-2-7b-hf", "Qwen/Qwen2.5-7B", "openai/gpt-oss-20b", "tiiuae/falcon-7b", "google/gemma-2-9b"],
)
def test_published_models(name):
    config = dict(next(entry.config for entry in catalogue.entries() if entry.id == name))
    assert oracle.parameters(oracle.build(config)).total == model_from_config(config).parameters.total


@pytest.mark.parametrize(
    ("name", "sequence", "flops"),
    [("meta-llama/Llama-2-7b-hf", 2048, 29_261_612_187_648), ("mistralai/Mixtral-8x7B-v0.1", 128, 3_272_228_208_640)],
)
def test_full_size_flops(name, sequence, flops):
    config = dict(next(entry.config for entry in catalogue.entries() if entry.id == name))
    assert oracle.forward_flops(oracle.build(config), 1, sequence).matmul == flops
