"""How operations divide over tensor-parallel devices, against `base_model_tp_plan` of every type of transformers that
has one. Run where transformers is installed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

transformers = pytest.importorskip("transformers")
import test_golden  # noqa: E402

from calculator import Workload, operations  # noqa: E402
from calculator.sources.load import model_from_config  # noqa: E402

STYLES = {
    "colwise": "column",
    "colwise_gather_output": "column",
    "colwise_rep": "column",
    "packed_colwise": "column",
    "rowwise": "row",
    "rowwise_split_input": "row",
    "packed_rowwise": "row",
    "embedding_rowwise": "lookup",
    "replicated_with_grad_allreduce": "replicated",
    "mla_kv_a_proj": "replicated",
}
"""transformers' word for how a module divides -> ours. Its other styles speak of experts as a whole."""

SPLIT = "transformers gathers the scan and divides the outputs again; engines divide the inputs and sum: equal shares"
SMALL = "a matrix of a few rows; every device computes it whole and no collective is needed"
REASONS: dict[tuple[str, str], str] = {
    ("*", "linear_attn.out_proj"): SPLIT,
    ("*", "self_attn.indexer.index_qk_proj"): "index keys are on every device, as vLLM and SGLang keep them",
    ("*", "mlp_hyper_connection.input_mix_weight_down"): SMALL,
    ("*", "attn_hyper_connection.input_mix_weight_down"): SMALL,
    ("doge", "self_attn.dt_proj"): "its outputs are one number a key-value head, which divide with the heads",
    ("llama4", "multi_modal_projector.linear_1"): "towers and their projectors are on every device",
}
"""(type or "*", module) -> why ours differs from the plan."""


def plan_of(model_type: str) -> dict[str, str]:
    known = transformers.CONFIG_MAPPING
    if model_type not in known:
        return {}
    found = known[model_type]
    plan = getattr(found, "base_model_tp_plan", None)
    text = getattr(found, "sub_configs", {}).get("text_config")
    return dict(plan or getattr(text, "base_model_tp_plan", None) or {})


def cases() -> list[dict]:
    """The first two variations of every type that has a plan."""
    chosen: dict[str, list[dict]] = {}
    for case in test_golden.CASES:
        if case["name"] != "default" and plan_of(case["model_type"]):
            chosen.setdefault(case["model_type"], []).append(case)
    return [case for found in chosen.values() for case in found[:2]]


def differences(case: dict) -> set[tuple[str, str, str]]:
    """(module, transformers' style, our split) of everything that both know and that differs."""
    model = model_from_config(case["config"])
    found: dict[str, set[str]] = {}
    for op in operations(model, Workload(mode="prefill", sequence_length=16)):
        if op.component == "experts" or op.kind not in ("matmul", "lookup"):
            continue
        if op.component == "vision" and "projector" not in op.name:
            continue  # a tower's modules have the names of the language model's
        parent, _, last = op.name.rpartition(".")
        for part in last.split("+"):
            found.setdefault(f"{parent}.{part}" if parent else part, set()).add(op.split.kind)
    said = set()
    for pattern, style in plan_of(case["model_type"]).items():
        wanted = STYLES.get(style)
        name = re.sub(r"^(.*\.)?layers\.\*\.", "", pattern)
        for ours in found.get(name, set()) if wanted else ():
            if ours != wanted and not (ours == "vocabulary" and wanted == "column"):
                said.add((name, style, ours))
    return said


@pytest.mark.parametrize("case", cases(), ids=test_golden.named)
def test_modules_divide_as_in_the_plan(case):
    found = {d for d in differences(case) if not {(case["model_type"], d[0]), ("*", d[0])} & REASONS.keys()}
    assert found == set()


def test_every_reason_is_needed():
    seen = {(k, d[0]) for case in cases() for d in differences(case) for k in (case["model_type"], "*")}
    assert REASONS.keys() <= seen


def test_most_plans_are_compared():
    assert len({case["model_type"] for case in cases()}) > 60
