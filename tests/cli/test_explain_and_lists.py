"""Formulas on the command line, its lists, help and version."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from command import LLAMA, QWEN, sheet, write_config
from writers import write_gguf, write_safetensors

from calculator.families import FAMILIES
from calculator.sources import catalogue
from calculator.sources.load import load_model

# Formulas


def test_explain_fills_in_the_numbers(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN, "--explain", "mlp.gate_proj").splitlines()
    assert "mlp.gate_proj: matmul, model.layers.0-27, 28 layers" in lines
    assert "  flops         2·B·S·d·d_ff = 2·1·4096·3584·18944 = 556,198,264,832" in lines
    assert lines[-1].endswith(
        "d = 3,584 (hidden size), d_ff = 18,944 (MLP width), B = 1 (batch size), S = 4,096 (sequence length)"
    )


def test_explain_all_in_csv_and_json(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--explain", "--format", "csv"))
    parameters = [r for r in rows if r["quantity"] == "parameters"]
    assert sum(int(r["value"]) * int(r["count"]) for r in parameters) == 7_615_616_512
    found = json.loads(outcome(QWEN, "--explain", "--format", "json"))
    assert [str(f["value"]) for f in found["formulas"]] == [r["value"] for r in rows]
    assert found["parameters"]["total"] == 7_615_616_512


def test_explain_of_several_models_in_markdown(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN, LLAMA, "--explain=lm_head", "--format", "markdown").splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        f"## {QWEN}",
        "## lm_head: matmul, once",
        f"## {LLAMA}",
        "## lm_head: matmul, once",
    ]
    assert "- **parameters**: V·d = 32000·4096 = 131,072,000" in lines


# Lists, help, version


def test_list_models(outcome: Callable[..., str]) -> None:
    listed = json.loads(outcome("--list-models", "--format", "json"))["models"]
    assert [row["id"] for row in listed] == [entry.id for entry in catalogue.entries()]
    (row,) = [row for row in listed if row["id"] == QWEN]
    assert (list(row), row["name"], row["type"]) == (["id", "name", "type", "date"], "Qwen2.5 7B", "qwen2")
    assert f"{QWEN} " in outcome("--list-models")
    assert sheet(outcome("--list-models", "--format", "csv")) == listed


def test_list_types(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome("--list-types", "--format", "csv"))
    assert [row["type"] for row in rows] == sorted(FAMILIES)
    assert outcome("--list-types").startswith(f"Model types: {len(FAMILIES)}\nType ")
    assert "| gpt2 | openai-community/gpt2 |" in outcome("--list-types", "--format", "markdown")


def test_help_documents_every_option(outcome: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = outcome("--help", "all")
    for option in ("MODEL", "--hf-model", "--config", "--seq-len", "--kv-dtype", "--attention-flops", "--output"):
        assert option in text
    assert "1 GiB = 2^30 bytes" in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_example_of_the_help_runs(
    outcome: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = re.findall(r"^  transformer-calculator (.+)$", outcome("--help", "all"), re.M)
    write_config(tmp_path / "my-model" / "config.json", QWEN)
    stored = {name: ("BF16", shape) for name, shape in load_model(QWEN).tensors()}
    write_safetensors(tmp_path / "my-model" / "model.safetensors", stored)
    layers = {f"blk.0.attn_{name}.weight": ("Q4_K", (256, 256)) for name in ("q", "k", "v", "output")}
    write_gguf(tmp_path / "my-model-Q4_K_M.gguf", layers, {"general.architecture": "llama"})
    adapter = {"peft_type": "LORA", "r": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "gone/away"}
    (tmp_path / "my-lora").mkdir()
    (tmp_path / "my-lora" / "adapter_config.json").write_text(json.dumps(adapter))
    write_config(tmp_path / "my-draft" / "config.json", QWEN, architectures=["Qwen2ForCausalLMEagle3"])
    monkeypatch.chdir(tmp_path)
    assert len(examples) == 13
    for example in examples:
        assert bool(outcome(*shlex.split(example))) is ("--output" not in example)
    assert (tmp_path / "operations.csv").read_text().startswith("model,mode,")


def test_version(outcome: Callable[..., str]) -> None:
    assert re.fullmatch(r"transformer-calculator \d+\.\d+\.\d+\n", outcome("--version"))
