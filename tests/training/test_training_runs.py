"""Measured runs beside the prediction: docs/VALIDATION.md shows each, these hold what was reached."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from calculator import Layout, Training, device, load_model, train
from calculator.training.recipe import tables

sys.path.insert(0, str(Path(__file__).parents[2]))
from docs import training_runs


def errors(source: str, kind: str) -> tuple[int, float, float]:
    check = training_runs.data()["no_calibration"]
    known = [run for run in training_runs.runs() if run.source == source or run.source not in check]
    members = [run for run in known if source in (run.source, "all")]
    return training_runs.quantiles(getattr(run, f"{kind}_error") for run in members)


@pytest.mark.parametrize(
    ("source", "rows", "median", "most"),
    [
        ("h200", 16, 0.005, 0.01),
        ("simumax", 23, 0.01, 0.03),
        ("fms-acceleration", 19, 0.01, 0.04),
        ("all", 85, 0.012, 0.08),
        ("torchtitan", 13, 0.08, 0.1),
    ],
)
def test_peaks(source, rows, median, most):
    count, middle, high = errors(source, "memory")
    assert count == rows
    assert middle <= median
    assert high <= most


@pytest.mark.parametrize(
    ("source", "rows", "median", "most"),
    [("simumax", 23, 0.05, 0.15), ("korthikanti", 8, 0.08, 0.15), ("fms-acceleration", 19, 0.05, 0.12)],
)
def test_times(source, rows, median, most):
    count, middle, high = errors(source, "time")
    assert count == rows
    assert middle <= median
    assert high <= most


def test_times_of_all_runs_that_state_their_inputs():
    known = [run for run in training_runs.runs() if training_runs.calibrated(run)]
    count, middle, high = training_runs.quantiles(run.time_error for run in known)
    assert count == 170
    assert middle <= 0.08
    assert high <= 0.22


def test_no_run_is_faster_than_the_bound():
    for run in training_runs.runs():
        assert run.seconds is None or run.seconds > run.bound, run.id


def test_verdicts():
    judged = [run for run in training_runs.runs() if run.fits is not None]
    wrong = {run.id for run in judged if run.fits != run.predicted_fits}
    assert len(judged) == 89
    assert wrong == set()


def test_hardly_a_peak_is_underestimated():
    """By more than a fifth: one, whose source prints what the allocator reserved."""
    low = [run.id for run in training_runs.runs() if run.memory_error is not None and run.memory_error < -0.2]
    assert low == ["torchtitan-70b-fsdp32-tp8"]


def test_devices_whose_runs_the_time_was_fitted_to():
    """Others have a wider range, and say so."""
    timed = {"tokens_per_second", "seconds", "mfu"}
    fitted = [r for r in training_runs.data()["rows"] if timed & set(r["measured"]) and isinstance(r["device"], str)]
    assert tables()["measured"] == sorted({device(r["device"]).id for r in fitted})
    times = [
        train(load_model("Qwen/Qwen3-8B"), device=d, layout=Layout(dp=8), training=Training(zero=3)).step_time
        for d in ("h100-sxm-80gb", "mi300x")
    ]
    assert [t.measured for t in times if t] == [True, False]
    lows = [t.low / t.expected for t in times if t]
    highs = [t.high / t.expected for t in times if t]
    assert lows[1] < lows[0]
    assert highs[1] > highs[0]
