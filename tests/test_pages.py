"""What the pages show, against the engine: headline numbers, charts with their data, tables and files. Every page is
drawn in every mode for models of very different kinds."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zipfile
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from calculator import Layout, Training, estimate, fit, load_model, speculate, train
from calculator.formats.named import FORMATS
from calculator.numbers.units import digits, seconds, size
from calculator.record.options import MODES
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.record.workload import Workload
from calculator.report.charts import KINDS, PARTS
from calculator.report.why import explain
from calculator.serving.serve import serve
from calculator.sources import catalogue
from calculator.training.course import course
from calculator.training.search import plans
from calculator.whatif import as_mixture, balance
from pages.shared.model import packed

PAGES = ("overview", "scaling", "compare", "experts", "methods")
ASKED = ("model", "mode", "batch", "length", "weights_as", "precision")
CHARTS = {"overview": 4, "scaling": 5, "compare": 1, "experts": 3, "methods": 0}
FOLDS = ("breakdown", "engines", "formulas")
OPENED = {"overview": dict.fromkeys(FOLDS, "true"), "scaling": {"sweep": "true"}, "methods": {"section": "model"}}
QWEN, MIXTURE = "Qwen/Qwen2.5-7B", "Qwen/Qwen3-30B-A3B"
GPT2, MAMBA = "openai-community/gpt2", "state-spaces/mamba-370m-hf"
LATENT, HYBRID, VISION = "deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen3-Next-80B-A3B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"
MODELS = (QWEN, MIXTURE, LATENT, HYBRID, MAMBA, GPT2, VISION)
ROOT = Path(__file__).parents[1]
GIB = 2**30
UNITS_OF_MEMORY = {"GiB": 2**30, "MiB": 2**20}


def values(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def shown(at, place=0):
    """The rows of a table."""
    return at.dataframe[place].value.to_dict("records")


def parsed(text):
    """A CSV file with its numbers as numbers."""

    def number(cell):
        for kind in (int, float):
            try:
                return kind(cell)
            except ValueError:
                continue
        return cell

    return [{name: number(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]


def bare(rows):
    """Rows of a file without what was asked, which every row repeats."""
    assert all(name in row for row in rows for name in ASKED)
    return [{k: v for k, v in row.items() if k not in ASKED} for row in rows]


def approximately(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


# Every page, every mode, every kind of model


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_in_every_mode(open_page, charts_of, page, name):
    at = open_page(page, model=name, mode=MODES[0], **OPENED.get(page, {}))
    for mode in MODES:
        at.segmented_control(key="mode").set_value(mode).run()
        assert [e.value for e in at.exception] == []
        assert len(at.title) == 1
        empty = page == "experts" and name == MAMBA  # it has no MLP to turn into experts
        assert not at.error
        assert len(at.info) == empty
        if empty:
            continue
        charts = charts_of(at)
        no_cache = page == "overview" and mode == "pretraining"
        assert len(charts) == CHARTS[page] - no_cache
        for chart in charts:
            check(chart)
        assert len({chart.alt for chart in charts}) == len(charts)
        assert len(at.dataframe) == {"overview": 1, "experts": 1 if load_model(name).experts else 2}.get(page, 1)
        for table in at.dataframe:
            assert len(table.value) > 0
            assert table.proto.alt
            assert not table.value.map(lambda cell: isinstance(cell, float) and math.isinf(cell)).to_numpy().any()


ENCODERS = {
    "bert": {"model_type": "bert", "architectures": ["BertForSequenceClassification"]},
    "modernbert": {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]},
    "albert": {"model_type": "albert", "architectures": ["AlbertModel"]},
}


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_an_encoder(open_page, charts_of, page, kind):
    link = {"source": "upload", "config": packed(ENCODERS[kind])}
    at = open_page(page, **link, mode=MODES[0], **({"section": "model"} if page == "methods" else {}))
    for mode in MODES:
        at.segmented_control(key="mode").set_value(mode).run()
        assert [e.value for e in at.exception] == []
        if mode == "decode":
            assert [e.value for e in at.error if "generates no tokens" in e.value]
            continue
        assert not at.error
        assert len(at.info) == (page == "experts")
        for chart in charts_of(at):
            check(chart)
    if page == "overview":
        at.segmented_control(key="mode").set_value("prefill").run()
        assert any(c.value.endswith("logits of all positions.") for c in at.caption)


def check(chart):
    """It says in words what it finds; every mark has a place: fields exist, numbers are finite, logarithms defined."""
    assert chart.alt.endswith(".")
    assert "nan" not in chart.alt.lower()
    assert chart.alt.split()[0] not in ("Chart", "Bars", "Lines")
    encodings = list(chart.encodings())
    assert {"x", "y"} <= {channel for channel, *_ in encodings}
    for channel, definition, cells in encodings:
        assert cells
        if definition.get("type") == "quantitative":
            assert all(math.isfinite(cell) and cell >= 0 for cell in cells), (chart.alt, channel)
            scale = definition.get("scale", {})
            if scale.get("type") == "log":
                assert min(cells) > 0, (chart.alt, channel)
            if channel in ("x", "y") and "domain" in scale:
                low, high = scale["domain"]
                assert low < high
                assert low <= min(cells) <= max(cells) <= high * 1.0001, (chart.alt, channel)
        elif channel == "color" and definition.get("scale"):
            assert set(cells) <= set(definition["scale"]["domain"]), (chart.alt, channel)


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_a_component_has_one_colour_on_every_chart(open_page, charts_of, name):
    known = PARTS | KINDS | {"Links": "#0B7780", "Engine": "#6B655C", "Temporary": "#8F897E"}
    found = 0
    for page in ("overview", "speed", "experts"):
        for chart in charts_of(open_page(page, model=name)):
            for channel, definition, _ in chart.encodings():
                if channel == "color" and definition["field"] in ("component", "part"):
                    scale = definition["scale"]
                    pairs = dict(zip(scale["domain"], scale["range"], strict=True))
                    assert pairs == {n: known[n] for n in pairs}
                    found += 1
    assert found >= 2


# Calculator


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


UNITS = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "FLOP/B": 1,
    "FLOP": 1,
    "MFLOP": 1e6,
    "GFLOP": 1e9,
    "TFLOP": 1e12,
    "PFLOP": 1e15,
    "EFLOP": 1e18,
}


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


# Scaling


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


def line(chart, series, unit):
    """The values of a line, from left to right."""
    return [row[unit] for row in chart.rows if row["series"] == series]


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


# Compare


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


# Experts


def test_the_experts_of_a_mixture(open_page, pictures, downloads):
    at = open_page("experts", model=MIXTURE, mode="prefill", skew=1.0, capacity=3.0)
    model = load_model(MIXTURE)
    assert [m.value for m in at.metric] == ["30.53B", "3.35B", "128", "28.99B"]
    reached, share, load = (pictures[name] for name in ("experts_read", "bytes_moved", "load"))
    sizes = sorted({row["Sequences"] for row in reached.rows})
    balanced, uniform = (line(reached, f"{rule} routing", "Experts") for rule in ("balanced", "uniform"))
    assert (balanced[0], uniform[0]) == (approximately(8), approximately(8))
    assert (balanced[-1], uniform[-1]) == (128, pytest.approx(128, rel=1e-6))
    assert balanced[sizes.index(8)] == approximately(64)
    assert uniform[sizes.index(8)] == approximately(128 * (1 - (1 - 8 / 128) ** 8))
    for batch in (1, 64, 4096):
        e = estimate(model, mode="decode", batch_size=batch, sequence_length=4096, expert_capacity_factor=3.0)
        column = {row["series"]: row["Share of bytes"] for row in share.rows if row["Sequences"] == batch}
        assert sum(column.values()) == approximately(1)
        assert column["Experts"] == approximately(e.traffic.by_component["experts"] / e.traffic.total)
    even = balance(128, 1.0)
    assert [row["Load over mean"] for row in load.rows] == approximately([share * 128 for share in even.loads])
    rows = parsed(downloads["routing.csv"]())
    assert [row["capacity"] for row in rows] == ["dropless", 1, 1.25, 1.5, 2, 4, 3]
    for row in rows:
        factor = None if row["capacity"] == "dropless" else row["capacity"]
        b = balance(128, 1.0, factor)
        assert (row["dropped"], row["padding"]) == (b.dropped, b.padding)
        assert row["flops"] == estimate(model, expert_capacity_factor=factor).flops.by_component["experts"]
    assert values(shown(at), "dropped", "padding") == values(rows, "dropped", "padding")


def test_the_load_of_every_expert_is_drawn(open_page, charts_of):
    for model, experts in (("mistralai/Mixtral-8x7B-v0.1", 8), (MIXTURE, 128)):
        bars = charts_of(open_page("experts", model=model))[2].rows("rect")
        assert [(row["x0"], row["x1"]) for row in bars] == [(n, n + 1) for n in range(experts)]


def test_a_dense_model_as_a_mixture(open_page, downloads):
    at = open_page("experts", whatif_experts=16, whatif_top_k=4, whatif_width=4736)
    assert not at.metric
    assert at.title[0].value.startswith("What if Qwen2.5-7B were a mixture?")
    rows = parsed(downloads["as_experts.csv"]())
    dense = load_model(QWEN)
    mixture = as_mixture(dense, 16, 4, 4736)
    for row, model in zip(rows, (dense, mixture), strict=True):
        e = estimate(model)
        assert (row["parameters"], row["active"]) == (model.parameters.total, model.parameters.active)
        assert (row["memory_bytes"], row["flops"], row["traffic_bytes"]) == (
            e.memory.total,
            e.flops.total,
            e.traffic.total,
        )
    # 16 experts a quarter as wide, and a router of 16 rows in each of the 28 layers, for one MLP.
    assert mixture.parameters.total - dense.parameters.total == 28 * (3 * 3584 * (16 * 4736 - 18944) + 16 * 3584)
    assert values(shown(at), "parameters", "active") == values(rows, "parameters", "active")


def test_more_experts_per_token_than_experts(open_page):
    at = open_page("experts", whatif_experts=2, whatif_top_k=3)
    assert [e.value for e in at.main.error] == ["A token cannot visit 3 of 2 experts; choose at most 2 per token."]
    assert not at.exception


def test_the_routing_of_the_sidebar_changes_the_mixture(open_page, pictures):
    at_eight = {}
    for rule in ("balanced", "uniform"):
        open_page("experts", model=MIXTURE, routing=rule)
        at_eight[rule] = {r["series"]: r["Share of bytes"] for r in pictures["bytes_moved"].rows if r["Sequences"] == 8}
    assert at_eight["uniform"]["Experts"] < at_eight["balanced"]["Experts"]


# Methods


def test_the_methods_and_the_validation_are_pages_with_links(open_page):
    for section, file in (("methods", "METHODS.md"), ("validation", "VALIDATION.md")):
        chapters = re.findall(r"(?m)^## (.+)$", (ROOT / "docs" / file).read_text(encoding="utf-8"))
        at = open_page("methods", section=section)
        links = [e.proto for e in at.get("page_link")]
        assert [link.label for link in links[:-1]] == chapters[1:]  # the first one is shown
        assert links[-1].label == f"Next: {chapters[1]}"
        assert f"**{chapters[0]}**" in [m.value for m in at.markdown]
        assert [h.value for h in at.header] == [chapters[0]]
        for title, link in zip(chapters[1:], links, strict=False):
            named = dict(parse_qsl(link.query_string))
            assert named.get("section", "methods") == section
            part = open_page("methods", section=section, chapter=named["chapter"])
            assert [h.value for h in part.header] == [title]
            said = [m.value for m in part.markdown]
            assert not any(line.startswith("# ") for text in said for line in text.splitlines())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [QWEN, LATENT, HYBRID])
def test_every_formula_of_a_model(open_page, downloads, name, mode):
    at = open_page("methods", section="model", model=name, mode=mode)
    expected = [
        {
            "operation": x.operation.name,
            "layers": x.operation.layers,
            "amount": amount,
            "formula": f.symbols,
            "values": f.values,
            "value": f.value,
            "count": x.operation.count,
        }
        for x in explain(load_model(name), Workload(mode=mode))
        for amount, f in x.formulas.items()
    ]
    assert shown(at) == expected
    found = list(csv.DictReader(io.StringIO(downloads["formulas.csv"]())))
    assert [{k: row[k] for k in expected[0]} for row in found] == [
        {k: str(v) for k, v in row.items()} for row in expected
    ]
    assert "| B | batch size | 1 |" in "\n".join(m.value for m in at.markdown)


# All architectures


def test_a_model_of_every_type_is_drawn(open_page):
    at = open_page()
    by_type = {}
    for entry in catalogue.entries():
        by_type.setdefault(entry.config["model_type"], entry.id)
    wrong = []
    for name in by_type.values():
        at.selectbox(key="model").set_value(name).run()
        if at.exception or at.error or name.split("/")[-1] not in at.title[0].value or len(at.metric) != 4:
            wrong.append(name)
    assert len(by_type) >= 45
    assert wrong == []


# Fit, Speed, Training


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
@pytest.mark.parametrize("page", ["fit", "speed", "training"])
def test_the_pages_of_devices(open_page, charts_of, page, name):
    for device in ("H200", "RTX 4090", "none"):
        at = open_page(page, model=name, device=device, batch=4)
        assert [e.value for e in at.exception] == []
        assert [e.value for e in at.error] == []
        assert len(at.title) == 1
        assert len(at.metric) in (0, 4)
        for chart in charts_of(at):
            check(chart)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers"])
def test_fit_is_what_the_engine_s_rules_say(open_page, downloads, pictures, engine):
    asked = {"max_model_len": 32768, "concurrency": 16, "engine": engine, "dtype": "fp8"}
    link = {"model": "Qwen/Qwen3-32B", "weights": "fp8", "batch": 16, "length": "32k", "engine": engine}
    at = open_page("fit", **link, devices="1")
    f = fit(load_model("Qwen/Qwen3-32B"), "H200", **asked)
    assert not f.fits
    said = at.title[0].value.replace("\u00a0", " ")
    assert said.startswith(
        f"Qwen3-32B with 16 sequences of 32k tokens is :primary[{size(f.short_by)}] too much for one H200"
    )
    assert all(fix.short in said for fix in f.fixes[:2])
    assert values(parsed(downloads["shares.csv"]()), "name", "bytes", "source") == values(
        f.rows(), "name", "bytes", "source"
    )
    drawn = {row["part"]: row["GiB"] * GIB for row in pictures["memory"].rows}
    assert sum(drawn.values()) == approximately(f.capacity + f.short_by) == approximately(f.taken)
    assert drawn["KV cache"] == approximately(16 * 64 * 8 * 128 * 2 * 2 * 32768)
    fixes = parsed(downloads["fixes.csv"]())
    assert [row["fix"].lstrip("'") for row in fixes] == [fix.short for fix in f.fixes]  # no formula in a spreadsheet
    assert fixes
    said = [m.value for m in at.markdown]
    assert all(any(f"**{fix.short}**" in text and fix.meaning in text for text in said) for fix in f.fixes)
    assert not any("qwen" in block.value.lower() for block in at.code if "\n" in block.value)


@pytest.mark.parametrize("name", [MAMBA, HYBRID, LATENT], ids=lambda name: name.split("/")[-1])
@pytest.mark.parametrize("engine", ["sglang", "tensorrt-llm", "llama.cpp", "transformers"])
def test_fit_of_every_kind_of_cache_under_every_engine(open_page, charts_of, engine, name):
    for count in ("fewest", "1"):
        at = open_page("fit", model=name, engine=engine, batch=2, length=3000, device="RTX 4090", devices=count)
        assert [e.value for e in at.exception] == []
        assert [e.value for e in at.error] == []
        assert len(at.metric) == 4
        for chart in charts_of(at):
            check(chart)


def test_fit_of_an_encoder_says_that_it_generates_nothing(open_page):
    at = open_page("fit", source="upload", config=packed(ENCODERS["bert"]))
    assert [e.value for e in at.exception] == []
    assert any("generates no tokens" in e.value for e in at.error)


def test_the_map_of_fit_is_one_fit_after_another(open_page, charts_of, pictures, downloads):
    at = open_page("fit", model=QWEN, device="RTX 4090", batch=3, length=5000, devices="1")
    rows = pictures["map"].rows
    assert {row["sequences"] for row in rows} == {1, 2, 3, 4, 8, 16, 32, 64}
    assert {row["tokens"] for row in rows} == {1024, 2048, 4096, 5000, 8192, 16384, 32768, 65536}
    model = load_model(QWEN)
    for row in rows:
        one = fit(model, "rtx-4090", max_model_len=row["tokens"], concurrency=row["sequences"])
        assert row["fits"] == one.fits
        assert row["share"] == approximately(one.needed / one.cache_pool)
    assert {row["fits"] for row in rows} == {True, False}
    assert values(parsed(downloads["map.csv"]()), "sequences", "tokens", "share") == values(
        rows, "sequences", "tokens", "share"
    )
    chart = next(c for c in charts_of(at) if "combinations fit" in c.alt)
    assert chart.alt.startswith(f"{sum(row['fits'] for row in rows)} of 64 combinations fit")
    command = next(block.value for block in at.code if "vllm serve" in block.value)
    assert "--max-model-len 5000" in command


def test_what_would_make_it_fit_on_half_the_devices(open_page, downloads):
    at = open_page("fit", model="Qwen/Qwen3-32B", batch=1, length="8k", device="RTX 4090")
    assert at.metric[1].value == "4"
    fixes = parsed(downloads["fixes.csv"]())
    assert [(row["fix"], row["devices"]) for row in fixes] == [("fp8 weights", 2), ("int4 weights", 2)]


def test_speed_is_what_serve_says(open_page, downloads):
    at = open_page("speed", model="Qwen/Qwen3-32B", weights="fp8", batch=16, length="32k", generate="1k", devices="2")
    s = serve(
        load_model("Qwen/Qwen3-32B"),
        device="H200",
        devices=2,
        prompt_length=32768,
        output_length=1024,
        concurrency=16,
        dtype="fp8",
    )
    assert [m.value for m in at.metric] == [
        seconds(s.tpot.expected),
        seconds(s.ttft.expected),
        f"{digits(s.output_tokens_per_second)} tok/s",
        f"${s.cost_per_million_tokens:,.2f}",
    ]
    loads = {row["users"]: row for row in parsed(downloads["load.csv"]())}
    assert loads[16]["next_token_ms"] == approximately(1e3 * s.tpot.expected)


def test_training_is_what_the_search_and_train_say(open_page, pictures, downloads):
    at = open_page("training", model="Qwen/Qwen3-8B", length=8192, devices="8", zero="3", recompute="full", tokens="1T")
    model = load_model("Qwen/Qwen3-8B")
    found = plans(model, device="H200", devices=8, sequence_length=8192, global_batch=512, zero=3, recompute="full")
    best = found[0]
    t = train(
        model,
        sequence_length=8192,
        batch_size=best.batch_size,
        micro_batches=best.micro_batches,
        device="H200",
        layout=best.layout,
        training=Training(zero=3, recompute="full"),
    )
    assert at.metric[0].value == size(t.peak)
    assert at.metric[1].value == seconds(t.step_time.expected)
    assert at.metric[3].label == "1T tokens"
    assert at.metric[3].value == seconds(t.days(1e12) * 86400)
    asked = [row["GiB"] for row in pictures["memory_by_strategy"].rows if row["bar"] == "As asked"]
    assert sum(asked) * GIB == pytest.approx(t.peak, rel=1e-6)
    assert sum(row["s"] for row in pictures["time_by_term"].rows) == pytest.approx(
        sum(s for s in t.step_time.terms.values()), rel=0.01
    )
    rows = parsed(downloads["plans.csv"]())
    assert [row["step_s"] for row in rows] == [p.step_time.expected for p in found]
    assert [row["usd"] for row in rows] == [p.cost(1e12) for p in found]


def test_the_course_of_a_step_ends_when_the_step_does_and_peaks_where_it_does():
    t = train(load_model("Qwen/Qwen3-8B"), device="H200", devices=8, zero=2, recompute="full", micro_batches=4)
    phases, moments = course(t)
    terms = t.step_time.terms
    once = sum(terms[name] for name in ("bubble", "copies", "update"))
    scale = t.step_time.expected / sum(terms.values())
    assert phases[-1].end == pytest.approx(scale * ((sum(terms.values()) - once) / 4 + once))
    assert [a.end for a in phases[:-1]] == [b.start for b in phases[1:]]
    assert max(m.size for m in moments) == max(e.total for e in t.events)
    assert [m.second for m in moments] == sorted(m.second for m in moments)
    # Backward computes twice what forward does, and forward once more; attention's backward 2.5 times.
    forward, backward = (p.end - p.start for p in phases[:2])
    assert 2.9 < backward / forward < 3.6


def test_one_card_is_told_what_fits(open_page, downloads):
    at = open_page("training", model="meta-llama/Llama-3.1-8B", device="GeForce RTX 4090", devices="1")
    said = at.title[0].value.replace("\u00a0", " ")
    t = train(load_model("meta-llama/Llama-3.1-8B"), device="rtx-4090", recompute="full", micro_batches=1024)
    assert f"{size(t.short_by)} too much. {t.fixes[0].words} fits with {size(t.fixes[0].peak)}." in said
    rows = parsed(downloads["fixes.csv"]())
    assert [(row["peak_bytes"], row["saved_bytes"]) for row in rows] == [(f.peak, f.saved) for f in t.fixes]


@pytest.mark.parametrize("trainer", ["torchtitan", "deepspeed", "megatron", "axolotl", "trl"])
def test_a_recipe_is_handed_to_every_trainer(open_page, trainer):
    at = open_page("training", model="Qwen/Qwen3-8B", devices="8")
    at.segmented_control(key="trainer").set_value(trainer).run()
    found = plans(load_model("Qwen/Qwen3-8B"), device="H200", devices=8, global_batch=1024)
    assert at.code[-1].value == found[0].export(trainer).rstrip()
    adapters = open_page("training", model="Qwen/Qwen3-8B", devices="1", method="lora")
    adapters.segmented_control(key="trainer").set_value(trainer).run()
    refused = any("no words for adapters" in i.value for i in adapters.info)
    assert refused == (trainer in ("torchtitan", "megatron"))


def test_a_draft_is_in_one_budget_with_its_target(open_page, pictures, downloads):
    asked = {"model": "Qwen/Qwen3-32B", "mode": "decode", "batch": 16, "length": "32k"}
    open_page(**asked, draft="Qwen/Qwen3-0.6B")
    both = speculate(
        load_model("Qwen/Qwen3-32B"), load_model("Qwen/Qwen3-0.6B"), mode="decode", batch_size=16, sequence_length=32768
    )
    rows = parsed(downloads["draft.csv"]())
    assert [row["total"] for row in rows] == [row["total"] for row in both.rows()]
    drawn = [row["GiB"] * GIB for row in pictures["memory_with_draft"].rows if row["bar"] == "Both"]
    assert sum(drawn) == approximately(both.total)
    refused = open_page(**asked, draft="mtp")
    assert [e.value for e in refused.error] != []
    assert refused.metric


def test_the_engine_s_own_memory_stands_in_the_bars(open_page, pictures):
    open_page(model="Qwen/Qwen3-32B", weights="fp8", mode="decode", batch=16, length="32k")
    f = fit(load_model("Qwen/Qwen3-32B"), "H200", layout=Layout(tp=2), max_model_len=32768, concurrency=16, dtype="fp8")
    asked = {row["part"]: row["GiB"] * GIB for row in pictures["memory_by_kind"].rows if row["bar"] == "As asked"}
    assert sum(asked.values()) == approximately(2 * f.taken)
