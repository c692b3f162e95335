"""What the command line answers of devices."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from calculator.cli import main

DECODE = ["meta-llama/Llama-3.1-8B", "--mode", "decode", "--seq-len", "4096", "--batch-size", "32"]


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    def run(*given: str) -> tuple[str, str]:
        main(given)
        captured = capsys.readouterr()
        return captured.out, captured.err

    return run


def numbers(text: str) -> dict[str, Any]:
    return {row["quantity"]: row["value"] for row in json.loads(text)["on"]["numbers"]}


def test_a_share_of_four_devices(answer: Callable[..., tuple[str, str]]) -> None:
    out, _ = answer(*DECODE, "--device", "h200-sxm-141gb", "--tp", "4", "--json")
    found = numbers(out)
    assert found["kv_cache"] == 32 * 4096 * 2 * 2 * 128 * 2 * 32  # two of eight heads, 32 layers, 16 bit
    assert found["memory_of_the_device"] == 150754820096
    assert found["pass_lower_bound"] < found["pass_expected"] < found["each_token_after_expected"]
    assert found["sequences_at_once"] == 32
    assert json.loads(out)["on"]["layout"]["tp"] == 4
    assert json.loads(out)["on"]["device"] == "h200-sxm-141gb"


def test_a_layout_needs_no_device(answer: Callable[..., tuple[str, str]]) -> None:
    found = numbers(answer(*DECODE, "--tp", "4", "--json")[0])
    assert found["weights"] == 4015529984
    assert not any("expected" in name for name in found)


def test_training_shards_what_it_loads(answer: Callable[..., tuple[str, str]]) -> None:
    run = ("Qwen/Qwen3-8B", "--mode", "pretraining", "--seq-len", "4k", "--dp", "8", "--recompute", "full")
    one, eight = (numbers(answer(*run, "--zero", zero, "--json")[0]) for zero in ("0", "3"))
    assert one["states"] == 8 * eight["states"]
    assert eight["peak_allocated"] < 2 * 8190735360 + 4 * 2**30
    parts = sum(size for name, size in eight.items() if name.startswith("at_the_peak"))
    assert eight["peak_allocated"] == pytest.approx(parts, abs=10)


def test_forms(answer: Callable[..., tuple[str, str]]) -> None:
    given = [*DECODE, "--device", "h200-sxm-141gb"]
    assert "on 1 × H200 SXM 141GB" in answer(*given)[0]
    assert answer(*given, "--table", "device", "--format", "csv")[0].splitlines()[0] == (
        "model,mode,batch_size,sequence_length,device,quantity,value,unit"
    )
    assert ",device,,pass_expected," in answer(*given, "--format", "csv")[0]
    assert "| Phase | Component |" in answer("Qwen/Qwen3-8B", "--table", "phases", "--format", "markdown")[0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--zero", "3"], "(zero) need --mode pretraining"),
        (["--table", "device"], "--table device shows what --device NAME answers"),
        (["--device", "H100x"], "Device 'H100x' is not known"),
        (["--zero", "9" * 5000, "--mode", "pretraining"], "zero must be 0, 1, 2 or 3"),
        (["--vllm-log", "/dev/zero", "--device", "h200-sxm-141gb"], "is larger than 20,000,000 bytes"),
        (["--vllm-log", "no\0name", "--device", "h200-sxm-141gb"], "cannot be read"),
        (["--fits", "h200-sxm-141gb", "--solve", "max-batch"], "are questions of their own"),
        (["--users", "4"], "its batch is --batch-size"),
        (["--tp", "0"], "tp must be a whole number of devices"),
        (["--device", "h200-sxm-141gb", "--engine", "x"], "argument --engine: invalid choice: 'x'"),
    ],
)
def test_refusals(answer: Callable[..., tuple[str, str]], given: list[str], sentence: str) -> None:
    out, error = answer(*DECODE, *given)
    assert out == ""
    assert sentence.lower() in error.lower()


def test_the_catalogue_is_listed(answer: Callable[..., tuple[str, str]]) -> None:
    assert len(json.loads(answer("--list-devices", "--json")[0])["devices"]) == 108


FIRST = {
    "--device h100-sxm-80gb --seq-len 4096": (
        r"Qwen/Qwen3-8B on 1 × H100 SXM5 80GB: a step takes [\d.]+ ms \([\d.]+ ms to [\d.]+ ms\) and "
        r"15.82 GiB of 79.65 GiB"
    ),
    "--device t4 --seq-len 4096": (
        "Qwen/Qwen3-8B on 1 × T4 does not fit: it needs 15.82 GiB of 15.00 GiB; --fits t4 says what makes it fit"
    ),
    "--tp 2 --seq-len 4096": r"Qwen/Qwen3-8B on 2 devices \(TP 2\)",
}


@pytest.mark.parametrize("given", FIRST)
def test_the_first_line_is_the_answer(capsys: pytest.CaptureFixture[str], given: str) -> None:
    asked = ["Qwen/Qwen3-8B", "--mode", "decode", "--table", "device", *given.split()]
    assert main(asked) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(FIRST[given], first)
    assert main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["on"]["verdict"] == first


def test_times_of_users_say_whose_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A step of 16 sequences takes a tenth of the time between two tokens, because prompts run between."""
    given = "Qwen/Qwen3-32B --mode decode --batch-size 16 --seq-len 32k --device h100 --tp 4 --table device"
    assert main(given.split()) == 0
    assert (
        capsys.readouterr()
        .out.rstrip()
        .endswith(
            "those of 16 users who each send a prompt of 32,768 tokens and read 64 (--decode-len) again and again, the "
            "prompts of others between."
        )
    )


def test_what_does_not_fit_is_given_no_times(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meta-llama/Llama-3.1-405B", "--serve", "4090"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith("vLLM: does not fit")
    assert "--fits rtx-4090" in said
    assert "first token" not in said
    none = "--mode train --device 4090 --plans 8 --table device"
    assert main(["meta-llama/Llama-3.1-405B", *none.split()]) == 0
    assert capsys.readouterr().out.startswith("No layout of 8 × GeForce RTX 4090 that was tried trains meta-llama")


def test_a_cache_that_does_not_grow_holds_any_length(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state-spaces/mamba-370m-hf", "--solve", "max-context", "--device", "t4"]) == 0
    assert "any number of tokens, because what it keeps does not grow" in capsys.readouterr().out
