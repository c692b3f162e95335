"""The questions turned round."""

from __future__ import annotations

from functools import cache

import pytest

import calculator
from calculator import Layout, Model, fit, solve
from calculator.errors import WorkloadError
from calculator.search.largest import largest


@cache
def load(name: str) -> Model:
    return calculator.load_model(name)


H100 = "h100-sxm-80gb"


def test_the_fewest_devices_are_enough_and_one_less_is_not() -> None:
    model = load("Qwen/Qwen3-32B")
    found = solve(model, "min-devices", H100, max_model_len=32768, concurrency=16, dtype="fp8")
    assert found.best
    assert found.best.fit.fits
    count = int(found.best.devices)
    assert found.value == count
    fewer = [
        fit(model, H100, layout=Layout(tp=tp, pp=pp), max_model_len=32768, concurrency=16, dtype="fp8")
        for tp in (1, 2, 4, 8)
        for pp in range(1, 9)
        if tp * pp == count - 1
    ]
    assert not any(one.fits for one in fewer)


def test_the_longest_context_fits_and_a_longer_does_not() -> None:
    found = solve(load("meta-llama/Llama-3.1-8B"), "max-context", "rtx-4090")
    assert found.fit
    assert found.value
    length = int(found.value)
    assert found.fit.again(max_model_len=length).fits
    assert not found.fit.again(max_model_len=length + 16).fits


def test_the_largest_batch_is_the_best_of_all_layouts() -> None:
    found = solve(load("Qwen/Qwen3-32B"), "max-batch", H100, devices=8, max_model_len=8192)
    values = [row["value"] for row in found.rows()]
    assert values == sorted(values, reverse=True)
    assert found.best
    assert found.best.devices == 8
    assert found.best.fit.again(concurrency=found.best.fit.sequences).fits
    assert not found.best.fit.again(concurrency=found.best.fit.sequences + 1, max_num_seqs=10**6).fits


def test_the_cheapest_costs_no_more_than_any_other() -> None:
    found = solve(load("Qwen/Qwen3-8B"), "cheapest", ["rtx-4090", H100, "l40s"], max_model_len=8192)
    assert found.value == min(row["value"] for row in found.rows())
    assert "costs least on" in found.verdict


def test_users_within_a_latency_target() -> None:
    model = load("Qwen/Qwen3-8B")
    question = {"devices": 1, "max_model_len": 2048, "prompt_length": 1024, "output_length": 512}
    free = solve(model, "max-concurrency", H100, **question)
    bound = solve(model, "max-concurrency", H100, tpot=0.012, **question)
    assert free.value
    assert bound.value
    assert 1 <= bound.value < free.value
    assert bound.best
    assert bound.best.tpot
    assert bound.best.tpot <= 0.012


def test_what_does_not_fit_says_by_how_much() -> None:
    found = solve(load("deepseek-ai/DeepSeek-V3.1"), "max-batch", H100, devices=2)
    assert found.value is None
    assert "The nearest" in found.verdict
    assert "short by" in found.verdict


def test_an_unknown_goal_is_refused() -> None:
    with pytest.raises(WorkloadError, match="goal 'fastest' is not known"):
        solve(load("Qwen/Qwen3-8B"), "fastest", H100)


def test_more_stages_of_what_is_late_for_one_user_are_not_tried() -> None:
    """The answer is that of all layouts, from a fraction of them."""
    targets = {"max_model_len": 8192, "ttft": 2.0, "tpot": 0.05}
    found = solve(load("Qwen/Qwen3-32B"), "min-devices", "a10", concurrency=64, **targets)
    assert not found.candidates
    assert found.late
    assert found.asked < 40
    best = solve(load("Qwen/Qwen3-32B"), "min-devices", H100, concurrency=64, **targets)
    assert best.value == 4
    for count in (1, 2, 3):
        fewer = solve(load("Qwen/Qwen3-32B"), "max-concurrency", H100, devices=count, **targets)
        assert (fewer.value or 0) < 64


def test_users_whom_one_replica_keeps_waiting_get_several() -> None:
    """The fewest devices within targets, checked against every layout of fewer and of as many devices."""
    model = load("Qwen/Qwen2.5-72B")
    asked = {"prompt_length": 4000, "output_length": 500, "ttft": 5.0, "tpot": 0.05}
    found = solve(model, "min-devices", H100, max_model_len=8192, concurrency=200, **asked)
    assert found.value == 20
    assert found.layout == Layout(tp=4, dp=5)
    for count in (16, 19, 20):
        most = solve(model, "max-concurrency", H100, devices=count, max_model_len=8192, **asked)
        assert ((most.value or 0) >= 200) == (count >= found.value)


def test_targets_that_no_layout_keeps_are_named_with_what_comes_nearest() -> None:
    found = solve(load("Qwen/Qwen3-8B"), "max-concurrency", H100, devices=4, tpot=1e-3, ttft=1e-3, max_model_len=2048)
    assert found.value is None
    assert found.late
    assert found.fit is found.late.fit
    assert found.verdict.startswith(
        "None of 6 layouts of Qwen/Qwen3-8B keeps the targets of time. The nearest, 4 × H100"
    )


def test_no_more_sequences_than_the_engine_runs_at_once() -> None:
    """vLLM runs 1,024 at once by default, whatever its cache holds."""
    found = solve(load("Qwen/Qwen3-8B"), "min-devices", H100, max_model_len=16, concurrency=3000)
    assert found.value == 3
    none = solve(load("Qwen/Qwen3-8B"), "min-devices", H100, max_model_len=16, concurrency=400_000)
    assert "runs 65,536, which is the engine's limit" in none.verdict


def test_a_layout_that_is_given_is_answered_whatever_its_size() -> None:
    found = solve(load("Qwen/Qwen3-8B"), "min-devices", H100, layout=Layout(tp=8, dp=16), max_model_len=2048)
    assert found.asked == 1
    assert found.value == 128


@pytest.mark.parametrize("power", [0.5, 1, 2])
@pytest.mark.parametrize("most", [0, 1, 2, 100, 2**31])
def test_the_largest_number_within_a_bound(power: float, most: int) -> None:
    for slope in (1e-9, 1e-4, 0.1, 2.0):
        seen = []

        def of(n: int, slope: float = slope, seen: list[int] = seen) -> float:
            seen.append(n)
            return 0.2 + slope * float(n) ** power

        found = largest(most, of)
        assert len(seen) <= 64
        assert found == most or of(found + 1) > 1
        assert found == 0 or of(found) <= 1
