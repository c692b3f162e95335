"""What the command line writes for programs and documents: Markdown, CSV, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command import DEEPSEEK, LLAMA, QWEN, sheet, tables, write_config


def test_markdown_has_the_cells_of_the_text(outcome: Callable[..., str]) -> None:
    text = tables(outcome(QWEN))
    lines = outcome(QWEN, "--format", "markdown").splitlines()
    rows = [[c.strip().strip("*") for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [r for r in rows if set(r) - {"---", "---:"}] == [row for table in text.values() for row in table]
    assert "| --- | ---: | ---: | ---: | ---: | ---: |" in lines
    assert "- **parameters**: 7,615,616,512 (7.62B)" in lines


def test_markdown_escapes_a_name_with_a_bar(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "a|b.json", QWEN)
    assert "| a\\|b | 7.62B |" in outcome(QWEN, "--config", str(path), "--format", "markdown")


@pytest.mark.parametrize("table", ["memory", "flops"])
def test_csv_sums_to_the_total(table: str, outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(DEEPSEEK, "--table", table, "--format", "csv", "--mode", "decode"))
    whole = json.loads(outcome(DEEPSEEK, "--format", "json", "--mode", "decode"))
    assert sum(int(row["total"]) for row in rows) == whole[table]["total"]
    assert {(r["model"], r["mode"], r["batch_size"], r["sequence_length"]) for r in rows} == {
        (DEEPSEEK, "decode", "1", "4096")
    }


def test_csv_of_operations_has_every_amount(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--table", "operations", "--format", "csv"))
    assert sum(int(row["parameters"]) for row in rows) == 7_615_616_512
    assert sum(int(row["cache_bytes"]) for row in rows) == 224 * 2**20
    (row,) = [row for row in rows if row["operation"] == "mlp.down_proj"]
    assert (row["layers"], row["count"], row["flops"]) == ("model.layers.0-27", "28", str(28 * 2 * 4096 * 3584 * 18944))


def test_csv_of_all_is_one_long_table(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, LLAMA, "--format", "csv"))
    assert list(rows[0]) == ["model", "mode", "batch_size", "sequence_length", "table", "component", "field", "value"]
    assert {row["table"] for row in rows} == {"summary", "memory", "flops", "reuse"}
    values = {(r["model"], r["table"], r["component"], r["field"]): float(r["value"]) for r in rows}
    assert len(values) == len(rows)
    assert values[QWEN, "summary", "", "parameters"] == 7_615_616_512
    assert values[LLAMA, "summary", "", "parameters"] == 6_738_415_616
    assert values[QWEN, "memory", "attention", "kv_cache"] == values[QWEN, "summary", "", "kv_cache"] == 224 * 2**20


def test_csv_long_table_has_the_totals_of_a_generation(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--mode", "decode", "--decode-len", "10", "--format", "csv"))
    summary = {row["field"]: row["value"] for row in rows if row["table"] == "summary"}
    assert summary["generated_tokens"] == "10"
    assert summary["generation_kv_cache"] == str((4096 + 10) * 57344)


def test_json_is_an_object_or_a_list(outcome: Callable[..., str]) -> None:
    one, two = (json.loads(outcome(*models, "--format", "json")) for models in ([QWEN], [QWEN, LLAMA]))
    assert one == two[0]
    assert [found["model"]["name"] for found in two] == [QWEN, LLAMA]
