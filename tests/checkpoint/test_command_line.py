"""--checkpoint on the command line, and GGUF files as models."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from models import LLAMA, folder, tensors
from writers import write_gguf

from calculator.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, error = capsys.readouterr()
    return status, out, error


@pytest.fixture
def equal(tmp_path: Path) -> Path:
    return folder(tmp_path / "some", LLAMA, tensors(LLAMA))


@pytest.fixture
def different(tmp_path: Path) -> Path:
    stored = tensors(LLAMA) | {"model.norm.weight": ("F32", (64,)), "extra.weight": ("BF16", (3, 3))}
    return folder(tmp_path / "other", LLAMA, stored)


def test_text(capsys: pytest.CaptureFixture[str], equal: Path, different: Path) -> None:
    status, out, _ = run(capsys, str(equal), "--checkpoint")
    assert status == 0
    assert "some against the headers of some" in out
    assert "verdict      equal" in out
    assert "Tensors that differ" not in out
    assert "Linear layers" in out
    status, out, _ = run(capsys, str(different), "--checkpoint")
    assert status == 0
    assert "verdict      not equal" in out
    assert "+9" in out
    for part in ("extra.weight", "unexplained", "3×3", "model.norm.weight", "stored in another type than priced"):
        assert part in out


def test_markdown(capsys: pytest.CaptureFixture[str], different: Path) -> None:
    _, out, _ = run(capsys, str(different), "--checkpoint", "--format", "markdown")
    assert "## other against the headers of other" in out
    assert "| extra.weight | unexplained | - | 3×3 | BF16 | 1 | 18 |" in out


def test_json(capsys: pytest.CaptureFixture[str], equal: Path, different: Path) -> None:
    _, out, _ = run(capsys, str(equal), "--checkpoint", "--format", "json")
    found = json.loads(out)
    assert found["equal"] is found["parameters_equal"] is found["bytes_equal"] is True
    assert found["formula"] == found["stored"]
    assert found["rows"] == []
    _, out, _ = run(capsys, str(equal), str(different), "--checkpoint", "--format", "json")
    both = json.loads(out)
    assert [c["equal"] for c in both] == [True, False]
    assert both[1]["rows"][0]["name"] == "extra.weight"
    assert both[1]["by_class"]["unexplained"]["stored"] == {"parameters": 9, "bytes": 18}


def test_csv(capsys: pytest.CaptureFixture[str], different: Path) -> None:
    _, out, _ = run(capsys, str(different), "--checkpoint", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    classes = [row for row in rows if row["row"] == "class"]
    assert {row["name"]: row["formula_parameters"] for row in classes}["norm"] == str(7 * 64)
    assert classes[-1]["name"] == "total"
    assert [row["name"] for row in rows if row["row"] == "tensor"] == ["extra.weight", "model.norm.weight"]


def test_a_config_without_headers_gets_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    status, out, error = run(capsys, "--config", str(tmp_path), "--checkpoint")
    assert (status, out) == (2, "")
    assert "holds no safetensors file" in error


def test_a_gguf_file_as_a_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = {"general.architecture": "llama", "llama.block_count": 1, "llama.attention.head_count": 4}
    stored = {"token_embd.weight": ("Q8_0", (64, 128)), "blk.0.attn_q.weight": ("Q4_0", (128, 128))}
    stored |= {f"blk.0.attn_{n}.weight": ("Q4_0", (128, 128)) for n in ("k", "v", "output")}
    path = write_gguf(tmp_path / "x.gguf", stored, said)
    status, out, _ = run(capsys, str(path), "--mode", "decode", "--seq-len", "16")
    assert status == 0
    assert "as the gguf headers say (Q4_0, Q8_0)" in out
    assert "exact: parameters, weight bytes" in out
    _, out, _ = run(capsys, str(path), "--checkpoint")
    assert "verdict      equal" in out


@pytest.mark.parametrize(
    ("kind", "said"),
    [("q4_k", "GGUF Q4_K,"), ("Q8_0", "GGUF mixture Q8_0"), ("iq4_xs", "GGUF mixture IQ4_XS"), ("q4_K_M", "Q4_K_M")],
)
def test_a_gguf_type_as_a_precision(capsys: pytest.CaptureFixture[str], equal: Path, kind: str, said: str) -> None:
    status, out, _ = run(capsys, str(equal), "--dtype", kind, "--seq-len", "8")
    assert status == 0
    assert said in out


def test_a_mixture_whose_recipe_nobody_publishes(capsys: pytest.CaptureFixture[str], equal: Path) -> None:
    status, _, error = run(capsys, str(equal), "--dtype", "UD-Q4_K_XL")
    assert status == 2
    assert "chosen anew for each model" in error
