"""What the pages say first where a model, a number, a device or a link is missing, and one meaning of every limit."""

from __future__ import annotations

import csv
import io

import pytest

from calculator import Workload, errors, fit, load_model
from calculator.hardware import device
from calculator.parallel import Layout
from calculator.search.fewest import fewest, held
from calculator.serving.parts import passed

LATENT, QWEN, H200 = "deepseek-ai/DeepSeek-V3.1", "Qwen/Qwen2.5-7B", "h200-sxm-141gb"
GIB = 2**30


@pytest.fixture
def no_hub(monkeypatch):
    """A Hub that has nothing."""

    def refuse(repo_id, **asked):
        raise errors.ModelNotFoundError(f"{repo_id} is not there.")

    monkeypatch.setattr("calculator.sources.hub.client.fetch_config", refuse)


def test_an_unknown_model_is_the_heading_and_the_nearest_are_a_click_away(open_page, no_hub):
    at = open_page("fit", source="hub", hub="Qwen/Qwen3-32BB", length="max")
    assert [t.value for t in at.title] == ["Qwen/Qwen3-32BB could not be read"]
    assert len(at.main.error) == 1  # the longest context of a model that was not read is no second fault
    assert "Qwen/Qwen3-32B" in [b.label for b in at.button]
    next(b for b in at.button if b.label == "Qwen/Qwen3-32B").click().run()
    assert at.title[0].value.startswith("Qwen3-32B fits on")


def test_a_page_without_a_model_asks_for_one(open_page):
    assert open_page(source="hub").title[0].value == "Which model?"


def test_a_refused_number_is_the_heading(open_page):
    at = open_page()
    at.text_input(key="length").set_value("many").run()
    assert at.title[0].value == "One field holds what cannot be read"
    assert "Length cannot be 'many'" in at.main.error[0].value


def test_what_a_link_loses_is_said_below_the_answer(open_page):
    at = open_page(mode="training")
    said = [e.value for e in at.main if e.type in ("title", "warning")]
    assert said[0].startswith("Qwen2.5-7B in BF16")
    assert "training" in said[1]
    assert "dropped" in said[1]
    assert len(said) == 2


def test_fit_without_a_device_names_the_cheapest(open_page, pictures):
    at = open_page("fit", device="none", model="Qwen/Qwen3-32B", weights="fp8", batch="16", length="32k")
    rows = pictures["fewest_devices"]
    assert at.title[0].value.startswith("Qwen3-32B fits on :primary[")
    assert "the cheapest of" in at.title[0].value
    assert rows.finding.startswith("The cheapest that holds it is ")
    assert not at.info


@pytest.mark.parametrize("page", ["speed", "training"])
def test_a_page_that_needs_a_device_says_so_in_its_heading(open_page, page):
    assert open_page(page, device="none").title[0].value.startswith("Choose a device to see")
    assert open_page("serving", device="none").title[0].value.startswith("Choose a machine to see")


def test_a_latent_cache_is_held_by_copies_of_the_attention(open_page):
    """64 sequences of 32k keep 64 × 32,768 × 61 × 576 × 2 bytes, 137 GiB, which each rank of a tensor group holds
    whole, however many there are; with a copy of the attention on each of eight, each holds an eighth."""
    model, asked = load_model(LATENT), {"max_model_len": 32768, "concurrency": 64}
    group = fit(model, H200, layout=Layout(tp=64), **asked)
    assert not group.fits
    assert group.needed == 64 * 32768 * 61 * 576 * 2
    found = fewest(model, H200, **asked)
    assert found is not None
    assert (found.layout, found.concurrency) == (Layout(tp=8, ep=8, attention_dp=8), 8)
    assert found.needed == group.needed / 8
    assert held(model, H200, 4, **asked).layout == Layout(tp=4)  # where nothing holds it, as engines divide it
    link = {"model": LATENT, "mode": "decode", "batch": "64", "length": "32k"}
    assert "eight\u00a0H200, 94\u00a0% full" in open_page(**link).title[0].value
    at = open_page("fit", **link)
    assert at.title[0].value.startswith("DeepSeek-V3.1 fits on eight\u00a0H200 with vLLM, with room for :primary[88")
    assert open_page("speed", **link).title[0].value.startswith("Each of 64 users reads")


def test_a_pass_is_timed_as_kernels_compute_it(open_page):
    """FLOPs count every query against every key unless asked otherwise; a flash kernel skips what the mask hides."""
    at = open_page(model=QWEN, length="32k")
    w = {"mode": "prefill", "sequence_length": 32768, "attention_flops": "causal", "routing": "uniform"}
    time = passed(load_model(QWEN), Workload(**w), device(H200), Layout(), "vllm").time.expected
    assert at.metric[1].label == "Prefill"
    assert at.metric[1].value == f"{time:.2f} s"
    assert open_page(model=QWEN, length="32k", counting="causal").metric[1].value == at.metric[1].value


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_limit_is_what_the_engine_may_fill(open_page, charts_of, engine):
    """On Fit, Scaling and Compare alike."""
    capacity = fit(load_model(QWEN), H200, engine=engine, max_model_len=4096).capacity
    at = open_page("scaling", engine=engine, vary="batch", to_batch="256", length="32k", mode="decode")
    layers = charts_of(at)[0].spec["layer"]
    drawn = [row["value"] for layer in layers for row in layer["data"]["values"] if set(row) == {"value"}]
    assert drawn == [pytest.approx(capacity / GIB)]


def test_a_device_of_one_s_own(open_page):
    link = {"device": "my own", "own_memory": "48", "own_bandwidth": "960", "own_bf16": "362"}
    assert "one\u00a0custom device, 37\u00a0% full" in open_page(**link).title[0].value
    assert open_page("speed", **link).title[0].value.startswith("One user reads :primary[")
    training = open_page("training", **link)  # no link is known, so one device is all there is
    assert "of one custom device" in training.title[0].value
    assert not training.exception
    assert not training.error
    for page in ("fit", "serving", "compare", "scaling"):
        assert not open_page(page, **link).exception


def test_a_machine_takes_the_place_of_the_sidebar_s_devices(open_page):
    at = open_page("serving", machine="NVIDIA GB300 NVL72", device="L4", price="2")
    assert {"device", "devices"}.isdisjoint({w.key for w in at.selectbox})
    assert "engine" in {w.key for w in at.selectbox}
    at.selectbox(key="machine").set_value("The sidebar's devices").run()
    assert "device" in {w.key for w in at.selectbox}


def test_enter_takes_one_model_not_every_match(open_page):
    at = open_page("compare")
    assert [w.proto.select_all for w in at.multiselect] == [0, 0, 0]


def test_training_s_files_say_on_what_and_how(open_page, downloads):
    open_page("training", model="meta-llama/Llama-3.1-8B", method="qlora", device="GeForce RTX 4090")
    rows = list(csv.DictReader(io.StringIO(downloads["plans.csv"]())))
    said = {(r["device"], r["devices"], r["method"], r["optimizer"], r["trained_in"]) for r in rows}
    assert said == {("GeForce RTX 4090", "1", "qlora", "adamw", "bf16")}
    open_page("speed", device="L4")
    assert {r["device"] for r in csv.DictReader(io.StringIO(downloads["load.csv"]()))} == {"L4"}
