"""How long every layout of a cluster takes, as ratios against the reference of `test_speed`. Its two slow cores take
twice what a desktop's do, where 64 devices are 0.5 s (a mixture's 1.1 s) and 4,096 are 1.5 s (5 s)."""

from __future__ import annotations

import pytest
from test_speed import REFERENCE_MS, best, reference

from calculator import load_model
from calculator.training.search import plans


@pytest.mark.parametrize(
    ("name", "devices", "seconds", "least"),
    [
        ("meta-llama/Llama-3.1-70B", 64, 1.3, 100),
        ("meta-llama/Llama-3.1-70B", 4096, 10.0, 150),
        ("Qwen/Qwen3-30B-A3B", 64, 2.6, 400),  # with every group of experts there are five times as many
        ("Qwen/Qwen3-30B-A3B", 4096, 12.0, 1000),
    ],
)
def test_every_layout_of_a_cluster(name, devices, seconds, least):
    model = load_model(name)
    found = []
    unit = best(reference, 15) / REFERENCE_MS * 1e3
    given = {"device": "h100-sxm-80gb", "devices": devices, "precision": "bf16-mixed", "kernels": "fused"}
    assert best(lambda: found.append(plans(model, **given)), 2) < seconds * unit
    assert len(found[0]) > least
