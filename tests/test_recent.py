"""What is lately worked out: bounded by what it holds, and never another question's answer."""

from __future__ import annotations

import ast
import gc
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from calculator.formats.named import FORMATS
from calculator.limits import remembered
from calculator.parallel.layout import Layout
from calculator.passes import plan
from calculator.record.recent import Recent
from calculator.record.workload import Workload
from calculator.sources.load import load_model, model_from_config
from calculator.training import stage
from calculator.training.recipe import Training
from calculator.training.stage import BESIDE, StageKept, stages

COUNTED = {"_shared", "drawn", "case_of", "_model", "primes_from", "_sizes"}
"""Cached functions that are asked about numbers, records of a fixed size, kinds of parts, or by their owner only."""


def test_what_strangers_name_is_kept_only_where_it_is_short() -> None:
    """A name of a config or a header may have millions of letters, and so may each of the next thousand."""
    found = set()
    for file in (Path(__file__).parents[1] / "calculator").rglob("*.py"):
        body = ast.parse(file.read_text(encoding="utf-8")).body  # what is inside a function goes with its call
        for node in [*body, *(inner for kind in body if isinstance(kind, ast.ClassDef) for inner in kind.body)]:
            if isinstance(node, ast.FunctionDef) and (node.args.args or node.args.kwonlyargs):
                kept = [ast.unparse(d).partition("(")[0] for d in node.decorator_list]
                found |= {node.name for how in kept if how in ("cache", "lru_cache", "functools.cache")}
    assert found == COUNTED
    asked = []

    @remembered(2, longest=3)
    def length(name: str, more: int = 0) -> int:
        asked.append(name)
        return len(name) + more

    assert [length(name) for name in ("abc", "abcd", "abc", "abcd")] == [3, 4, 3, 4]
    assert asked == ["abc", "abcd", "abcd"]
    assert length("abc", more=2) == 5


def test_it_is_bounded_by_weight_and_forgets_what_was_not_asked_for() -> None:
    gone: list[Any] = []
    found: Recent[str] = Recent(10, lambda key, value: gone.append((key, value)))
    for name in "abc":
        found.put(name, name.upper(), 4)
        found.get("a")
    assert (found.get("a"), found.get("b"), found.get("c")) == ("A", None, "C")
    assert gone == [("b", "B")]
    found.put("a", "again", 6)
    assert (found.weight, len(found)) == (10, 2)
    found.put("large", "alone", 1000)
    assert (found.get("large"), len(found)) == ("alone", 1)


def test_plans_of_all_models_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_KEPT", Recent(300, plan._forget))
    config = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}
    models = [model_from_config(config) for _ in range(20)]
    for model in models:
        for name in FORMATS:
            assert plan.plan_of(model, Workload(dtype=name)) is plan.plan_of(model, Workload(dtype=name))
    kept = sum(len(model.plans) for model in models)
    assert 5 < kept < 60
    assert plan._KEPT.weight <= 300
    models.clear()
    del model
    gc.collect()
    plan.plan_of(load_model("openai-community/gpt2"), Workload())  # forgetting what is gone is no fault


OTHERS: dict[str, tuple[Any, ...]] = {
    "optimizer": ("adamw-8bit", "sgd"),
    "precision": ("bf16-mixed", "fp16-master", "fp8", "fp32"),
    "recompute": ("full", "selective", 3),
    "zero": (1, 2, 3),
    "loss": ("fused", "chunked:4"),
    "base_format": ("nf4",),
    "offload": ("optimizer",),
    "prefetch": (3,),
    "optimizer_in_backward": (True,),
    "loading": ("whole",),
}


@pytest.mark.parametrize("method", ["full", "qlora"])
@pytest.mark.parametrize("kernels", ["compiled", "plain"])
def test_stages_that_are_remembered_are_those_that_would_be_made(method: str, kernels: str) -> None:
    """Each field that the key leaves out changes nothing, nor does the number of copies."""
    assert OTHERS.keys() == BESIDE <= {f.name for f in fields(Training)}
    model = load_model("Qwen/Qwen3-30B-A3B")
    first = Training(method=method, kernels=kernels)
    for layout in (Layout(dp=2), Layout(tp=2, dp=8, pp=2), Layout(dp=16, ep=8)):
        for name, values in OTHERS.items():
            for value in values:
                recipe = first.with_(**{name: value})
                stages(model, first, layout, 2, 512)
                remembered = stages(model, recipe, layout, 2, 512)
                stage._LAID.put("all of it", (model, []), stage._LAID.most)  # forgets the rest
                assert told(remembered) == told(stages(model, recipe, layout, 2, 512))


def told(found: list[StageKept]) -> list[Any]:
    return [(s.layers, s.beside, s.ends, s.logits, s.tokens, s.operations) for s in found]
