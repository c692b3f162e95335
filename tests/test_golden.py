"""The engine against numbers recorded from transformers on torch's meta device (tests/oracle/make_golden.py):
parameters, tensors by name and shape, and the FLOPs that torch's FlopCounterMode counts, all with ==."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from calculator import Workload, estimate
from calculator.families import FAMILIES
from calculator.sources import model_from_config

CASES = json.loads((Path(__file__).parent / "data" / "golden.json").read_text(encoding="utf-8"))
# transformers builds it with num_experts_per_tok = None, and then cannot run it.
RUNS = [c for c in CASES if (c["model_type"], c["name"]) != ("deepseek_v2", "default")]
FLOPS = [c for c in RUNS if "flops" in c]
# These store some matrices as [inputs, outputs] (Conv1D, packed experts); the engine lists all as [outputs, inputs].
TRANSPOSED = {
    "gpt2": ("c_attn.weight", "q_attn.weight", "c_proj.weight", "c_fc.weight"),
    "gpt_oss": ("gate_up_proj", "down_proj"),
    "gemma3": ("mm_input_projection_weight",),
}
# transformers 5 writes a path that the checkpoints on the Hub do not have.
RENAMED = {"gemma3": ("vision_tower.vision_model.", "vision_tower.")}


def named(case: dict) -> str:
    return f"{case['model_type']}-{case['name']}"


def model_of(case: dict):
    return model_from_config(case["config"])


def counted(flops) -> int:
    """What the oracle counts, without the short convolutions: it counts them on their padded output."""
    return flops.matmul - flops.by_kind.get("convolution", 0)


def recorded(entry: dict) -> int:
    return entry.get("matmul_without_scan", entry.get("matmul")) - entry.get("convolution", 0)


def test_every_recorded_type_has_a_family():
    assert {c["model_type"] for c in CASES} <= set(FAMILIES)
    assert len(CASES) >= 214


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_parameters(case):
    assert model_of(case).parameters.total == case["parameters"]


@pytest.mark.parametrize("case", RUNS, ids=named)
def test_tensors_are_the_checkpoints_by_name_and_shape(case):
    transposed = TRANSPOSED.get(case["model_type"], ())
    lines = []
    for name, shape in model_of(case).tensors():
        if name.endswith("e_score_correction_bias"):
            continue  # a buffer, which the recording leaves out
        name = name.replace(*RENAMED.get(case["model_type"], ("", "")))
        if name.endswith(transposed):
            shape = (*shape[:-2], shape[-1], shape[-2])
        lines.append(f"{name} {'x'.join(map(str, shape))}")
    expected = case.get("checkpoint", case)
    assert len(lines) == expected["tensors"]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] == expected["shapes_sha"]


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_forward_flops(case):
    model = model_of(case)
    for entry in case["flops"]:
        w = Workload(batch_size=entry["batch"], sequence_length=entry["seq"], logits=entry["logits"])
        assert counted(estimate(model, w).flops) == recorded(entry)


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_decode_flops(case):
    model = model_of(case)
    latent = case["model_type"].startswith("deepseek")
    for entry in case["decode"]:
        e = estimate(model, Workload(mode="decode", batch_size=entry["batch"], sequence_length=entry["cached"]))
        expanded = expansion_of_the_cache(model, entry["batch"], entry["cached"] + 1) if latent else 0
        assert counted(e.flops) + expanded == recorded(entry)


def expansion_of_the_cache(model, batch: int, keys: int) -> int:
    """What transformers' decode adds to the absorbed one: it expands the whole latent cache at every step, and attends
    over expanded heads."""
    part = next(p for p in model.text.layers[0].parts if hasattr(p, "kv_rank"))
    wide, latent = part.nope_dim + part.rope_dim + part.value_dim, 2 * part.kv_rank + part.rope_dim
    expand = 2 * batch * (keys - 1) * part.kv_rank * part.heads * (part.nope_dim + part.value_dim)
    return model.layers * (expand + 2 * batch * keys * part.heads * (wide - latent))


@pytest.mark.parametrize("case", FLOPS, ids=named)
def test_training_flops_are_forward_and_backward(case):
    model = model_of(case)
    for entry in case["train_flops"]:
        w = Workload(mode="pretraining", batch_size=entry["batch"], sequence_length=entry["seq"])
        assert counted(estimate(model, w).flops) == recorded(entry)


def test_the_recording_covers_what_it_claims():
    assert sum(len(c["flops"]) for c in FLOPS) >= 600
    assert sum(len(c["decode"]) for c in FLOPS) >= 400
