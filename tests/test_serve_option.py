"""`--serve DEVICE`: arrivals, traces, distributions, drafts and pools on the command line are those of `serve`."""

from __future__ import annotations

import json

import pytest

from calculator import Layout, load_model, serve
from calculator.cli import main

NAME = "Qwen/Qwen3-32B"
QWEN = load_model(NAME)
LENGTHS = {"prompt_length": 4096, "output_length": 1024}


def answered(capsys, *said):
    assert main([NAME, "--serve", "h200", *said, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *said):
    assert main([NAME, *said]) == 2
    return capsys.readouterr().err


CASES = {
    "one user": ((), {}),
    "users on two devices": (("--users", "16", "--tp", "2"), {"concurrency": 16, "layout": Layout(tp=2)}),
    "arrivals": (("--requests-per-second", "0.5"), {"request_rate": 0.5}),
    "a distribution": (
        ("--prompt-length", "512-4096", "--output-length", "exponential:300", "--requests-per-second", "0.5"),
        {"prompt_length": "512-4096", "output_length": "exponential:300", "request_rate": 0.5},
    ),
    "a prefix": (("--prefix-hit", "0.5"), {"prefix_hit": 0.5}),
    "its own draft": (
        ("--draft", "mtp", "--num-speculative-tokens", "1", "--acceptance", "0.8"),
        {"speculation": {"draft": "mtp", "tokens": 1, "acceptance": 0.8}},
    ),
    "another's draft": (
        ("--draft", "Qwen/Qwen3-0.6B", "--num-speculative-tokens", "4", "--acceptance", "0.7"),
        {"speculation": {"draft": load_model("Qwen/Qwen3-0.6B"), "tokens": 4, "acceptance": 0.7}},
    ),
    "pools": (
        ("--users", "8", "--prefill-tp", "2", "--prefill-workers", "2", "--decode-workers", "3"),
        {"concurrency": 8, "prefill_layout": Layout(tp=2), "prefill_workers": 2, "decode_workers": 3},
    ),
    "engine and precision": (
        ("--engine", "sglang", "--dtype", "fp8", "--kv-dtype", "fp8"),
        {"engine": "sglang", "dtype": "fp8", "kv_dtype": "fp8"},
    ),
}


@pytest.mark.parametrize(("said", "asked"), CASES.values(), ids=CASES)
def test_the_answer_is_that_of_serve(capsys, said, asked):
    found = answered(capsys, *said)
    expected = serve(QWEN, device="h200-sxm-141gb", **{**LENGTHS, **asked})
    assert found["numbers"] == json.loads(json.dumps(expected.rows()))
    assert found["verdict"] == expected.summary()


def test_a_trace(capsys, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,prompt_length,output_length\n0,1000,100\n4,3000,300\n8,2000,200\n", encoding="utf-8")
    found = {row["quantity"]: row["value"] for row in answered(capsys, "--requests", str(trace))["numbers"]}
    assert found["output"] == 50  # a request every four seconds, of 200 tokens


def test_text_and_csv_say_the_same(capsys):
    assert main([NAME, "--serve", "h200", "--users", "4"]) == 0
    text = capsys.readouterr().out
    assert "first token" in text.splitlines()[1]
    assert main([NAME, "--serve", "h200", "--users", "4", "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "quantity,value,unit,lower_bound,low,high"
    assert len(rows) == 1 + 10


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (("--serve", "h200", "--acceptance", "0.5"), "--acceptance is read with --draft"),
        (("--serve", "h200", "--draft", "mtp"), "needs --num-speculative-tokens N and --acceptance P"),
        (("--serve", "h200", "--requests", "nothing.csv"), "The trace 'nothing.csv' cannot be read"),
        (("--serve", "h200", "--prompt-length", "9-3"), "prompt_length '9-3' ends before it begins"),
        (("--serve", "h200", "--requests-per-second", "500"), "the queue grows without end"),
        (("--serve", "h200", "--users", "2", "--requests-per-second", "1"), "Give concurrency or request_rate"),
        (("--serve", "h2000"), "h2000"),
        (("--fits", "h200", "--prefix-hit", "0.5"), "--prefix-hit is read with --serve"),
        (("--prefill-tp", "2"), "--prefill-tp is read with"),
        (("--provision", "dgx-h200", "--prompt-length", "1-9"), "must be a whole number of tokens"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(capsys, said, sentence):
    assert sentence in refused(capsys, *said)


def test_a_plan_s_commands(capsys):
    assert main(["Qwen/Qwen2.5-72B", "--provision", "gb300-nvl72", "--dtype", "fp8", "--launch", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert "kv_producer" in plan["command_prefill"]
    assert "kv_consumer" in plan["command_decode"]
    assert main([NAME, "--fits", "h200", "--launch", "kubernetes"]) == 0
    assert "nvidia.com/gpu: 1" in capsys.readouterr().out
