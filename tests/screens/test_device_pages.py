"""Fit, Speed and Training against `fit`, `serve` and `train`."""

from __future__ import annotations

import pytest
from screen import (
    ENCODERS,
    GIB,
    HYBRID,
    LATENT,
    MAMBA,
    MODELS,
    QWEN,
    approximately,
    check,
    parsed,
    values,
)

from calculator import Layout, Training, fit, load_model, speculate, train
from calculator.numbers.units import digits, seconds, size
from calculator.serving.serve import serve
from calculator.training.course import course
from calculator.training.search import plans
from pages.shared.model import packed


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
