"""The Serving page: the command line's plan, in words and figures; its links; the machines that do not do."""

from __future__ import annotations

import json

import pytest

from calculator.cli import main
from pages.shared.show import Paper


@pytest.fixture
def plans(monkeypatch):
    """The rows of every plan that was drawn since."""
    found = []
    data = Paper.data

    def keep(paper, **tables):
        found.extend(tables["plan"]())
        data(paper, **tables)

    monkeypatch.setattr(Paper, "data", keep)
    return found


def text_of(at):
    return "\n".join(str(e.value) for e in (*at.title, *at.markdown))


@pytest.mark.parametrize("model", ["deepseek-ai/DeepSeek-V3.1-Terminus", "Qwen/Qwen2.5-72B"])
def test_a_rack_s_plan_is_that_of_the_command_line(open_page, plans, capsys, model):
    asked = {"length": 8192, "generate": 512, "weights": "fp8", "rate": 20.0, "first": 3.0, "next": 40.0}
    at = open_page("serving", model=model, machine="NVIDIA GB300 NVL72", **asked)
    assert not at.exception
    said = [model, "--provision", "gb300-nvl72", "--prompt-length", "8192", "--output-length", "512", "--dtype", "fp8"]
    said += ["--requests-per-second", "20", "--ttft", "3", "--tpot", "0.04", "--json"]
    assert main(said) == 0
    printed = json.loads(capsys.readouterr().out)
    (row,) = plans
    assert row["fits"]
    for name in ("requests_per_second", "output_tokens_per_second", "ttft", "tpot", "users", "racks", "together",
                 "cost_per_hour", "cost_per_million_tokens", "joules_per_token", "verdict"):  # fmt: skip
        assert row[name] == printed[name], name
    assert f"{printed['requests_per_second'] / 20:.1f} times what is asked" in at.title[0].value
    assert len(printed["phases"]) == 2


def test_the_sidebar_s_devices_are_a_machine_with_their_price(open_page, plans):
    at = open_page("serving", model="Qwen/Qwen3-32B", device="h100-sxm-80gb", devices="4", price="2", weights="fp8")
    (row,) = plans
    assert at.title[0].value.startswith("Four H100 carry")
    assert (row["rack"], row["cost_per_hour"]) == ("four\u00a0H100", 8.0)
    assert row["cost_per_million_tokens"] == pytest.approx(8 / 3600 / row["output_tokens_per_second"] * 1e6)


def test_more_than_one_rack_is_counted(open_page, plans):
    at = open_page("serving", model="Qwen/Qwen3-32B", machine="NVIDIA DGX or HGX H100", rate=100.0)
    (row,) = plans
    assert row["racks"] == -(-100 // row["requests_per_second"])
    assert f"take {row['racks']:,}\u00a0×\u00a0NVIDIA DGX or HGX H100" in at.title[0].value


def test_pools_are_started_each_with_its_own_words(open_page):
    at = open_page("serving", model="Qwen/Qwen2.5-72B", machine="NVIDIA GB300 NVL72", weights="fp8", generate=512)
    first, second = (code.value for code in at.code if "vllm serve" in code.value)
    assert '"kv_role":"kv_producer"' in first
    assert '"kv_role":"kv_consumer"' in second
    for way, word in (("Kubernetes", "nvidia.com/gpu:"), ("SkyPilot", "accelerators: GB300:")):
        at = open_page("serving", model="Qwen/Qwen2.5-72B", machine="NVIDIA GB300 NVL72", generate=512, start=way)
        assert sum(word in code.value for code in at.code) == 2


def test_what_no_machine_holds_says_so(open_page):
    at = open_page("serving", model="deepseek-ai/DeepSeek-V3.1-Terminus", machine="NVIDIA DGX or HGX H100")
    assert "does not run on NVIDIA DGX or HGX H100" in at.title[0].value
    assert "no replica fits" in text_of(at)


def test_targets_that_nothing_meets_are_named(open_page):
    at = open_page("serving", model="Qwen/Qwen3-32B", next=0.5)
    assert "with TPOT too late" in at.title[0].value


def test_other_machines_are_ranked_by_cost(open_page, pictures):
    open_page("serving", model="Qwen/Qwen3-8B", machines="true")
    rows = pictures["machines"].rows
    assert len(rows) == 8
    assert all(row["requests a second"] > 0 for row in rows)


def test_a_model_whose_layers_all_differ_is_not_planned_for(open_page, monkeypatch):
    from pages.shared import plans as asked

    monkeypatch.setattr(asked, "MANY", 10)
    at = open_page("serving", model="Qwen/Qwen3-8B")
    assert any("operations that differ" in e.value for e in at.error)


def test_a_model_with_a_compressed_past_is_planned_for(open_page):
    at = open_page("serving", model="deepseek-ai/DeepSeek-V4-Flash", machine="NVIDIA DGX or HGX B300")
    assert not at.error


def test_a_pool_that_no_rule_knows_is_said(open_page):
    at = open_page("serving", model="google/flan-t5-xl", engine="sglang")
    assert any("SGLang's cache of google/flan-t5-xl is not known" in e.value for e in at.error)
