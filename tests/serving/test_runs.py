"""`serve` on a sample of measured runs: how far off it is in the median, and that no run is without an answer."""

from __future__ import annotations

from statistics import median, quantiles

from docs import serving_runs


def test_the_sample_is_predicted_as_well_as_the_page_says():
    runs = serving_runs.runs()
    assert len(runs) == 490
    assert median(r.tpot for r in runs) < 0.12
    assert quantiles([r.tpot for r in runs], n=10)[-1] < 0.45
    assert median(r.ttft for r in runs) < 0.30


def test_few_runs_beat_the_bound():
    """Those whose source does not say that they decoded speculatively, or that never reached their concurrency."""
    assert sum(r.beats for r in serving_runs.runs()) <= 10
