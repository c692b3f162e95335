"""Configs and folders that the command line is given, encoders among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import QWEN, Run, write_config


def test_a_config_file_or_its_folder(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "mine" / "config.json", QWEN, num_hidden_layers=1)
    for arguments in (["--config", str(path)], ["--config", str(path.parent)], [str(path.parent)]):
        found = json.loads(outcome(*arguments, "--format", "json"))
        assert found["model"]["name"] == "mine"
        assert found["parameters"]["total"] == 7_615_616_512 - 27 * 233_057_792


ENCODERS = {
    "classifier": {"model_type": "bert", "architectures": ["BertForSequenceClassification"]},
    "masked": {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]},
    "shared layers": {"model_type": "albert", "architectures": ["AlbertModel"]},
    "distances": {"model_type": "deberta-v2", "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_reads_and_does_not_generate(
    kind: str, tmp_path: Path, run: Run, outcome: Callable[..., str]
) -> None:
    path = str(tmp_path / "config.json")
    Path(path).write_text(json.dumps(ENCODERS[kind] | {"torch_dtype": "float32"}), encoding="utf-8")
    text = outcome("--config", path, "--seq-len", "96")
    assert "logits for all positions" in text
    assert "KV cache" not in text
    assert json.loads(outcome("--config", path, "--format", "json"))["memory"]["kv_cache"] == 0
    for options in (("--mode", "pretraining"), ("--explain",), ("--format", "csv"), ("--format", "markdown")):
        assert outcome("--config", path, *options)
    code, out, said = run("--config", path, "--mode", "decode")
    assert (code, out) == (2, "")
    assert said.endswith(
        "is an encoder and generates no tokens, so it has no decode mode; choose prefill or pretraining.\n"
    )


def test_config_is_a_path_even_where_a_bundled_model_has_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Callable[..., str]
) -> None:
    write_config(tmp_path / "gpt2" / "config.json", QWEN)
    monkeypatch.chdir(tmp_path)
    assert json.loads(outcome("--config", "gpt2", "--format", "json"))["parameters"]["total"] == 7_615_616_512
