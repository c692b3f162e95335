"""The ways people name a model, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from calculator import load_model
from calculator.errors import HubUnreachableError, SourceError
from calculator.sources import catalogue
from calculator.sources.hub.ids import parse_file

CONFIG = dict(catalogue.entries()[0].config)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize(
    ("text", "found"),
    {
        "Qwen/Qwen3-8B": "Qwen/Qwen3-8B",
        "qwen/QWEN3-8b": "Qwen/Qwen3-8B",
        "Qwen3-8B": "Qwen/Qwen3-8B",
        "Qwen/Qwen3-8B@main": "Qwen/Qwen3-8B",
        "https://huggingface.co/Qwen/Qwen3-8B": "Qwen/Qwen3-8B",
        "https://huggingface.co/Qwen/Qwen3-8B/tree/main": "Qwen/Qwen3-8B",
        "https://huggingface.co/Qwen/Qwen3-8B/blob/main/config.json": "Qwen/Qwen3-8B",
        "https://hf.co/Qwen/Qwen3-8B/": "Qwen/Qwen3-8B",
        "huggingface.co/Qwen/Qwen3-8B": "Qwen/Qwen3-8B",
        "hf.co/qwen/qwen3-8b": "Qwen/Qwen3-8B",
        "hf://Qwen/Qwen3-8B": "Qwen/Qwen3-8B",
        "hf://Qwen/Qwen3-8B@main": "Qwen/Qwen3-8B",
        "HF://Qwen/Qwen3-8B/config.json": "Qwen/Qwen3-8B",
        "meta-llama/Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
        "meta-llama/Meta-Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
        "Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/llama-3-8b": "meta-llama/Meta-Llama-3-8B",
        "CohereLabs/aya-23-8B": "CohereForAI/aya-23-8B",
        "THUDM/GLM-4-9B-0414": "zai-org/GLM-4-9B-0414",
        "gpt2": "openai-community/gpt2",
        "'Qwen/Qwen3-8B'": "Qwen/Qwen3-8B",
        "`Qwen/Qwen3-8B` ": "Qwen/Qwen3-8B",
        "Qwen/Qwen3-8B/": "Qwen/Qwen3-8B",
        "models--Qwen--Qwen3-8B": "Qwen/Qwen3-8B",
        "models--deepseek-ai--DeepSeek-V3": "deepseek-ai/DeepSeek-V3",
        "https://hf-mirror.com/Qwen/Qwen3-8B/tree/main": "Qwen/Qwen3-8B",
    }.items(),
)
def test_names_of_bundled_models(text: str, found: str):
    assert load_model(text).name == found


@pytest.mark.parametrize(
    ("text", "parts"),
    {
        "hf.co/org/name:Q4_K_M": ("org/name", None, "Q4_K_M"),
        "https://hf.co/org/name:UD-Q4_K_XL": ("org/name", None, "UD-Q4_K_XL"),
        "huggingface.co/org/name:Q8_0": ("org/name", None, "Q8_0"),
        "hf://org/name:Q4_K_M": ("org/name", None, "Q4_K_M"),
        "hf://org/name@v1": ("org/name", "v1", None),
        "hf://org/name@v1/sub/model-Q4_0.gguf": ("org/name", "v1", "sub/model-Q4_0.gguf"),
        "hf://models/org/name": ("org/name", None, None),
        "org/name@v1:Q4_K_M": ("org/name", "v1", "Q4_K_M"),
    }.items(),
)
def test_addresses_of_the_hub(text: str, parts: tuple[str, str | None, str | None]):
    assert parse_file(text) == parts


@pytest.mark.parametrize("text", ["hf://", "hf://org", "hf://org/name/model.safetensors", "hf.co/datasets/org/name:Q4"])
def test_addresses_of_nothing(text: str):
    with pytest.raises(SourceError):
        parse_file(text)


def test_a_pasted_config():
    text = json.dumps(CONFIG, indent=2)
    assert load_model(f"\n {text}").parameters == load_model(CONFIG).parameters
    with pytest.raises(SourceError, match="pasted config is not valid JSON"):
        load_model('{"model_type": "llama",')


def test_standard_input_and_pipes(tmp_path: Path):
    text = json.dumps(CONFIG).encode()
    run = [sys.executable, "-m", "calculator", "--format", "json"]
    where = Path(__file__).parents[1]
    piped = subprocess.run([*run, "-"], input=text, capture_output=True, cwd=where, check=True)
    named = subprocess.run([*run, "/dev/stdin"], input=text, capture_output=True, cwd=where, check=True)
    total = load_model(CONFIG).parameters.total
    for done in (piped, named):
        assert json.loads(done.stdout)["parameters"]["total"] == total
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text,))
    writer.start()
    assert load_model(tmp_path / "pipe").parameters.total == total
    writer.join()
    empty = subprocess.run([*run, "-"], input=b"", capture_output=True, cwd=where, check=False)
    assert empty.returncode == 2
    assert empty.stderr.startswith(b"error: Nothing came on standard input;")


@pytest.mark.parametrize(
    ("text", "meant"),
    {
        "Qwen/Qwen3-8": "Qwen/Qwen3-8B",
        "meta-lama/Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
        "deepseek-ai/deepseek-v3.l": "deepseek-ai/DeepSeek-V3.1",
        "mistralai/Mistral-7B-v01": "mistralai/Mistral-7B-v0.1",
        "openai/gpt-oss-20": "openai/gpt-oss-20b",
    }.items(),
)
def test_a_name_that_is_nearly_a_bundled_one(text: str, meant: str):
    with pytest.raises((HubUnreachableError, SourceError), match="Did you mean") as caught:
        load_model(text)
    assert meant in str(caught.value)


def test_a_name_like_no_other_is_met_by_no_guess():
    with pytest.raises(HubUnreachableError) as caught:
        load_model("some-body/entirely-unheard-of")
    assert "Did you mean" not in str(caught.value)
