"""How models and estimates show themselves, and the keys of their JSON."""

from __future__ import annotations

import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import calculator
from calculator import CalculatorError, arguments, estimate, load_model
from calculator.numbers.blocks import Facts, Grid, Shown, to_html

ROOT = Path(__file__).parents[1]
QWEN = load_model("Qwen/Qwen3-8B")


def test_a_line() -> None:
    assert repr(QWEN) == "<Model Qwen/Qwen3-8B: qwen3, 8.19B parameters, 36 layers>"
    e = estimate(QWEN, mode="decode", batch_size=8, sequence_length=8192)
    assert repr(e).startswith("<Estimate Qwen/Qwen3-8B, decode, batch 8 × 8,192 tokens: 24.26 GiB, ")
    grid = estimate(QWEN, batch_size=np.arange(1, 4)[:, None], sequence_length=np.array([64, 128]))
    assert repr(grid) == "<Estimate Qwen/Qwen3-8B, prefill: 3 × 2 batches and lengths>"
    assert "<table>" in grid._repr_html_()


def test_tables_in_a_notebook() -> None:
    html = estimate(QWEN, mode="decode", batch_size=8, sequence_length=8192)._repr_html_()
    assert html.count("<table>") == 4
    assert html.count("<tr>") == html.count("</tr>")
    assert "9.00 GiB" in html
    assert "8,190,735,360" in QWEN._repr_html_()


def test_answers_about_devices_show_themselves() -> None:
    fit = calculator.fit(QWEN, "rtx-4090", max_model_len=32768, concurrency=8)
    assert repr(fit).startswith("<Fit Qwen/Qwen3-8B on GeForce RTX 4090 with vLLM does not fit 8 sequences")
    assert fit._repr_html_().count("<table>") == 3  # the last one holds what makes it fit
    solution = calculator.solve(QWEN, "max-context", "h100")
    assert repr(solution) == f"<Solution {solution.verdict}>"
    assert solution._repr_html_().count("<table>") == 2
    plan = calculator.provision(QWEN, "dgx-h100")
    assert repr(plan) == f"<Plan {plan.verdict}>"
    assert plan._repr_html_().count("<table>") == 3
    trained = calculator.train(QWEN, device="h200")
    assert repr(trained).startswith("<Trained Qwen/Qwen3-8B, full, on 1 × H200")
    assert "<table>" in trained._repr_html_()


def test_what_strangers_wrote_is_text() -> None:
    config = {**QWEN.config, "_name_or_path": "<script>alert(1)</script>"}
    for shown in (load_model(config), estimate(load_model(config))):
        assert "<script" not in shown._repr_html_()
        assert "&lt;script&gt;" in shown._repr_html_()


def test_a_class_shows_itself_by_its_blocks() -> None:
    class Fit(Shown):
        def blocks(self):
            return [
                Facts("on H100", [("fits", "yes")]),
                Grid("", ("Part", "Bytes"), [("weights", "1 & 2")], remark="r"),
            ]

        def summary(self):
            return "fits"

    assert repr(Fit()) == "<Fit fits>"
    assert "1 &amp; 2" in Fit()._repr_html_()
    assert to_html([]) == ""


def test_an_estimate_on_devices_shows_its_share() -> None:
    e = estimate(QWEN, mode="decode", device="h100", layout=calculator.Layout(tp=2))
    html = e._repr_html_()
    assert "On 2 × H100 SXM5 80GB" in html
    assert "memory of the fullest device" in html


def test_deployments_and_training_steps_show_themselves() -> None:
    served = calculator.serve(QWEN, device="h100", concurrency=8)
    assert repr(served).startswith("<Serving Qwen/Qwen3-8B on 1 × H100 SXM5 80GB, vLLM: first token ")
    html = served._repr_html_()
    assert html.count("<table>") == 3
    assert "Each token after" in html
    step = calculator.train(QWEN, device="h100", devices=8)
    assert repr(step).startswith(
        "<Trained Qwen/Qwen3-8B, full, on 8 × H100 SXM5 80GB, micro-batch 1 × 4,096 tokens: peak "
    )
    assert step._repr_html_().count("<table>") == 2
    assert "no, short by" in step._repr_html_()
    assert "on 1 device, " in repr(calculator.train(QWEN))


@pytest.mark.parametrize("kind", ["memory", "flops", "traffic", "reuse"])
def test_charts_hold_their_rows(kind: str) -> None:
    e = estimate(load_model("openai/gpt-oss-20b"), mode="decode")
    spec = e.chart(kind).to_dict()
    drawn = {layer["data"].get("name") or id(layer): layer["data"] for layer in spec["layer"]}.values()
    lists = [spec["datasets"][d["name"]] if "name" in d else d["values"] for d in drawn]
    rows = max(lists, key=len)
    assert {"Attention", "Experts"} <= {row.get("component", row.get("name")) for row in rows}
    if kind == "memory":
        assert sum(row["value"] for row in rows) == pytest.approx(e.memory.total / 2**30)
    with pytest.raises(CalculatorError, match="Chart 'pie' is not known; choose one of memory, flops, traffic, reuse"):
        e.chart("pie")


@pytest.mark.parametrize(
    ("module", "call"),
    [("pandas", lambda e: e.table("memory")), ("altair", lambda e: e.chart("memory"))],
)
def test_what_needs_an_extra_says_so(module: str, call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CalculatorError, match=re.escape('pip install "transformer-calculator[data]" brings it')):
        call(estimate(QWEN))


KEYS = {
    "": "schema tool model workload precision parameters memory flops traffic intensity notes warnings operations",
    "tool": "name version",
    "model": "name source model_type layers hidden_size vocabulary_size context_length",
    "precision": "weights kv_cache",
    "parameters": "total active touched embedding by_component",
    "memory": "weights kv_cache activations gradients optimizer_states total by_component",
    "flops": "total matmul by_component",
    "traffic": "weights activations cache total",
    "generation": "tokens flops traffic kv_cache",
    "cache": "minimum engines",
}


def test_the_keys_of_the_json_are_those_of_its_schema() -> None:
    """A key that is new is added here; one that goes or changes its meaning raises report.rows.SCHEMA too."""
    found = estimate(QWEN, mode="decode").to_dict()
    assert found["schema"] == 1
    assert found["tool"] == {"name": "transformer-calculator", "version": calculator.__version__}
    assert set(found) == {*KEYS[""].split(), "generation", "cache"}
    for place, names in KEYS.items():
        if place:
            assert set(found[place]) == set(names.split()), place
    assert set(estimate(QWEN, mode="pretraining").to_dict()) == set(KEYS[""].split())
    json.dumps(found, allow_nan=False)


def test_the_skill_names_options_and_keys_that_exist() -> None:
    text = (ROOT / "skills" / "transformer-calculator" / "SKILL.md").read_text(encoding="utf-8")
    assert text.startswith("---\nname: transformer-calculator\ndescription: ")
    options = arguments.parser("p")._option_string_actions
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= set(options)
    found = estimate(QWEN, mode="decode").to_dict()
    for place, key in re.findall(r"`(\w+)\.(\w+)`", text):
        assert key in found[place], (place, key)


def test_sums_show_themselves() -> None:
    e = calculator.estimate(calculator.load_model("Qwen/Qwen3-8B"), mode="decode", batch_size=8, sequence_length=4096)
    assert repr(e.memory) == "<Memory 19.76 GiB: weights 15.26 GiB, KV cache 4.50 GiB, activations 2.38 MiB>"
    assert repr(e.flops) == "<Flops 140.65 GFLOP: matmul 140.42 GFLOP>"
    assert repr(e.traffic) == "<Traffic 18.84 GiB: weights 14.10 GiB, activations 250.07 MiB, cache 4.50 GiB>"
    assert '<td style="text-align:left">15.26 GiB</td>' in e.memory._repr_html_()
    assert repr(e.operations[0]) == "<Operation model.embed_tokens, forward: lookup of embedding, a layer>"
    grid = calculator.estimate(e.model, mode="decode", batch_size=np.arange(1, 9), sequence_length=4096)
    assert repr(grid.memory) == (
        "<Memory 15.82 GiB to 19.76 GiB: weights 15.26 GiB, KV cache 576.00 MiB to 4.50 GiB, activations 304.75 KiB to "
        "2.38 MiB, gradients 0 B, optimizer states 0 B>"
    )
    share = calculator.estimate(e.model, mode="decode", device="h100", layout=calculator.Layout(pp=2)).per_device
    assert repr(share).endswith("sent to other devices, the fullest of 2 stages>")
    assert "Memory" in share._repr_html_()


def test_recipes_and_their_answers_show_themselves() -> None:
    recipe = calculator.Training(method="lora", rank=8)
    assert recipe.summary() == "method lora, rank 8"
    assert '<td style="text-align:left">lora</td>' in recipe._repr_html_()
    found = calculator.solve_training(calculator.load_model("Qwen/Qwen3-8B"), "fastest", "h100", devices=8)
    assert repr(found) == f"<TrainingSolution {found.verdict}>"
    assert found._repr_html_().count("<tr>") == 2 + 1 + min(len(found.plans), 10)


def test_what_is_answered_can_be_sent_to_another_process() -> None:
    model = calculator.load_model("Qwen/Qwen3-8B")
    decode = calculator.Workload(mode="decode", batch_size=8)
    e = calculator.estimate(model, decode, device="h100", layout=calculator.Layout(tp=2))
    answers = [
        *(model, decode, e, e.memory, e.flops, e.traffic, e.per_device, e.time, e.operations, e.device, e.layout),
        *(calculator.fit(model, "t4"), calculator.serve(model, device="h100"), calculator.train(model, device="h100")),
        *(
            calculator.Training(),
            calculator.solve(model, "max-context", "h100"),
            calculator.racks(),
            calculator.Traffic(),
        ),
        calculator.solve_training(model, "fastest", "h100", devices=8),
        calculator.provision(model, "dgx-h100"),
        calculator.speculate(model, calculator.load_model("Qwen/Qwen3-0.6B"), decode),
        calculator.explain(model, decode),
        calculator.read_log("Available KV cache memory: 52.31 GiB"),
        calculator.TransformerCalculator(calculator.ModelConfig()),
    ]
    for answer in answers:
        assert repr(pickle.loads(pickle.dumps(answer))).split(" object at ")[0] == repr(answer).split(" object at ")[0]
    sent = pickle.loads(pickle.dumps(calculator.explain(model, decode)))
    for here, there in zip(calculator.explain(model, decode), sent, strict=True):
        assert {n: str(f) for n, f in here.formulas.items()} == {n: str(f) for n, f in there.formulas.items()}


def test_a_map_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = calculator.fit(calculator.load_model("Qwen/Qwen3-8B"), "h100")
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(calculator.CalculatorError, match=r'A map needs numpy.*"transformer-calculator\[data\]"'):
        calculator.fit_map(found, [1], [1024])
