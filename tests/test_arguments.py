"""Arguments of public functions that are of another type, or a list where one is asked for: a sentence says so."""

from __future__ import annotations

import pytest

import calculator
from calculator import CalculatorError, load_model

QWEN = load_model("Qwen/Qwen3-8B")
MODEL = "the Model that load_model returns, not str"
WRONG = {
    "estimate": (lambda: calculator.estimate("gpt2"), MODEL),
    "estimate's workload": (lambda: calculator.estimate(QWEN, {"mode": "decode"}), "a Workload or its fields"),
    "fit": (lambda: calculator.fit("gpt2", "h100"), MODEL),
    "fit's layout": (lambda: calculator.fit(QWEN, "h100", layout=2), r"a Layout, such as Layout\(tp=2\), not int"),
    "serve": (lambda: calculator.serve("gpt2", device="h100"), MODEL),
    "train": (lambda: calculator.train("gpt2", device="h100"), MODEL),
    "train's recipe": (lambda: calculator.train(QWEN, training={"method": "lora"}), "a Training, such as .*, not dict"),
    "train's field": (
        lambda: calculator.train(QWEN, methd="lora"),
        r"A recipe has no 'methd'; .* Did you mean method\?",
    ),
    "solve": (lambda: calculator.solve("gpt2", "max-context", "h100"), MODEL),
    "solve_training": (lambda: calculator.solve_training("gpt2", "fastest", "h100"), MODEL),
    "provision": (lambda: calculator.provision("gpt2"), MODEL),
    "speculate": (lambda: calculator.speculate(QWEN, "gpt2"), MODEL),
    "own_draft": (lambda: calculator.own_draft("gpt2"), MODEL),
    "explain": (lambda: calculator.explain("gpt2", calculator.Workload()), MODEL),
    "operations": (lambda: calculator.operations(QWEN, "decode"), "a Workload or its fields as keywords, not str"),
    "read_log": (lambda: calculator.read_log(None), "read_log needs text, not NoneType"),
    "a field": (
        lambda: calculator.estimate(QWEN, modee="decode"),
        r"A workload has no 'modee'; .* you mean mode\?",
    ),
    "many's models": (lambda: list(calculator.many("gpt2", [{}])), r"a list of models; .*, as in \[model\]"),
    "many's workloads": (lambda: list(calculator.many(["gpt2"], {"mode": "decode"})), r"as in \[workload\]"),
    "many's field": (lambda: list(calculator.many(["gpt2"], [{"modee": 1}])), "A workload has no 'modee'"),
    "many's cores": (lambda: list(calculator.many(["gpt2"], [{}], processes="2")), "processes must be 1 or more"),
}


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_an_argument_of_another_type_is_a_sentence(call, sentence) -> None:
    with pytest.raises(CalculatorError, match=sentence):
        call()


def test_many_takes_models_that_are_loaded() -> None:
    workloads = [{"mode": "decode", "batch_size": b} for b in (1, 2)]
    loaded = list(calculator.many([QWEN, load_model("gpt2")], workloads, processes=2))
    assert loaded == list(calculator.many(["Qwen/Qwen3-8B", "gpt2"], workloads, processes=1))
