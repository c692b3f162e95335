"""The page of scaling against one estimate after another."""

from __future__ import annotations

import pytest
from screen import (
    GIB,
    MIXTURE,
    QWEN,
    UNITS,
    approximately,
    line,
    parsed,
    shown,
)

from calculator import estimate, load_model
from calculator.formats.named import FORMATS
from calculator.record.options import MODES
from calculator.record.vocabulary import MEMORY_KINDS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", ["length", "batch"])
def test_the_sweep_is_the_same_as_one_estimate_after_another(open_page, pictures, downloads, axis, mode):
    at = open_page("scaling", model=MIXTURE, mode=mode, vary=axis, sweep="true", **{f"to_{axis}": "4,096"})
    assert not at.exception
    rows = parsed(downloads[f"sweep_{axis}.csv"]())
    assert rows[-1][axis] == 4096
    points = [row[axis] for row in rows]
    assert points == sorted(set(points))
    model = load_model(MIXTURE)
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        e = estimate(model, mode=mode, batch_size=row["batch"], sequence_length=row["length"])
        found = {f"{kind}_bytes": getattr(e.memory, kind) for kind in (*MEMORY_KINDS, "total")}
        found |= {
            "batch": row["batch"],
            "length": row["length"],
            "flops": e.flops.total,
            "matmul_flops": e.flops.matmul,
            "traffic_bytes": e.traffic.total,
            "intensity": e.intensity,
        }
        assert {name: row[name] for name in found} == {name: approximately(value) for name, value in found.items()}
    across = {"length": "Tokens of each sequence", "batch": "Sequences"}[axis]
    memory = pictures["memory"].rows
    unit = next(UNITS[key] for key in memory[0] if key in UNITS)
    last = sum(v for row in memory if row[across] == 4096 for key, v in row.items() if key in UNITS)
    assert last * unit == approximately(rows[-1]["total_bytes"])
    assert sorted({row[across] for row in memory}) == points
    assert ("kernels" in pictures, "reads" in pictures) == (mode != "decode", mode == "decode")
    if mode != "decode":
        eager, flash = (line(pictures["kernels"], f"{kernel} attention", "GiB") for kernel in ("eager", "flash"))
        assert all(e >= f for e, f in zip(eager, flash, strict=True))
    else:
        t = estimate(model, mode=mode, batch_size=rows[-1]["batch"], sequence_length=rows[-1]["length"]).traffic
        assert line(pictures["reads"], "KV cache", "GiB read a step")[-1] * GIB == approximately(t.cache)
    work = pictures["compute"].rows
    unit = next(key for key in work[0] if key in UNITS)
    assert [v * UNITS[unit] for v in line(pictures["compute"], "all operations", unit)] == approximately(
        [row["flops"] for row in rows]
    )
    table, powers = shown(at), [row for row in rows if row[axis] & (row[axis] - 1) == 0]
    assert [row[axis] for row in table] == [row[axis] for row in powers]
    assert [row["total_bytes"] * GIB for row in table] == approximately([row["total_bytes"] for row in powers])


def test_eager_attention_outgrows_flash(open_page, pictures):
    open_page("scaling")
    kernels = pictures["kernels"]
    assert sorted({row["Tokens of each sequence"] for row in kernels.rows})[-5::4] == [65536, 131072]
    eager, flash = line(kernels, "eager attention", "GiB"), line(kernels, "flash attention", "GiB")
    assert eager[-1] / eager[-5] == pytest.approx(4, rel=0.05)
    assert flash[-1] / flash[-5] == pytest.approx(2, rel=0.05)


def test_every_weight_precision_has_a_bar(open_page, pictures):
    open_page("scaling", batch=4)
    for name in ("auto", *FORMATS):
        e = estimate(load_model(QWEN), batch_size=4, dtype=name)
        label = f"auto ({e.precision})" if name == "auto" else name
        bar = [row["GiB"] for row in pictures["precisions"].rows if row["bar"] == label]
        assert sum(bar) * GIB == approximately(e.memory.total)
