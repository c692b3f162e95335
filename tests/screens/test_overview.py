"""The first page against the engine: headline numbers, charts with their data, tables, files, formulas."""

from __future__ import annotations

import io
import json
import math
import zipfile

import pytest
from screen import (
    FOLDS,
    GIB,
    HYBRID,
    LATENT,
    MAMBA,
    MIXTURE,
    MODELS,
    QWEN,
    UNITS,
    VISION,
    approximately,
    parsed,
    shown,
    values,
)

from calculator import estimate, load_model
from calculator.record.options import MODES
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.record.workload import Workload
from calculator.report.why import explain


@pytest.mark.parametrize(
    ("mode", "memory", "cache", "flops", "intensity"),
    [
        ("prefill", "14.9 GiB", "224 MiB", "60.28 TFLOP", "1,002 FLOP/B"),
        ("decode", "14.4 GiB", "224 MiB", "15.81 GFLOP", "1.10 FLOP/B"),
    ],
)
def test_the_headline_of_qwen(open_page, mode, memory, cache, flops, intensity):
    # 15,231,233,024 B of weights; 2 x 28 layers x 4 heads x 128 x 4,096 tokens x 2 B = 234,881,024 B of cache.
    assert [m.value for m in open_page(mode=mode, device="none").metric] == [memory, cache, flops, intensity]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_the_headline_is_the_engines(open_page, name, mode):
    at = open_page(model=name, mode=mode, batch=3, length=1000, device="none")
    e = estimate(load_model(name), mode=mode, batch_size=3, sequence_length=1000)
    m = e.memory
    second = m.weights + m.gradients + m.optimizer_states if mode == "pretraining" else m.kv_cache
    assert [number(metric.value) for metric in at.metric] == [
        pytest.approx(amount, rel=0.006) for amount in (m.total, second, e.flops.total, e.intensity)
    ]
    said = "\n".join(m.value for m in at.markdown)
    assert f"{e.model.parameters.total:,}" in said
    assert f"{e.model.parameters.active:,}" in said or e.model.parameters.active == e.model.parameters.total


def number(text):
    amount, unit = text.split(" ")
    return float(amount.replace(",", "")) * UNITS[unit]


def test_generation_is_told_in_decode_mode_only(open_page):
    g = estimate(load_model(QWEN), mode="decode", batch_size=2, decode_length=100).generation
    at = open_page(mode="decode", batch=2, generate=100)
    captions = [c.value for c in at.caption if c.value.startswith("Generating")]
    assert len(captions) == 1
    assert captions[0].startswith("Generating 100 tokens for each of 2 sequences: ")
    told = [part.split(": ")[-1].removeprefix("KV cache grows to ").rstrip(".") for part in captions[0].split(", ")]
    assert number(told[0]) == pytest.approx(g.flops.total, rel=0.005)
    assert number(told[1].removesuffix(" moved")) == pytest.approx(g.traffic.total, rel=0.005)
    assert number(told[2]) == pytest.approx(g.kv_cache, rel=0.005)
    assert not [c for c in open_page().caption if c.value.startswith("Generating")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [QWEN, LATENT, MAMBA])
def test_the_charts_of_the_calculator_add_up(open_page, pictures, name, mode):
    open_page(model=name, mode=mode, device="none", engines="true")
    e = estimate(load_model(name), mode=mode)
    memory = [row for row in pictures["memory_by_kind"].rows if row["bar"] == "As asked"]
    unit = next(UNITS[key] for key in memory[0] if key in UNITS)
    amounts = {row["part"]: value for row in memory for key, value in row.items() if key in UNITS}
    for kind in MEMORY_KINDS:
        assert amounts.get(TITLES[kind], 0) * unit == approximately(getattr(e.memory, kind))
    flops = [row["FLOP"] for row in pictures["flops_by_component"].rows]
    assert sum(flops) == approximately(e.flops.total)
    assert flops == sorted(flops, reverse=True)
    dots = [r for r in e.rows("operations") if r["traffic"] and r["flops"]]
    reuse = pictures["intensity"].rows
    assert [r["flop_per_byte"] for r in reuse] == approximately([r["intensity"] for r in dots])
    assert sum(r["GiB moved"] for r in reuse) * GIB == approximately(sum(r["traffic"] for r in dots))
    assert ("cache_by_engine" in pictures) == (mode != "pretraining")
    if mode != "pretraining":
        known = [r["bytes"] for r in e.rows("engines") if r["bytes"] is not None]
        assert [r["bytes"] for r in pictures["cache_by_engine"].rows] == [e.memory.kv_cache, *known]


def test_the_answer_names_devices(open_page, pictures):
    # 34.3 GB of FP8 weights and 137.4 GB of cache are 160 GiB: more than the 126 GiB that vLLM uses of one H200. Half
    # of it, 5.6 GiB of the sampler's profile run and 0.5 of NCCL are 68 % of 126.
    at = open_page(model="Qwen/Qwen3-32B", weights="fp8", mode="decode", batch=16, length="32k")
    said = at.title[0].value.replace("\u00a0", " ")
    assert said == "Qwen3-32B in FP8 with 16 × 32k tokens needs :primary[160 GiB]: two H200, 68 % full."
    assert {row["bar"] for row in pictures["memory_by_kind"].rows} == {
        "As asked",
        "With 4-bit weights",
        "With an FP8 cache",
    }
    assert pictures["time_by_part"].finding.startswith("Attention takes")
    one = open_page(model="Qwen/Qwen3-32B", weights="fp8", mode="decode", batch=16, length="32k", devices="1")
    assert "too much for one H200" in one.title[0].value.replace("\u00a0", " ")


@pytest.mark.parametrize("mode", MODES)
def test_the_tables_of_the_calculator_are_the_engines(open_page, mode):
    at = open_page(model=LATENT, mode=mode, batch=2, breakdown="true")
    e = estimate(load_model(LATENT), mode=mode, batch_size=2)
    memory = shown(at)
    assert [r["component"] for r in memory] == [TITLES[r["component"]] for r in e.rows("memory")]
    for row, raw in zip(memory, e.rows("memory"), strict=True):
        for name, unit in (("total", GIB), ("share", 1)):
            if raw[name] / unit >= 0.0005:
                assert row[name] * unit == approximately(raw[name])
            else:
                assert math.isnan(row[name])  # a dash, not 0.000 of something
    flops = shown(at.segmented_control(key="table").set_value("compute").run())
    largest = max(e.rows("flops"), key=lambda r: r["total"])
    scale = next(r["total"] for r in flops if r["component"] == TITLES[largest["component"]]) / largest["total"]
    for row, raw in zip(flops, e.rows("flops"), strict=True):
        for name in ("matmul", "other"):
            assert row[name] == approximately(raw[name] * scale) or (
                math.isnan(row[name]) and raw[name] * scale < 0.0005
            )
    reuse = shown(at.segmented_control(key="table").set_value("intensity").run())
    assert values(reuse, "intensity", "class") == values(e.rows("reuse"), "intensity", "class")
    operations = shown(at.segmented_control(key="table").set_value("operations").run())
    columns = ("operation", "layers", "count", "parameters", "intensity", "class")
    assert values(operations, *columns) == values(e.rows("operations"), *columns)
    for row, raw in zip(operations, e.rows("operations"), strict=True):
        assert row["traffic"] * 2**20 == approximately(raw["traffic"]) or raw["traffic"] < 0.0005 * 2**20


@pytest.mark.parametrize("name", [MIXTURE, HYBRID, VISION])
@pytest.mark.parametrize("mode", MODES)
def test_the_files_of_the_calculator_hold_the_raw_numbers(open_page, downloads, mode, name):
    open_page(model=name, mode=mode, batch=2)
    e = estimate(load_model(name), mode=mode, batch_size=2)
    short = name.split("/")[-1]
    kept = () if mode == "pretraining" else ("cache", "engines")
    kinds = ("memory", "flops", "reuse", "operations", "formats", *kept)
    stem = f"{short}_{mode}_b2_n4096_auto"
    assert {f for f in downloads if f.startswith(short)} == {
        f"{stem}_overview.zip",
        *(f"{stem}_{k}.csv" for k in kinds),
    }
    for kind in kinds:
        rows = parsed(downloads[f"{stem}_{kind}.csv"]())
        assert [{k: row[k] for k in raw} for row, raw in zip(rows, e.rows(kind), strict=True)] == e.rows(kind)
        assert {(row["model"], row["mode"], row["batch"], row["length"]) for row in rows} == {(name, mode, 2, 4096)}
    with zipfile.ZipFile(io.BytesIO(downloads[f"{stem}_overview.zip"]())) as archive:
        names = archive.namelist()
        assert {f"{stem}_{kind}.csv" for kind in kinds} < set(names)
        for chart in (n for n in names if n.endswith(".vl.json")):
            assert json.loads(archive.read(chart))["description"].endswith(".")
            assert len(archive.read(chart.replace(".vl.json", ".csv")).splitlines()) > 1


def test_what_is_folded_is_made_when_it_is_opened(open_page, charts_of):
    at = open_page()
    assert (len(charts_of(at)), len(at.dataframe), len(at.table)) == (3, 0, 0)
    for fold, drawn in zip(FOLDS, [(3, 1, 0), (4, 0, 0), (3, 0, 1)], strict=True):
        at = open_page(**{fold: "true"})
        assert (len(charts_of(at)), len(at.dataframe), len(at.table)) == drawn
    for field, kinds in (("table", (1, 0)), ("why", (0, 1))):  # a link that names a field opens its fold
        at = open_page(**{field: "operations" if field == "table" else "FLOPs"})
        assert (len(at.dataframe), len(at.table)) == kinds


def test_why_a_total_is_what_it_is(open_page):
    e = estimate(load_model(QWEN))
    for total, expected in (
        ("FLOPs", e.flops.total),
        ("Parameters", e.model.parameters.total),
        ("Weights", e.memory.weights),
        ("KV cache and state", e.memory.kv_cache),
        ("Activation peak", e.memory.activations),
        ("Weight traffic", e.traffic.weights),
    ):
        rows = open_page(why=total).table[0].value
        assert rows["Total"].iloc[-1] == f"**{expected:,}**"
    listed = [int(cell.replace(",", "")) for cell in open_page(why="FLOPs").table[0].value["Total"].iloc[:-1]]
    assert sum(listed) == e.flops.total
    first = open_page(why="FLOPs").table[0].value.iloc[0]
    assert (first["Formula, per layer"], first["With the values"]) == ("2·B·S·d·d_ff", "2·1·4096·3584·18944")


def test_why_one_operation_is_what_it_is(open_page):
    at = open_page(formulas="true")
    options = at.selectbox(key="why").options
    listed = explain(load_model(QWEN), Workload())
    assert next(o for o in options if "model.layers" in o) == "input_layernorm · model.layers.0-27"
    wanted = next(x for x in listed if x.operation.name == "self_attn.q_proj")
    rows = at.selectbox(key="why").set_value("self_attn.q_proj · model.layers.0-27").run().table[0].value
    assert list(rows["Formula, per layer"]) == [f.symbols for f in wanted.formulas.values()]
    assert list(rows["Per layer"]) == [f"{f.value:,}" for f in wanted.formulas.values()]


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_every_operation_can_be_asked_why(open_page, name):
    listed = [x.operation for x in explain(load_model(name), Workload(mode="decode"))]
    labels = [f"{op.name} · {op.layers}".rstrip(" ·") for op in listed]
    options = open_page(model=name, mode="decode", formulas="true").selectbox(key="why").options
    assert set(labels) <= set(options)
    assert len(labels) == len(set(labels))
