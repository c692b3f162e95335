"""The table of one device on the command line."""

from __future__ import annotations

import json

import pytest

from calculator.cli import main

QWEN = ("Qwen/Qwen3-8B", "--mode", "decode", "--seq-len", "4096")


def test_json_has_what_a_device_holds(capsys):
    assert main([*QWEN, "--device", "h200-sxm-141gb", "--tp", "4", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["per_device"]
    assert (found["device"], found["layout"]) == ("h200-sxm-141gb", "TP 4")
    assert found["kv_cache"] == 36 * 2 * (8 // 4) * 128 * 2 * 4096
    assert found["time_lower_bound"] <= found["time_low"] < found["time_expected"] < found["time_high"]


def test_without_a_device_there_is_no_time(capsys):
    assert main([*QWEN, "--tp", "2", "--table", "device", "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert f"Qwen/Qwen3-8B,decode,1,4096,kv_cache,{36 * 2 * 4 * 128 * 2 * 4096},bytes" in rows
    assert not any("time" in row for row in rows)


def test_all_tables_gain_one(capsys):
    assert main([*QWEN, "--device", "NVIDIA H200"]) == 0
    assert "One device (one device of H200 SXM 141GB)" in capsys.readouterr().out
    assert main([*QWEN]) == 0
    assert "One device" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--device", "h9"), "Device 'h9' is not known"),
        (("--ep", "2", "--tp", "2"), "has no experts that ep 2 could divide"),
        (("--tp", "4", "--attention-dp", "3"), "attention_dp 3 does not divide tp 4"),
    ],
)
def test_what_cannot_be_says_why(capsys, given, said):
    assert main([*QWEN, *given]) == 2
    assert said in capsys.readouterr().err
