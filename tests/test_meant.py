"""Every misspelt choice, option and line of another tool is answered with what was probably meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from calculator import CalculatorError, Training, cli, fit, load_model
from calculator.errors import choose, nearest
from calculator.named import any_device

QWEN = "Qwen/Qwen3-8B"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def running(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([QWEN, *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return running


NEAREST = {
    "--mode trian": "pretraining",
    "--mode train --method qlra": "qlora",
    "--mode train --optimizer paged_adamw_8bit": "paged-adamw-8bit",
    "--mode train --precision bf16mixed": "bf16-mixed",
    "--mode train --recompute ful": "full",
    "--mode train --loss fusd": "fused",
    "--mode train --offload optimiser": "optimizer",
    "--mode train --method lora --targets q_prj": "q_proj",
    "--mode train --method qlora --base-format nf4dq": "nf4-dq",
    "--mode train --export axolotle": "axolotl",
    "--mode train --kernels compild": "compiled",
    "--mode train --solve fastst --device h100": "fastest",
    "--gradient-dtype bf61": "bf16",
    "--dtype bf61": "bf16",
    "--dtype q4km": "q4_k_m",
    "--dtype 4bit": "int4 (GPTQ, AWQ) or nf4 (bitsandbytes)",
    "--kv-dtype fb8": "fp8",
    "--table memry": "memory",
    "--format jsn": "json",
    "--attention flsh": "flash",
    "--attention-flops causl": "causal",
    "--logits lst": "last",
    "--routing unifrom": "uniform",
    "--engine trtllm": "tensorrt-llm",
    "--fits h100 --launch kubernets": "kubernetes",
    "--solve min-devces --device h100": "min-devices",
    "--provision gb300-nv72": "gb300-nvl72",
    "--provision h100": "dgx-h100",
    "--explain qproj": "self_attn.q_proj",
    "--bacth-size 3": "--batch-size",
    "--SEQ_LEN 3": "--seq-len",
    "-c 8192": "--seq-len",
    "-b 4": "--batch-size",
    "--qps 3": "--requests-per-second",
    "--gpus 2": "--tp, or --devices with --solve and --serve",
    "--load-in-4bit": "--dtype nf4, or --mode train --method qlora",
    "--gradient-checkpointing": "--recompute full",
    "--fsdp": "--zero 3",
}


@pytest.mark.parametrize("arguments", NEAREST)
def test_a_misspelt_choice_is_answered_with_the_nearest(run: Run, arguments: str) -> None:
    code, out, err = run(*arguments.split())
    assert (code, out) == (2, "")
    assert err.endswith(f" Did you mean {NEAREST[arguments]}?\n")


@pytest.mark.parametrize(
    ("said", "known", "meant"),
    [
        ("int3", ("int4", "int8"), ""),  # another number is no slip
        ("fp6", ("fp8",), ""),
        ("gb300", ("gb300-nvl72", "gb200-nvl72"), "gb300-nvl72"),
        ("nvl72", ("gb300-nvl72", "gb200-nvl72"), ""),  # a part of both
        ("dgx", ("dgx-h100", "dgx-h200"), ""),
        ("zz", ("full", "lora"), ""),
        ("", ("full",), ""),
        (None, ("none", "full"), "none"),
    ],
)
def test_what_is_near(said: object, known: tuple[str, ...], meant: str) -> None:
    assert nearest(said, known) == meant


def test_the_same_sentence_from_python() -> None:
    assert choose("qlra", ("full", "lora", "qlora")) == "choose one of full, lora, qlora. Did you mean qlora?"
    with pytest.raises(CalculatorError, match=r"choose one of full, lora, qlora. Did you mean qlora\?"):
        Training(method="qlra")
    with pytest.raises(CalculatorError, match="Did you mean max_num_seqs"):
        fit(load_model(QWEN), "h100", max_num_seq=8)


def test_choices_in_capitals_are_choices(run: Run) -> None:
    assert run("--engine", "vLLM", "--fits", "h100") == run("--engine", "vllm", "--fits", "h100")
    assert run("--mode", "Decode", "--format", "JSON") == run("--mode", "decode", "--format", "json")


@pytest.mark.parametrize(
    "line", ["ollama run qwen3:8b", "vllm serve qwen3:8b --tensor-parallel-size 2", "serve qwen3:8b"]
)
def test_another_tool_s_line_is_met_with_what_to_leave_out(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    said = line.split(" qwen3")[0]
    assert capsys.readouterr().err == (
        f"error: {said} is no command here; leave it out: the first word is the model, qwen3:8b.\n"
    )


def test_llama_cpp_s_flag_for_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-hf", QWEN]) == 0
    assert capsys.readouterr().out.startswith(f"{QWEN}\n")


def test_an_amount_of_memory_is_a_device() -> None:
    assert any_device("80 GiB").memory == 80 * 2**30
    with pytest.raises(CalculatorError, match=r"is written 80GiB \(2\^30 bytes\) or 80GB"):
        any_device("80")


@pytest.mark.parametrize("named", [f"{QWEN},{QWEN}", f"{QWEN} openai/gpt-oss-20b", f"{QWEN}, openai/gpt-oss-20b"])
def test_several_models_in_one_argument(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([named]) == 2
    assert "are several models; give one after the other" in capsys.readouterr().err


def test_other_names_of_goals(run: Run) -> None:
    assert run("--solve", "min-gpus", "--device", "h100") == run("--solve", "min-devices", "--device", "h100")
    assert run("--solve", "Max-Users", "--device", "h100") == run("--solve", "max-concurrency", "--device", "h100")
