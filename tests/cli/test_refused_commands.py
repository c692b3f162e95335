"""Every error of the command line is one sentence, without a token in it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from command import QWEN, TOKEN, Run, process

ERRORS = {
    "": "No model was named; give one, for instance Qwen/Qwen2.5-7B, or see --list-models.",
    "--explain gpt2": "No model was named ('gpt2' was taken for an operation to explain); give one, for instance "
    "Qwen/Qwen2.5-7B, or see --list-models.",
    "gpt2 --frob": "Unrecognized arguments: --frob; see transformer-calculator --help.",
    "gpt2 --seq-len long": "Argument --seq-len: 'long' is no whole number such as 4096, 32k or 1e6, nor max; see "
    "transformer-calculator --help.",
    "gpt2 --batch-size many": "Argument --batch-size: 'many' is no whole number such as 4096, 32k or 1e6; see "
    "transformer-calculator --help.",
    "gpt2 --batch-size 0": "batch_size must be a whole number from 1 to 1,000,000,000,000, not 0.",
    "gpt2 --seq-len -5": "sequence_length must be a whole number from 1 to 1,000,000,000,000, not -5.",
    "gpt2 --dtype int3": "Precision 'int3' is not known; choose one of auto, fp32, fp16, bf16, fp8, int8, int4, "
    "mxfp4, nvfp4, nf4, or a mixture of llama.cpp such as q4_k_m.",
    "gpt2 --kv-dtype nf4": "The KV cache cannot be kept in 'nf4'; choose one of auto, fp32, fp16, bf16, fp8, int8, "
    "fp8_ds_mla, fp8_per_token_head, int8_per_token_head, nvfp4, fp4_e2m1, mxfp4, int4, q8_0, q5_1, q5_0, q4_1, q4_0, "
    "iq4_nl, f16, fp8_e4m3, fp8_e5m2, or two of them for keys and values, as q8_0/q4_0. Did you mean nvfp4?",
    "gpt2 --expert-capacity-factor nan": "expert_capacity_factor must be a positive number or None, not nan.",
    "gpt2 --explain frob": "openai-community/gpt2 has no operation 'frob'; choose one of transformer.wte, "
    "transformer.wpe, ln_1, attn.c_attn, attn.attention, attn.attention.softmax, attn.c_proj, mixer_residual, ln_2, "
    "mlp.c_fc, mlp.activation, mlp.c_proj, channel_residual, transformer.ln_f, lm_head.",
    "state-spaces/mamba-370m-hf --seq-len max": "state-spaces/mamba-370m-hf states no longest context, so --seq-len "
    "max has no meaning; give a number.",
    "--config /nowhere/config.json": "There is no file '/nowhere/config.json'; give the path of a config.json or of "
    "the folder that holds one.",
    "gpt2 --output /nowhere/out.txt": "--output '/nowhere/out.txt' lies in no existing folder; make '/nowhere' first.",
    "gpt2 --output /": "--output '/' does not name a file; give the name of one.",
    "gpt2 --output ''": "--output '' does not name a file; give the name of one.",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_an_error_is_one_sentence(arguments: str, run: Run) -> None:
    assert run(*shlex.split(arguments)) == (2, "", f"error: {ERRORS[arguments]}\n")


@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("{", "is not valid JSON (Expecting property name"),
        ("[1]", "holds a JSON list, not an object; a model's config.json is needed."),
        ('{"model_type": "teapot\\n\\u001b[31m"}', ""),
        ('{"hidden_size": 4}', ""),
        ('{"model_type": "llama", "hidden_size": "wide"}', ""),
    ],
)
def test_a_bad_config_is_one_line(content: str, start: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    code, out, err = run("--config", str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path} {start}" if start else "error: ")
    assert err.count("\n") == 1
    assert err[:-1].isprintable()


def test_errors_in_a_process_of_its_own() -> None:
    ended = process("gpt2", "--mode", "sideways")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: Argument --mode: invalid choice: 'sideways'")
    assert ended.stderr.endswith("; see python -m calculator --help.\n")


def test_a_model_out_of_reach_is_a_sentence(tmp_path: Path) -> None:
    ended = process("no-such-org/no-such-model", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: no-such-org/no-such-model was not read from the Hugging Face Hub")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", TOKEN, "--frob", TOKEN],
        ["--token", "secret-token", "--config", "/nowhere/secret-token.json"],
        ["--token=secret-token", "--config", "/nowhere/secret-token.json"],
        ["--config", f"/nowhere/{TOKEN}"],
        [TOKEN],
        ["--token", TOKEN, QWEN, "--format", "json"],
        ["--token", TOKEN, QWEN],
    ],
)
def test_a_token_is_never_shown(arguments: list[str], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, out, err = run(*arguments)
    assert code in (0, 2)
    assert TOKEN not in out + err
    assert "secret-token" not in out + err
