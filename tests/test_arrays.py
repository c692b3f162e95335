"""Workloads that are NumPy arrays, against the scalar estimates element by element: one small config of every recorded
type, with lengths and cache formats that divide nothing evenly."""

from __future__ import annotations

import numpy as np
import pytest
import test_golden

from calculator import estimate
from calculator.errors import WorkloadError
from calculator.numbers.symbolic import symbol

# A variation of each type; the class default where that is all there is.
SMALL = {c["model_type"]: c for c in sorted(test_golden.RUNS, key=lambda c: c["name"] != "default")}
BATCH, LENGTH = np.arange(1, 4)[:, None], np.array([[17, 33, 64]])
RUNS = (
    {"mode": "prefill"},
    {"mode": "prefill", "attention_flops": "causal", "flash_block_size": 13},
    {"mode": "decode", "kv_dtype": "int4"},
    {"mode": "pretraining"},
)


def amounts(e) -> tuple:
    return e.memory.total, e.memory.kv_cache, e.flops.total, e.flops.matmul, e.traffic.total


@pytest.mark.parametrize("model_type", SMALL)
def test_arrays_equal_scalars(model_type):
    model = test_golden.model_of(SMALL[model_type])
    for options in RUNS:
        try:
            grid = amounts(estimate(model, batch_size=BATCH, sequence_length=LENGTH, **options))
        except WorkloadError:
            with pytest.raises(WorkloadError):
                estimate(model, batch_size=1, sequence_length=17, **options)
            continue
        assert {found.shape for found in grid} == {(3, 3)}
        for i, j in np.ndindex(3, 3):
            one = estimate(model, batch_size=int(BATCH[i, 0]), sequence_length=int(LENGTH[0, j]), **options)
            assert tuple(int(found[i, j]) for found in grid) == amounts(one), (options, i, j)


@pytest.mark.parametrize("divisor", [2, 3, 8])
def test_division_rounds_down_like_an_int(divisor):
    numbers = np.arange(1, 50)
    for made in (lambda n: 3 * n, lambda n: n * n + n, lambda n: 24 * n, lambda n: (n + 1) // 2 + n):
        found = (made(symbol("n", numbers)) // divisor).value()
        assert found.dtype == np.int64
        assert found.tolist() == [made(n) // divisor for n in numbers.tolist()]
