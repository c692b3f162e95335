"""What the pages show, against the engine: headline numbers, charts with their data, tables and files. Every page is
drawn in every mode for models of very different kinds."""

from __future__ import annotations

import csv
import io
import math

import pytest

from calculator import estimate, load_model
from calculator.formats.named import FORMATS
from calculator.record.options import MODES
from calculator.record.vocabulary import COMPONENTS, MEMORY_KINDS, TITLES
from calculator.record.workload import Workload
from calculator.report.why import explain
from calculator.sources import catalogue
from calculator.whatif import as_mixture, balance
from pages.shared.model import packed

PAGES = ("overview", "scaling", "compare", "experts", "methods")
QWEN, MIXTURE = "Qwen/Qwen2.5-7B", "Qwen/Qwen3-30B-A3B"
GPT2, MAMBA = "openai-community/gpt2", "state-spaces/mamba-370m-hf"
LATENT, HYBRID, VISION = "deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen3-Next-80B-A3B-Instruct", "Qwen/Qwen3-VL-8B-Instruct"
MODELS = (QWEN, MIXTURE, LATENT, HYBRID, MAMBA, GPT2, VISION)
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


def approximately(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


# Every page, every mode, every kind of model


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_in_every_mode(open_page, charts_of, page, name):
    at = open_page(page, model=name, mode=MODES[0], **({"section": "model"} if page == "methods" else {}))
    for mode in MODES:
        at.segmented_control(key="mode").set_value(mode).run()
        assert [e.value for e in at.exception] == []
        assert len(at.title) == 1
        bare = page == "experts" and name == MAMBA  # it has no MLP to turn into experts
        assert not at.error
        assert len(at.info) == bare
        if bare:
            continue
        charts = charts_of(at)
        no_cache = page in ("overview", "compare") and mode == "pretraining"
        assert len(charts) == {"overview": 4, "scaling": 4, "compare": 3, "experts": 3, "methods": 0}[page] - no_cache
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
    """It says in words what it shows; every mark has a place: fields exist, numbers are finite, logarithms defined."""
    assert chart.alt.endswith(".")
    assert "nan" not in chart.alt.lower()
    assert chart.rows
    encodings = list(chart.encodings())
    assert {"x", "y"} <= {channel for channel, _ in encodings}
    for channel, definition in encodings:
        cells = chart.column(definition["field"])
        if definition.get("type") == "quantitative":
            assert all(math.isfinite(cell) and cell >= 0 for cell in cells), (chart.alt, channel)
            if definition.get("scale", {}).get("type") == "log":
                assert min(cells) > 0, (chart.alt, channel)
        elif channel in ("color", "shape"):
            assert set(cells) <= set(definition["scale"]["domain"]), (chart.alt, channel)
    across = [d["field"] for channel, d in encodings if channel == "x" and d["type"] == "quantitative"]
    assert max(max(chart.column(field)) for field in across) > 0, chart.alt


@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_a_component_has_one_colour_on_every_chart(open_page, charts_of, name):
    names = [TITLES[component] for component in COMPONENTS]
    found = 0
    for page in ("overview", "experts"):
        for chart in charts_of(open_page(page, model=name)):
            for channel, definition in chart.encodings():
                if channel == "color" and definition["field"] == "component":
                    assert definition["scale"] == {"domain": names}
                    found += 1
    assert found >= 3


# Calculator


@pytest.mark.parametrize(
    ("mode", "memory", "cache", "flops", "intensity"),
    [
        ("prefill", "14.86 GiB", "224.00 MiB", "60.28 TFLOP", "1,002 FLOP/B"),
        ("decode", "14.40 GiB", "224.00 MiB", "15.81 GFLOP", "1.10 FLOP/B"),
    ],
)
def test_the_headline_of_qwen(open_page, mode, memory, cache, flops, intensity):
    # 15,231,233,024 B of weights; 2 x 28 layers x 4 heads x 128 x 4,096 tokens x 2 B = 234,881,024 B of cache.
    assert [m.value for m in open_page(mode=mode).metric] == [memory, cache, flops, intensity]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MODELS, ids=lambda name: name.split("/")[-1])
def test_the_headline_is_the_engines(open_page, name, mode):
    at = open_page(model=name, mode=mode, batch=3, length=1000)
    e = estimate(load_model(name), mode=mode, batch_size=3, sequence_length=1000)
    m = e.memory
    second = m.weights + m.gradients + m.optimizer_states if mode == "pretraining" else m.kv_cache
    assert [number(metric.value) for metric in at.metric] == [
        pytest.approx(amount, rel=0.005) for amount in (m.total, second, e.flops.total, e.intensity)
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
def test_the_charts_of_the_calculator_add_up(open_page, charts_of, name, mode):
    memory, flops, reuse, *caches = charts_of(open_page(model=name, mode=mode))
    e = estimate(load_model(name), mode=mode)
    unit = UNITS_OF_MEMORY[memory.spec["encoding"]["x"]["title"]]
    for kind in MEMORY_KINDS:
        bar = [row["value"] * unit for row in memory.rows if row["label"] == TITLES[kind]]
        assert sum(bar) == approximately(getattr(e.memory, kind))
    unit = UNITS[next(d["title"] for channel, d in flops.encodings() if channel == "x")]
    assert sum(flops.column("value")) * unit == approximately(e.flops.total)
    assert flops.column("value") == sorted(flops.column("value"), reverse=True)
    dots = [r for r in e.rows("operations") if r["traffic"] and r["flops"]]
    assert reuse.column("intensity") == approximately([r["intensity"] for r in dots])
    assert sum(reuse.column("gib")) * GIB == approximately(sum(r["traffic"] for r in dots))
    assert len(caches) == (mode != "pretraining")
    for chart in caches:
        unit = UNITS_OF_MEMORY[next(d["title"] for channel, d in chart.encodings() if channel == "x")]
        known = [r["bytes"] for r in e.rows("engines") if r["bytes"] is not None]
        assert [value * unit for value in chart.column("value")] == approximately([e.memory.kv_cache, *known])


@pytest.mark.parametrize("mode", MODES)
def test_the_tables_of_the_calculator_are_the_engines(open_page, mode):
    at = open_page(model=LATENT, mode=mode, batch=2)
    e = estimate(load_model(LATENT), mode=mode, batch_size=2)
    memory = shown(at)
    assert [r["component"] for r in memory] == [TITLES[r["component"]] for r in e.rows("memory")]
    assert [r["total"] * GIB for r in memory] == approximately([r["total"] for r in e.rows("memory")])
    assert [r["share"] for r in memory] == [r["share"] for r in e.rows("memory")]
    flops = shown(at.segmented_control(key="table").set_value("flops").run())
    scale = sum(r["total"] for r in flops) / e.flops.total
    assert [(r["matmul"], r["other"]) for r in flops] == [
        (approximately(r["matmul"] * scale), approximately(r["other"] * scale)) for r in e.rows("flops")
    ]
    reuse = shown(at.segmented_control(key="table").set_value("reuse").run())
    assert values(reuse, "intensity", "class") == values(e.rows("reuse"), "intensity", "class")
    operations = shown(at.segmented_control(key="table").set_value("operations").run())
    columns = ("operation", "layers", "count", "parameters", "intensity", "class")
    assert values(operations, *columns) == values(e.rows("operations"), *columns)
    assert [r["traffic"] * 2**20 for r in operations] == approximately([r["traffic"] for r in e.rows("operations")])


@pytest.mark.parametrize("name", [MIXTURE, HYBRID, VISION])
@pytest.mark.parametrize("mode", MODES)
def test_the_files_of_the_calculator_hold_the_raw_numbers(open_page, downloads, mode, name):
    open_page(model=name, mode=mode, batch=2)
    e = estimate(load_model(name), mode=mode, batch_size=2)
    short = name.split("/")[-1]
    kept = () if mode == "pretraining" else ("cache", "engines")
    kinds = ("memory", "flops", "reuse", "operations", "formats", *kept)
    assert set(downloads) == {f"{short}_{mode}_{kind}.csv" for kind in kinds}
    for kind in kinds:
        assert parsed(downloads[f"{short}_{mode}_{kind}.csv"]()) == e.rows(kind)


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
    at = open_page()
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
    options = open_page(model=name, mode="decode").selectbox(key="why").options
    assert set(labels) <= set(options)
    assert len(labels) == len(set(labels))


# Scaling


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", ["length", "batch"])
def test_the_sweep_is_the_same_as_one_estimate_after_another(open_page, charts_of, downloads, axis, mode):
    at = open_page("scaling", model=MIXTURE, mode=mode, vary=axis, **{f"to_{axis}": 4096})
    assert not at.exception
    rows = parsed(downloads[f"Qwen3-30B-A3B_{mode}_sweep_{axis}.csv"]())
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
        assert row == {name: approximately(value) for name, value in found.items()}
    memory, kernels, work, _ = charts_of(at)
    last = {row["series"]: row["value"] for row in memory.rows if row["x"] == 4096}
    assert sum(last.values()) * GIB == approximately(rows[-1]["total_bytes"])
    assert sorted(set(memory.column("x"))) == points
    assert all(e >= f for e, f in zip(line(kernels, "eager attention"), line(kernels, "flash attention"), strict=True))
    assert line(work, "all operations") == approximately([row["flops"] for row in rows])
    table, powers = shown(at), [row for row in rows if row[axis] & (row[axis] - 1) == 0]
    assert [row[axis] for row in table] == [row[axis] for row in powers]
    assert [row["total_bytes"] * GIB for row in table] == approximately([row["total_bytes"] for row in powers])


def line(chart, series):
    """The values of a line, from left to right."""
    return [row["value"] for row in chart.rows if row["series"] == series]


def test_eager_attention_outgrows_flash(open_page, charts_of):
    kernels = charts_of(open_page("scaling"))[1]
    assert sorted(set(kernels.column("x")))[-5::4] == [65536, 131072]
    eager, flash = line(kernels, "eager attention"), line(kernels, "flash attention")
    assert eager[-1] / eager[-5] == pytest.approx(4, rel=0.05)
    assert flash[-1] / flash[-5] == pytest.approx(2, rel=0.05)


def test_every_weight_precision_has_a_bar(open_page, charts_of):
    bars = charts_of(open_page("scaling", batch=4))[3]
    for name in ("auto", *FORMATS):
        e = estimate(load_model(QWEN), batch_size=4, dtype=name)
        assert sum(row["value"] for row in bars.rows if row["label"] == name) * GIB == approximately(e.memory.total)


# Compare


def test_the_models_side_by_side(open_page, charts_of, downloads):
    at = open_page("compare", mode="decode", batch=4, length=8192)
    names = [QWEN, "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b"]
    rows = parsed(downloads["comparison_decode.csv"]())
    assert [row["model"] for row in rows] == names
    for row, name in zip(rows, names, strict=True):
        e = estimate(load_model(name), mode="decode", batch_size=4, sequence_length=8192)
        assert (row["parameters"], row["active"]) == (e.model.parameters.total, e.model.parameters.active)
        assert (row["weights"], row["kv_cache"], row["total"]) == (e.memory.weights, e.memory.kv_cache, e.memory.total)
        assert (row["flops"], row["traffic"], row["intensity"]) == (e.flops.total, e.traffic.total, e.intensity)
        assert row["flops_per_token"] * 4 == approximately(e.flops.total)
        assert row["cache_bytes_per_token"] == e.cache_growth
    memory, flops, cache = charts_of(at)
    for row, name in zip(rows, names, strict=True):
        bar = [r["value"] for r in memory.rows if r["label"] == name.split("/")[-1]]
        assert sum(bar) * GIB == approximately(row["total"])
    assert [v * 1e9 for v in flops.column("value")] == approximately([row["flops_per_token"] for row in rows])
    assert [v * 1024 for v in cache.column("value")] == approximately([row["cache_bytes_per_token"] for row in rows])
    assert values(shown(at), "model", "parameters", "layers") == values(rows, "model", "parameters", "layers")
    assert [row["total"] * GIB for row in shown(at)] == approximately([row["total"] for row in rows])


def test_what_is_compared_is_in_the_link(open_page):
    at = open_page("compare", model=GPT2, models=GPT2, precisions="int4")
    assert shown(at)[0]["model"] == GPT2
    assert len(shown(at)) == 1  # the sidebar's model is not shown twice
    at.multiselect(key="models").set_value([QWEN, MAMBA])
    at.multiselect(key="precisions").set_value(["auto", "int4"]).run()
    assert [row["model"] for row in shown(at)] == [GPT2, GPT2, QWEN, QWEN, MAMBA, MAMBA]
    assert len({chart["weights"] for chart in shown(at)}) == 6
    at.multiselect(key="models").set_value([])
    at.multiselect(key="precisions").set_value([]).run()
    assert [row["model"] for row in shown(at)] == [GPT2]
    assert not at.exception


def test_a_model_that_cannot_be_compared_is_ignored_in_a_link(open_page):
    at = open_page("compare", models="no/such-model")
    assert not at.exception
    assert QWEN in [row["model"] for row in shown(at)]


# Experts


def test_the_experts_of_a_mixture(open_page, charts_of, downloads):
    at = open_page("experts", model=MIXTURE, mode="prefill", skew=1.0, capacity=3.0)
    model = load_model(MIXTURE)
    assert [m.value for m in at.metric] == ["30.53B", "3.35B", "128", "28.99B"]
    reached, share, load = charts_of(at)
    sizes = sorted(set(reached.column("x")))
    balanced, uniform = (line(reached, f"{rule} routing") for rule in ("balanced", "uniform"))
    assert (balanced[0], uniform[0]) == (approximately(8), approximately(8))
    assert (balanced[-1], uniform[-1]) == (128, pytest.approx(128, rel=1e-6))
    assert balanced[sizes.index(8)] == approximately(64)
    assert uniform[sizes.index(8)] == approximately(128 * (1 - (1 - 8 / 128) ** 8))
    for batch in (1, 64, 4096):
        e = estimate(model, mode="decode", batch_size=batch, sequence_length=4096, expert_capacity_factor=3.0)
        column = {row["component"]: row["value"] for row in share.rows if row["x"] == batch}
        assert sum(column.values()) == approximately(1)
        assert column["Experts"] == approximately(e.traffic.by_component["experts"] / e.traffic.total)
    even = balance(128, 1.0)
    assert load.column("value") == approximately([share * 128 for share in even.loads])
    rows = parsed(downloads["Qwen3-30B-A3B_prefill_routing.csv"]())
    assert [row["capacity"] for row in rows] == ["dropless", 1, 1.25, 1.5, 2, 4, 3]
    for row in rows:
        factor = None if row["capacity"] == "dropless" else row["capacity"]
        b = balance(128, 1.0, factor)
        assert (row["dropped"], row["padding"]) == (b.dropped, b.padding)
        assert row["flops"] == estimate(model, expert_capacity_factor=factor).flops.by_component["experts"]
    assert values(shown(at), "dropped", "padding", "flops") == values(rows, "dropped", "padding", "flops")


def test_a_dense_model_as_a_mixture(open_page, downloads):
    at = open_page("experts", whatif_experts=16, whatif_top_k=4, whatif_width=4736)
    assert not at.metric
    rows = parsed(downloads["Qwen2.5-7B_prefill_as_experts.csv"]())
    dense = load_model(QWEN)
    mixture = as_mixture(dense, 16, 4, 4736)
    for row, model in zip(rows, (dense, mixture), strict=True):
        e = estimate(model)
        assert (row["parameters"], row["active"]) == (model.parameters.total, model.parameters.active)
        assert (row["memory"], row["flops"], row["traffic"]) == (e.memory.total, e.flops.total, e.traffic.total)
    # 16 experts a quarter as wide, and a router of 16 rows in each of the 28 layers, for one MLP.
    assert mixture.parameters.total - dense.parameters.total == 28 * (3 * 3584 * (16 * 4736 - 18944) + 16 * 3584)
    assert values(shown(at), "parameters", "active", "flops") == values(rows, "parameters", "active", "flops")


def test_more_experts_per_token_than_experts(open_page):
    at = open_page("experts", whatif_experts=2, whatif_top_k=3)
    assert [e.value for e in at.main.error] == ["A token cannot visit 3 of 2 experts; choose at most 2 per token."]
    assert not at.exception


def test_the_routing_of_the_sidebar_changes_the_mixture(open_page, charts_of):
    share = {rule: charts_of(open_page("experts", model=MIXTURE, routing=rule))[1] for rule in ("balanced", "uniform")}
    at_eight = {rule: {r["component"]: r["value"] for r in chart.rows if r["x"] == 8} for rule, chart in share.items()}
    assert at_eight["uniform"]["Experts"] < at_eight["balanced"]["Experts"]


# Methods


def test_the_methods_and_the_validation(open_page):
    methods = open_page("methods").markdown
    assert any("## " in m.value and "FLOP" in m.value for m in methods)
    validation = open_page("methods", section="validation").markdown
    assert any("## Summary" in m.value for m in validation)
    for drawn in (methods, validation):
        assert not any(line.startswith("# ") for m in drawn for line in m.value.splitlines())


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
    text = downloads[f"{name.split('/')[-1]}_{mode}_formulas.csv"]()
    assert list(csv.DictReader(io.StringIO(text))) == [{k: str(v) for k, v in row.items()} for row in expected]
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
        if at.exception or at.error or at.title[0].value != name.split("/")[-1] or len(at.metric) != 4:
            wrong.append(name)
    assert len(by_type) >= 45
    assert wrong == []
