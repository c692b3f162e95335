"""Models, precisions and devices side by side."""

from __future__ import annotations

import json

import pytest
from screen import (
    GIB,
    GPT2,
    MAMBA,
    QWEN,
    approximately,
    parsed,
    shown,
    values,
)

from calculator import estimate, load_model


def test_the_models_side_by_side(open_page, pictures, downloads):
    at = open_page("compare", mode="decode", batch=4, length=8192)
    names = {QWEN, "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b"}
    rows = parsed(downloads["comparison.csv"]())
    assert {row["model"] for row in rows} == names
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    for row in rows:
        e = estimate(load_model(row["model"]), mode="decode", batch_size=4, sequence_length=8192)
        assert (row["parameters"], row["active"]) == (e.model.parameters.total, e.model.parameters.active)
        assert (row["weights_bytes"], row["kv_cache_bytes"]) == (e.memory.weights, e.memory.kv_cache)
        assert (row["flops"], row["traffic_bytes"], row["intensity"]) == (e.flops.total, e.traffic.total, e.intensity)
        assert row["total_bytes"] == e.memory.total
        assert row["flops_per_token"] * 4 == approximately(e.flops.total)
        assert row["cache_bytes_per_token"] == e.cache_growth
        bar = [r["GiB"] for r in pictures["memory"].rows if r["bar"] == row["name"]]
        assert sum(bar) * GIB == approximately(row["total_bytes"])
    assert values(shown(at), "name", "devices") == values(rows, "name", "devices")
    open_page("compare", mode="decode", batch=4, length=8192, figure="Compute")
    flops = {r["name"]: r["FLOP"] for r in pictures["compute_of_a_token"].rows}
    assert flops == {row["name"]: approximately(row["flops_per_token"]) for row in rows}
    open_page("compare", mode="decode", batch=4, length=8192, figure="Cache")
    cache = {r["name"]: r["bytes"] for r in pictures["cache_of_a_token"].rows}
    assert cache == {row["name"]: row["cache_bytes_per_token"] for row in rows}


def test_compare_takes_the_sidebar_s_weights(open_page, downloads):
    at = open_page("compare", weights="fp8")
    rows = parsed(downloads["comparison.csv"]())
    assert {row["weights_as"] for row in rows} == {"fp8"}
    for row in rows:
        assert row["weights_bytes"] == estimate(load_model(row["model"]), dtype="fp8").memory.weights
        assert row["name"].endswith(" fp8")
    assert any("weights fp8" in m.value for m in at.markdown)


GOOD = json.dumps({"model_type": "llama"}).encode()
REFUSED = {
    "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deep.json"),
    "no_text": (b"\xff\xfe{}", "no_text.json is not text"),
    "no_json": (b"{'a': 1}", "no_json.json"),
    "a_list": (b"[1]", "a_list.json"),
    "large": (b" " * 6_000_000, "large.json is larger"),
    "no_model": (b"{}", "model_type"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_config_to_compare_is_held_to_the_sidebar_s_limits(open_page, downloads, name):
    content, said = REFUSED[name]
    at = open_page("compare", model=QWEN)
    files = at.file_uploader(key="compare_files")
    files.upload(f"{name}.json", content, "application/json").upload("good.json", GOOD, "application/json").run()
    assert [e.value for e in at.exception] == []
    assert any(said in e.value.replace("\\", "") for e in at.error)
    rows = {row["name"]: row for row in parsed(downloads["comparison.csv"]())}
    assert rows["good.json"]["layers"] == 32  # the others are still compared


def test_what_is_compared_is_in_the_link(open_page):
    at = open_page("compare", model=GPT2, models=GPT2, precisions="int4")
    assert [row["name"] for row in shown(at)] == ["gpt2 int4"]  # the sidebar's model is not shown twice
    at.multiselect(key="models").set_value([QWEN, MAMBA])
    at.multiselect(key="precisions").set_value(["auto", "int4"]).run()
    both = {f"{name.split('/')[-1]}{kind}" for name in (GPT2, QWEN, MAMBA) for kind in ("", " int4")}
    assert {row["name"] for row in shown(at)} == both
    at.multiselect(key="models").set_value([])
    at.multiselect(key="precisions").set_value([]).run()
    assert [row["name"] for row in shown(at)] == ["gpt2"]
    at.toggle(key="own").set_value(False).run()
    assert not at.dataframe
    assert not at.exception


def test_devices_are_compared(open_page, downloads):
    open_page("compare", mode="decode", own="false", models=QWEN, boards="L4")
    (row,) = parsed(downloads["comparison.csv"]())
    assert (row["device"], row["devices"]) == ("L4", 1)
