"""Racks, and the commands that start engines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import calculator
from calculator import Layout, Model, fit, provision, racks, serve
from calculator.cli import main
from calculator.engines.memory.start import COMMANDS, command, engine_flags, kubernetes, shell, skypilot
from calculator.errors import WorkloadError
from calculator.search.racks import Traffic

H100 = "h100-sxm-80gb"


@cache
def load(name: str) -> Model:
    return calculator.load_model(name)


@pytest.mark.parametrize("name", ["deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen2.5-72B"])
def test_a_gb300_rack_has_a_whole_plan(name: str) -> None:
    plan = provision(load(name), "gb300-nvl72", {"requests_per_second": 10})
    assert plan.prefill
    assert plan.decode
    used = sum(phase.devices * phase.replicas for phase in (plan.prefill, plan.decode))
    assert used <= 72
    assert plan.fits, plan.guards
    assert plan.cost_per_million_tokens
    assert plan.joules_per_token
    assert {row["bottleneck"] for row in plan.rows()} <= {"products", "memory", "collectives", "launches"}
    assert plan.decode.batch <= plan.decode.fit.sequences * plan.decode.fit.layout.attention_dp
    assert not plan.together
    capacity = plan.prefill.tokens_per_second * plan.prefill.replicas / 4096
    assert plan.requests_per_second < capacity  # whose queue would have no end
    assert plan.requests_per_second <= plan.decode.tokens_per_second * plan.decode.replicas / 1024 * (1 + 1e-12)
    assert plan.ttft
    assert plan.tpot
    assert plan.ttft <= 2
    assert plan.tpot <= 0.05


@pytest.mark.parametrize("rack", ["gb300-nvl72", "dgx-h100"])
def test_users_of_a_rack_that_is_asked_for_less_wait_less(rack: str) -> None:
    """Pools and replicas that do both: times rise with the rate up to those of the most that the rack carries."""
    model, seen = load("Qwen/Qwen2.5-72B"), []
    most = provision(model, rack).most
    assert most
    for share in (0.1, 0.5, 0.9, 1.0):
        plan = provision(model, rack, {"requests_per_second": share * most.requests_per_second})
        assert plan.asked
        assert plan.most == most
        seen.append((plan.asked.ttft, plan.asked.tpot, plan.asked.users))
    assert seen == sorted(seen)
    assert seen[0][2] < seen[-1][2] / 5
    assert seen[-1] == pytest.approx((most.ttft, most.tpot, most.users), rel=1e-6)
    doubled = provision(model, rack, {"requests_per_second": 1.9 * most.requests_per_second})
    assert doubled.racks == 2
    assert doubled.asked
    assert doubled.asked.requests_per_second == pytest.approx(0.95 * most.requests_per_second)


def test_steps_that_take_a_leap_do_not_end_the_queue_early() -> None:
    """At 65 sequences a B300's step takes another wave of tiles and serves fewer than at 53; 53 carry the rate."""
    plan = provision(
        load("Qwen/Qwen2.5-72B"),
        "gb300-nvl72",
        {"prompt_length": 8192, "output_length": 512, "ttft": 3.0, "tpot": 0.04},
        dtype="fp8",
    )
    assert plan.fits, plan.guards
    assert plan.tpot
    assert plan.tpot <= 0.04


def test_a_model_that_takes_the_whole_machine_reads_and_generates_on_it() -> None:
    model = load("deepseek-ai/DeepSeek-V3.1")
    plan = provision(model, "dgx-h200")
    assert plan.prefill
    assert plan.decode
    assert (plan.together, plan.decode.replicas, plan.decode.devices) == (True, 1, 8)
    assert plan.fits, plan.guards
    # What the plan carries, `serve` carries: the same times for the same arrivals.
    lengths = {"prompt_length": 4096, "output_length": 1024}
    rate = plan.requests_per_second * (1 - 1e-9)
    at = serve(model, device="h200-sxm-141gb", layout=plan.decode.fit.layout, request_rate=rate, **lengths)
    assert (at.ttft.expected, at.tpot.expected) == pytest.approx((plan.ttft, plan.tpot), rel=1e-6)
    assert at.batch == plan.decode.batch
    with pytest.raises(WorkloadError, match="the queue grows without end"):
        serve(model, device="h200-sxm-141gb", layout=plan.decode.fit.layout, request_rate=200.0, **lengths)


def test_pools_leave_room_for_each_other() -> None:
    """The layout with the most generated tokens a device takes all eight, and leaves none for prompts."""
    plan = provision(load("Qwen/Qwen3-32B"), "dgx-h100")
    assert plan.fits, plan.guards
    assert plan.requests_per_second > 5
    assert plan.output_tokens_per_second == plan.requests_per_second * 1024


def test_a_slower_first_token_carries_more() -> None:
    rates = [provision(load("Qwen/Qwen2.5-72B"), "gb300-nvl72", {"ttft": t}).requests_per_second for t in (0.5, 2, 8)]
    assert rates == sorted(rates)
    hit = provision(load("Qwen/Qwen2.5-72B"), "gb300-nvl72", {"prefix_hit": 0.5})
    assert hit.requests_per_second > rates[1]


def test_the_command_line_gives_the_same_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Qwen/Qwen3-8B", "--provision", "dgx-h100", "--requests-per-second", "5", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    plan = provision(load("Qwen/Qwen3-8B"), "dgx-h100", {"requests_per_second": 5}).to_dict()
    assert (printed.pop("schema"), printed.pop("tool")["name"]) == (1, "transformer-calculator")
    assert printed == json.loads(json.dumps(plan))


def test_what_no_rack_holds_says_so() -> None:
    plan = provision(load("deepseek-ai/DeepSeek-V3.1"), "dgx-h100")
    assert plan.prefill is None
    assert not plan.fits
    assert "does not run on NVIDIA DGX or HGX H100" in plan.verdict


def test_every_rack_is_made_of_a_known_device() -> None:
    for rack in racks():
        assert calculator.device(rack.device).memory > 0
        assert rack.source


@pytest.mark.parametrize(
    ("rack", "traffic", "said"),
    [
        ("gb900", {}, "Rack 'gb900' is not known"),
        ("dgx-h100", {"users": 3}, "Traffic has no 'users'"),
        ("dgx-h100", {"prefix_hit": 1.0}, "prefix_hit of the traffic must be a share"),
        ("dgx-h100", {"ttft": 0}, "ttft of the traffic must be a number above 0"),
    ],
)
def test_unknown_racks_and_traffic_are_refused(rack: str, traffic: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkloadError, match=said):
        provision(load("Qwen/Qwen3-8B"), rack, traffic)


LAYOUTS = [Layout(), Layout(tp=8, ep=8), Layout(tp=8, ep=8, attention_dp=8), Layout(tp=4, pp=2, dp=2)]


@pytest.mark.parametrize("engine", COMMANDS)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_flag_is_one_of_the_engine(engine: str, layout: Layout) -> None:
    cache_type = {"llama.cpp": "q8_0", "tensorrt-llm": "auto"}.get(engine, "fp8")
    found = fit(
        load("Qwen/Qwen3-30B-A3B"),
        "h200-sxm-141gb",
        engine,
        layout,
        max_model_len=8192,
        dtype="q8_0" if engine == "llama.cpp" else "fp8",
        kv_dtype=cache_type,
    )
    flags = [word for word in command(found) if word.startswith("--")]
    assert len(flags) == len(set(flags))
    assert set(flags) <= set(engine_flags()[engine]["flags"])
    assert shell(found).replace(" \\\n  ", " ").split() == command(found)


def test_settings_that_have_a_flag_are_the_engines_own() -> None:
    from calculator.engines.memory.settings import SETTINGS

    for engine, known in SETTINGS.items():
        own = engine_flags().get(engine, {"flags": []})["flags"]
        assert all(setting.flag in own for setting in known.values() if setting.flag), engine


def test_a_command_of_vllm() -> None:
    found = fit(load("Qwen/Qwen3-32B"), H100, layout=Layout(tp=2), max_model_len=32768, dtype="fp8", kv_dtype="fp8")
    assert command(found) == [
        *("vllm", "serve", "Qwen/Qwen3-32B", "--max-model-len", "32768", "--gpu-memory-utilization", "0.9"),
        *("--tensor-parallel-size", "2", "--max-num-seqs", "1024", "--max-num-batched-tokens", "8192"),
        *("--quantization", "fp8", "--kv-cache-dtype", "fp8"),
    ]


def test_resource_blocks() -> None:
    found = fit(load("deepseek-ai/DeepSeek-V3.1"), H100, layout=Layout(tp=8, pp=2), max_model_len=8192)
    assert kubernetes(found).startswith("# 2 pods like this one\nresources:\n  requests:\n    nvidia.com/gpu: 8\n")
    assert re.search(r"num_nodes: 2\nresources:\n  accelerators: H100:8\n  disk_size: \d+\n", skypilot(found))


@pytest.mark.parametrize(("device", "status"), [("80GiB", 0), ("h100", 0), ("24GB", 1), ("l4", 1)])
def test_scripts_ask_by_the_exit_status(device: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["Qwen/Qwen3-14B", "--fits", device, "--max-model-len", "8192"]
    assert main(said) == status
    assert ("fits:" if status == 0 else "does not fit") in capsys.readouterr().out


def test_the_command_line_solves_and_launches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Qwen/Qwen3-8B", "--solve", "max-context", "--device", "rtx-4090"]) == 0
    assert "tokens of context" in capsys.readouterr().out
    assert main(["Qwen/Qwen3-8B", "--fits", "h100", "--launch", "--max-model-len", "8192"]) == 0
    assert "vllm serve Qwen/Qwen3-8B" in capsys.readouterr().out


def test_the_command_line_reads_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "vllm.log"
    log.write_text(
        "vLLM API server version 0.11.0\nnon-default args: {'max_model_len': 16000, 'block_size': 128}\n"
        "Model loading took 14.99 GiB\nAvailable KV cache memory: 51.38 GiB\nGPU KV cache size: 420,864 tokens\n"
    )
    assert main(["meta-llama/Llama-3.1-8B", "--vllm-log", str(log), "--device", H100]) == 0
    out = capsys.readouterr().out
    assert "Available KV cache memory" in out
    assert "+0.0" in out
    assert main(["meta-llama/Llama-3.1-8B", "--vllm-log", str(log)]) == 2


@pytest.mark.parametrize("rack", ["gb300-nvl72", "dgx-h100", "mi300x-8"])
def test_prompts_never_take_more_than_all_the_time(rack: str) -> None:
    """Few prompts come with a step of short answers, so each takes longer than in a full chunk: their queue is counted
    at the seconds that they then take, and never grows backwards."""
    traffic = Traffic(prompt_length=4096, output_length=64)
    plan = provision(load("Qwen/Qwen2.5-7B"), rack, traffic)
    assert plan.prefill is not None
    assert plan.ttft is not None
    assert plan.prefill.seconds < plan.ttft <= traffic.ttft
    for share in (0.2, 0.6, 0.95):
        asked = replace(traffic, requests_per_second=share * plan.requests_per_second)
        at = provision(load("Qwen/Qwen2.5-7B"), rack, asked)
        assert at.ttft is not None
        assert plan.prefill.passed.bound < at.ttft
