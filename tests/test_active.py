"""What one token touches: experts, rows of tables, and the two conventions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calculator import load_model
from calculator.cli import main

GOLDEN = Path(__file__).parent / "data" / "golden"


def recorded(kind: str, name: str) -> dict:
    cases = (case for file in GOLDEN.glob("*.json") for case in json.loads(file.read_text(encoding="utf-8")))
    return next(case["config"] for case in cases if (case["model_type"], case["name"]) == (kind, name))


def test_only_the_rows_of_an_ngram_table_that_are_looked_up_are_active():
    """A table of 51 billion made 58 billion active, where the makers say 6."""
    small = recorded("qwen4_exp_text", "n-grams, three streams")
    model, large = load_model(small), load_model(small | {"ngram_vocab_size_base": 20_000_000})
    grown = large.parameters.total - model.parameters.total
    assert grown > 300_000_000
    assert large.parameters.active == model.parameters.active
    assert large.parameters.touched == model.parameters.touched


def test_blt_looks_up_a_row_of_each_hash_table():
    p = load_model({"model_type": "blt"}).parameters
    assert p.total - p.active == 6 * (500_002 - 1) * 1024


@pytest.mark.parametrize(
    ("name", "active", "touched"),
    [
        # OpenAI's card says 5.13 and 3.61 billion, without the input embedding
        ("openai/gpt-oss-120b", 5_711_982_912, 5_711_982_912 - 201_087 * 2880),
        ("openai/gpt-oss-20b", 4_187_440_704, 4_187_440_704 - 201_087 * 2880),
        ("mistralai/Mixtral-8x7B-v0.1", 12_879_925_248, 12_879_925_248 - 31_999 * 4096),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248, 8_030_261_248 - 128_255 * 4096),
        # the embedding is the head too, which a token reads in full
        ("Qwen/Qwen2.5-1.5B", 1_543_714_304, 1_543_714_304),
    ],
)
def test_both_conventions(name, active, touched):
    p = load_model(name).parameters
    assert (p.active, p.touched) == (active, touched)


def test_a_vector_for_each_layer_is_one_row_of_its_table():
    """Gemma 4 E2B is called after the two billion that are left without this table."""
    p = load_model({"model_type": "gemma4_text"}).parameters
    layers, size = 30, 256
    assert p.active == p.total
    assert p.total - p.touched == (262_144 - 1) * layers * size


def test_the_convention_stands_beside_the_number(capsys):
    assert main(["openai/gpt-oss-20b"]) == 0
    said = capsys.readouterr().out
    assert "active per token 4,187,440,704 (4.19B), the embedding in full; 3,608,310,144 (3.61B) with only" in said
    assert main(["openai/gpt-oss-20b", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["touched"] == 3_608_310_144
