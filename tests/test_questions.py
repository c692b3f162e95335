"""Questions about devices on the command line: every option is read, refused or said to change nothing, and every
answer comes as text, Markdown and JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from calculator import cli, fit, load_model, serve, solve
from calculator.training.search import plans

QWEN = "Qwen/Qwen3-8B"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def running(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([QWEN, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return running


# What a question takes from a workload's options


def test_a_workload_s_length_and_batch_are_the_question_s(run: Run) -> None:
    code, out, err = run("--fits", "h100", "--mode", "decode", "--seq-len", "32k", "--batch-size", "12", "--json")
    found = fit(load_model(QWEN), "h100", max_model_len=32768, concurrency=12)
    assert (code, err) == (1, "")
    assert json.loads(out)["verdict"] == found.verdict
    assert (
        run("--fits", "h100", "--seq-len", "32k", "--max-model-len", "32k")[1]
        == run("--fits", "h100", "--seq-len", "32k")[1]
    )
    assert run("--fits", "h100", "--seq-len", "max")[1] == run("--fits", "h100")[1]
    most = solve(load_model(QWEN), "max-batch", "h100", max_model_len=8192)
    assert run("--solve", "max-batch", "--device", "h100", "--seq-len", "8k")[1].splitlines()[0] == most.verdict
    asked = serve(load_model(QWEN), device="h100", prompt_length=2048, output_length=200, concurrency=16)
    said = run("--serve", "h100", "--seq-len", "2k", "--batch-size", "16", "--decode-len", "200")[1]
    assert said.splitlines()[0] == asked.summary()
    assert "prompts of 2,048 tokens, answers of 200" in said


def test_the_two_types_of_a_cache_are_the_question_s_too(run: Run) -> None:
    found = fit(load_model(QWEN), "h100", kv_dtype="q8_0/q4_0", engine="llama.cpp")
    said = run("--fits", "h100", "--engine", "llama.cpp", "-ctk", "q8_0", "-ctv", "q4_0")[1]
    assert said.splitlines()[0] == found.verdict
    assert found.cache_tokens > fit(load_model(QWEN), "h100", engine="llama.cpp").cache_tokens


REFUSED = {
    "--fits h100 --seq-len 32k --max-model-len 8k": "--seq-len and --max-model-len say the same here; give one of them",
    "--fits h100 --device a100": "--device is not read with --fits; its own value names the device",
    "--fits h100 --devices 2": "--devices is not read with --fits; devices that divide the model are --tp or --pp",
    "--fits h100 --tokens 1T": "--tokens is not read with --fits; it is read with --solve and --mode train",
    "--fits h100 --draft mtp": "--draft is not read with --fits",
    "--fits h100 --zero 3": "--zero is not read with --fits",
    "--fits h100 --list-models": "--list-models is not read with --fits",
    "--fits h100 --checkpoint": "--checkpoint is not read with --fits",
    "--fits h100 --mode train": "--fits asks about serving; whether a step of training fits, --mode train",
    "--fits h100 --dtype bf16,fp8": "--fits asks about one --dtype; give a single value",
    "--fits h100 --batch-size 1,2": "--fits asks about one --batch-size; give a single value",
    "--fits h100 --users 0": "'0' is too few; give a whole number from 1 up",
    "--fits 2xh100": "'2xh100' is a number of devices; name h100 alone and give --tp 2",
    "--fits 8x4090": "'8x4090' is a number of devices; name 4090 alone and give --tp 8",
    "--mode decode --device 80GiB": "80GiB is an amount of memory, which has no speed; --fits asks whether",
    "--device cuda": "'cuda' names no device; give one of --list-devices, or local for one here",
    "--fits h100,a100": "'h100,a100' are several devices; name one, and ask again for each other",
    "--serve h100 --max-model-len 8k": "a request is --prompt-length and --output-length",
    "--serve h100 --ttft 1": "--provision plans for a target",
    "--serve h100 --seq-len max": "--seq-len max is of a workload; give a number",
    "--provision dgx-h100 --users 3": "what arrives is --requests-per-second",
    "--provision dgx-h100 --ttft soon": "'soon' is no number of seconds such as 0.5 or 500ms",
    "--solve min-devices --device h100 --tp 2": "--tp is not read with --solve; it tries every layout of --devices",
    "--solve max-context": "--solve max-context needs --device NAME; only the goal cheapest chooses one",
    "--mode train --solve fastest --device h100 --users 2": "--users is read with --fits, --serve, --solve, not with",
    "--explain q_proj --device h100": "--device is not read with --explain; leave one of them out",
    "--checkpoint --tp 2": "--tp is not read with --checkpoint; leave one of them out",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_an_option_that_would_change_the_answer_is_not_passed_over(run: Run, arguments: str) -> None:
    code, out, err = run(*arguments.split())
    assert (code, out) == (2, "")
    assert REFUSED[arguments] in err


IDLE = {
    "--decode-len 100": "--decode-len changes nothing in --mode prefill; it is of --mode decode.",
    "--engine sglang": "--engine changes nothing here; it is of --device, --fits, --serve, --provision, "
    "--solve, --vllm-log.",
    "--routing uniform": "--routing changes nothing here; it is of models with experts.",
    "--encoder-len 9": "--encoder-len changes nothing here; it is of models with an encoder before their decoder.",
    "--micro-batches 4": "--micro-batches changes nothing but --mode train.",
    "--block-size 32": "--block-size changes nothing but --table engines, --json and questions about devices.",
    "--mode train --rank 8": "--rank changes nothing but --method lora and qlora.",
    "--mode train --method lora --base-format nf4": "--base-format changes nothing but --method qlora.",
    "--fits h100 --table memory": "--table changes nothing with --fits.",
    "--fits h100 --logits all": "--logits changes nothing with --fits.",
}


@pytest.mark.parametrize("arguments", IDLE)
def test_an_option_that_changes_nothing_is_told(run: Run, arguments: str) -> None:
    code, out, err = run(*arguments.split())
    assert (code, err) == (0, f"warning: {IDLE[arguments]}\n")
    assert out


def test_times_and_shares_as_people_write_them(run: Run) -> None:
    assert run("--provision", "dgx-h100", "--ttft", "500ms")[1] == run("--provision", "dgx-h100", "--ttft", "0.5")[1]
    share = run("--fits", "h100", "--gpu-memory-utilization", "95%")[1]
    assert share == run("--fits", "h100", "--gpu-memory-utilization", "0.95")[1]


# Markdown


@pytest.mark.parametrize(
    ("asked", "title"),
    [
        ("--fits h100 --launch", "Memory of a device"),
        ("--serve h100", "Time"),
        ("--provision dgx-h100 --launch", "Guard rails"),
        ("--solve max-context --device h100", "tokens of the longest sequence"),
        ("--mode train --solve fastest --device h100 --devices 8", "Plans"),
    ],
)
def test_answers_in_markdown_are_tables(run: Run, asked: str, title: str) -> None:
    code, out, _ = run(*asked.split(), "--format", "markdown")
    assert code == 0
    assert out.startswith(f"## {QWEN}")
    assert f"### {title}" in out
    assert "| --- | ---" in out
    assert ("```\nvllm serve" in out) == ("--launch" in asked)


# A log, and a recipe


LOG = b"Model loading took 15.2683 GiB\nAvailable KV cache memory: 52.31 GiB\nGPU KV cache size: 380,912 tokens\n"


def test_a_log_comes_from_a_file_or_a_pipe(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vllm.log"
    file.write_bytes(LOG)
    said = run("--vllm-log", str(file), "--device", "h100", "--json")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LOG)))
    assert run("--vllm-log", "-", "--device", "h100", "--json") == said
    rows = {row["figure"]: row["printed"] for row in json.loads(said[1])["figures"]}
    assert rows["KV cache size, tokens"] == 380_912
    shorter = json.loads(run("--vllm-log", str(file), "--device", "h100", "--tp", "2", "--seq-len", "8k", "--json")[1])
    assert (shorter["fit"]["layout"]["tp"], shorter["fit"]["max_model_len"]) == (2, 8192)
    assert "| Figure | Printed |" in run("--vllm-log", str(file), "--device", "h100", "--format", "markdown")[1]


def test_of_plans_the_fastest_is_exported(run: Run) -> None:
    best = plans(load_model(QWEN), device="h100", devices=8, sequence_length=4096)[0]
    code, out, _ = run("--mode", "train", "--device", "h100", "--plans", "8", "--export", "torchtitan")
    assert (code, out) == (0, best.export("torchtitan"))
    assert "data_parallel_shard_degree = 8" in out
    refused = cli.main(
        ["meta-llama/Llama-3.1-405B", *["--mode", "train", "--device", "t4", "--plans", "2", "--export", "trl"]]
    )
    assert refused == 2


# JSON

KEYS = {
    "--fits h100": "model device engine layout dtype kv_dtype settings max_model_len concurrency capacity memory "
    "host weights activations overhead cache_pool cache_tokens sequences longest_context "
    "fits short_by fixes verdict notes",
    "--serve h100": "model device layout engine fits verdict measured numbers memory request",
    "--provision dgx-h100": "model rack traffic phases requests_per_second output_tokens_per_second per_device "
    "ttft tpot users cost_per_hour cost_per_million_tokens joules_per_token fits verdict racks together likely "
    "asked guards",
    "--solve max-context --device h100": "model goal value unit verdict asked layouts fit",
    "--mode train --solve fastest --device h100 --devices 8": "model goal value unit tokens verdict plans",
}


@pytest.mark.parametrize("asked", KEYS)
def test_the_keys_of_answers_are_recorded(run: Run, asked: str) -> None:
    """Whoever renames one raises the number of the schema."""
    found = json.loads(run(*asked.split(), "--json")[1])
    assert list(found) == ["schema", "tool", *KEYS[asked].split()]
    assert found["schema"] == 1
