"""Models side by side on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from command import DEEPSEEK, LLAMA, MIXTRAL, QWEN, Run, tables, write_config


def test_models_are_compared_in_the_order_named(outcome: Callable[..., str]) -> None:
    text = outcome("--hf-model", LLAMA, QWEN, "--hf-model", "gpt2", "--mode", "decode", DEEPSEEK)
    found = tables(text)
    assert [row[0] for row in found["Comparison"]] == [
        "Model",
        "Qwen2.5-7B",
        "DeepSeek-V3.1-Terminus",
        "Llama-2-7b-hf",
        "gpt2",
    ]
    assert found["Comparison"][1][1:4] == ["7.62B", "7.62B", "4,096"]
    assert found["Comparison"][4][3] == "1,024"
    assert found["Memory (1 GiB = 2^30 bytes)"][0][1:] == [row[0] for row in found["Comparison"][1:]]
    assert "workload  decode, batch 1\n" in text


def test_side_by_side_cells_are_those_of_each_model_alone(outcome: Callable[..., str]) -> None:
    both = tables(outcome(QWEN, MIXTRAL))["FLOPs (a multiply-add is 2)"]
    alone = [tables(outcome(m))["FLOPs (a multiply-add is 2)"] for m in (QWEN, MIXTRAL)]
    for place, table in enumerate(alone, 1):
        cells = {row[0]: row[place] for row in both[1:] if row[place] != "-"}
        assert cells == {row[0]: row[3] for row in table[1:]}


def test_equal_last_names_are_kept_apart(tmp_path: Path, outcome: Callable[..., str]) -> None:
    path = write_config(tmp_path / "Qwen2.5-7B.json", LLAMA)
    rows = tables(outcome(QWEN, "--config", str(path)))["Comparison"]
    assert [row[0] for row in rows[1:]] == ["Qwen/Qwen2.5-7B", "Qwen2.5-7B"]


def test_operations_of_several_models_follow_each_other(outcome: Callable[..., str]) -> None:
    text = outcome(QWEN, LLAMA, "--table", "operations")
    titles = [title for title in tables(text) if title.startswith("Operations")]
    assert titles == [f"Operations of {QWEN}", f"Operations of {LLAMA}"]


def test_of_several_models_the_failing_one_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"model_type": "teapot"}')
    code, out, err = run(QWEN, "--config", str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: Model type 'teapot' is not known here;")
