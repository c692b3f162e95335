"""What visitors do: find a model, change the workload, follow a link, go back, reload, download, upload."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Visitor
from playwright.sync_api import Page, expect

from calculator import estimate, load_model
from calculator.numbers import units as fmt

QWEN = load_model("Qwen/Qwen2.5-7B")
GPT2 = load_model("openai-community/gpt2")
TITLES = ["Overview", "Fit", "Speed", "Serving", "Training", "Compare"]
LINK = "model=openai-community/gpt2&mode=decode&batch=7&length=512&weights=int8"
HEADINGS = {
    "": re.compile(r"^gpt2 in INT8 with 7\s×\s512 tokens needs"),
    "fit": re.compile(r"^gpt2 fits on one\sH200 with vLLM, with room for [\d,]+ sequences of 512 tokens\.$"),
    "speed": re.compile("^Each of 7 users reads"),
    "serving": re.compile(r"^One\sH200 carries [\d,.]+\srequests a second of gpt2 from"),
    "training": re.compile("^Training all of gpt2 takes"),
    "compare": re.compile("is fastest"),
}
CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}


def choose(page: Page, key: str, option: str) -> None:
    """Press a button of a segmented control."""
    page.locator(f".st-key-{key}").get_by_text(option, exact=True).click()


def expect_numbers(page: Page, model, **workload) -> None:
    """The headline is the engine's."""
    e = estimate(model, **workload)
    metrics = page.get_by_test_id("stMetricValue")
    expect(metrics).to_have_text(
        [fmt.size(e.memory.total), re.compile("s$"), fmt.flops(e.flops.total), fmt.intensity(e.intensity)]
    )


def expect_the_link(page: Page) -> None:
    """The sidebar says what LINK says, as far as the page has fields for it; the address says all of it."""
    expect(page.locator(".st-key-model input")).to_have_value("openai-community/gpt2")
    expect(page.locator(".st-key-length input")).to_have_value("512")
    if "/training" in page.url:  # which has a recipe in place of these
        expect(page.locator(".st-key-recompute input")).to_be_visible()
        expect(page.locator(".st-key-weights, .st-key-kv, .st-key-batch, .st-key-generate")).to_have_count(0)
    else:
        expect(page.locator(".st-key-weights input")).to_have_value("int8")
        if "/serving" in page.url:  # which asks about a traffic
            expect(page.locator(".st-key-batch")).to_have_count(0)
        else:
            expect(page.locator(".st-key-batch input")).to_have_value("7")
        expect(page.locator(".st-key-generate input")).to_be_visible()
    assert parameters(page) == parameters_of(LINK)


def parameters(page: Page) -> set[str]:
    return parameters_of(page.url.partition("?")[2])


def parameters_of(query: str) -> set[str]:
    return set(query.replace("%2F", "/").split("&"))


def test_a_model_is_found_by_typing_and_its_numbers_follow_the_mode(visit, server):
    visitor = visit(server)
    page = visitor.open()
    expect_numbers(page, QWEN)
    expect(page).to_have_title("Overview · Transformer calculator")
    page.locator(".st-key-model input").click()
    page.keyboard.type("community/gpt2")
    page.get_by_role("option").first.click()
    expect(page.locator("h1")).to_contain_text("gpt2 in")
    expect_numbers(page, GPT2, sequence_length=1024)
    choose(page, "mode", "decode")
    expect_numbers(page, GPT2, mode="decode", sequence_length=1024)
    visitor.settled()
    assert parameters(page) == {"model=openai-community/gpt2", "mode=decode"}
    page.locator(".st-key-batch input").fill("16")
    page.keyboard.press("Enter")
    expect_numbers(page, GPT2, mode="decode", sequence_length=1024, batch_size=16)
    visitor.settled()
    other = visit(server).open(f"?{page.url.partition('?')[2]}")  # whoever gets the link sees the same
    expect_numbers(other, GPT2, mode="decode", sequence_length=1024, batch_size=16)


@pytest.mark.parametrize("path", HEADINGS)
def test_the_first_visitor_of_a_cold_server_opens_a_deep_link(visit, cold_server, path):
    visitor = visit(cold_server)
    page = visitor.open(f"{path}?{LINK}")
    expect(page.locator("h1")).to_have_text(HEADINGS[path])
    expect(visitor.links()).to_have_text([re.compile(f"{title}$") for title in TITLES])
    expect_the_link(page)
    following = "fit" if path == "" else ""
    visitor.go(TITLES[list(HEADINGS).index(following)])
    expect(page.locator("h1")).to_have_text(HEADINGS[following])
    visitor.settled()
    expect_the_link(page)


@pytest.mark.parametrize("path", ["nosuchpage", "overview"])
def test_an_unknown_page_falls_back_to_the_first_and_keeps_the_link(visit, server, path):
    visitor = visit(server)
    page = visitor.open(f"{path}?{LINK}")
    expect(page.locator("h1")).to_contain_text("gpt2 in")
    visitor.settled()
    expect_the_link(page)


def test_a_click_on_the_map_asks_for_what_it_shows(visit, server):
    visitor = visit(server)
    page = visitor.open("fit?model=Qwen/Qwen3-32B")
    place = page.locator("[aria-label*='x: 16k; y: 8;']").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".st-key-length input")).to_have_value("16,384")
    expect(page.locator(".st-key-batch input")).to_have_value("8")
    expect(page.locator("h1")).to_contain_text("of 16k tokens")
    visitor.settled()
    assert parameters(page) == {"model=Qwen/Qwen3-32B", "batch=8", "length=16%2C384"}


def step(visitor: Visitor, way: str, path: str) -> None:
    """Back or forward to another page: a page that put back what the way to it lost is two steps of history, one that
    also hides a field whose value it keeps is three. A slow machine may see one of these twice."""
    for _ in range(4):
        getattr(visitor.page, way)()
        visitor.page.wait_for_timeout(500)
        page = visitor.settled()
        if page.url.partition("?")[0].endswith(f"/{path}"):
            return


def test_back_forward_and_reload_keep_every_value(visit, server):
    visitor = visit(server)
    page = visitor.open(f"?{LINK}")
    expect(page.locator("h1")).to_contain_text("gpt2 in")
    for title, path in zip(TITLES[1:], list(HEADINGS)[1:], strict=True):
        visitor.go(title)
        expect(page.locator("h1")).to_have_text(HEADINGS[path])
        visitor.settled()
        expect_the_link(page)
    for path in list(HEADINGS)[-2::-1]:
        step(visitor, "go_back", path)
        expect(page.locator("h1")).to_have_text(HEADINGS[path])
        visitor.settled()
        expect_the_link(page)
    step(visitor, "go_forward", "fit")
    expect(page.locator("h1")).to_have_text(HEADINGS["fit"])
    visitor.settled()
    expect_the_link(page)
    page.reload()
    visitor.settled()
    expect(page.locator("h1")).to_have_text(HEADINGS["fit"])
    expect_the_link(page)


def test_the_files_hold_the_raw_numbers(visit, server):
    page = visit(server).open(f"?{LINK}")
    e = estimate(GPT2, mode="decode", batch_size=7, sequence_length=512, dtype="int8")
    page.locator(".st-key-data button").first.click()
    for kind in ("memory", "flops", "reuse", "operations"):
        with page.expect_download() as started:
            page.locator(f".st-key-csv_{kind} button").click()
        assert started.value.suggested_filename == f"gpt2_decode_b7_n512_int8_{kind}.csv"
        rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text(encoding="utf-8"))))
        raw = [{name: str(value) for name, value in row.items()} for row in e.rows(kind)]
        assert [{name: row[name] for name in raw[0]} for row in rows] == raw
        assert {row["model"] for row in rows} == {"openai-community/gpt2"}
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(fmt.size(e.memory.total))  # which stays


def test_the_pictures_are_saved_as_svg(visit, server):
    page = visit(server).open(f"?{LINK}&engines=true")
    expect(page.get_by_test_id("stVegaLiteChart").locator("svg.marks")).to_have_count(4)
    saved = []
    page.on("download", lambda download: saved.append(download))
    page.locator(".st-key-data button").first.click()
    page.get_by_role("button", name="Pictures (SVG)").click()
    names = ("memory_by_kind", "roofline", "time_by_part", "cache_by_engine")
    for _ in range(200):  # at most 20 s
        if len(saved) < len(names):
            page.wait_for_timeout(100)
    assert [d.suggested_filename for d in saved] == [f"gpt2_decode_b7_n512_int8_{name}.svg" for name in names]
    for each in saved:
        drawn = ElementTree.fromstring(Path(each.path()).read_text(encoding="utf-8"))
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(drawn.findall(".//{http://www.w3.org/2000/svg}text")) > 3


def test_the_sweep_as_a_file(visit, server):
    page = visit(server).open("scaling?vary=batch&to_batch=16")
    page.locator(".st-key-data button").first.click()
    with page.expect_download() as started:
        page.locator(".st-key-csv_sweep_batch button").click()
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text(encoding="utf-8"))))
    assert [rows[0]["batch"], rows[-1]["batch"]] == ["1", "16"]
    assert rows[-1]["flops"] == str(estimate(QWEN, batch_size=16).flops.total)


def test_the_link_is_copied_by_a_button_that_needs_no_pointer_to_hover(visit, server):
    visitor = visit(server, 390)
    page = visitor.open(f"?{LINK}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".st-key-link button").first.click()
    copy = page.locator(".st-key-copy button")
    expect(copy).to_be_visible()
    copy.click()
    expect(copy).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(f"{server}/?")
    assert parameters_of(copied.partition("?")[2].replace(",", "%2C")) == parameters_of(LINK)


def test_a_name_that_is_not_there_is_one_click_from_the_nearest(visit, server):
    visitor = visit(server)
    page = visitor.open("?source=hub&hub=Qwen/Qwen3-32BB")
    expect(page.locator("h1")).to_have_text("Qwen/Qwen3-32BB could not be read")
    page.get_by_role("button", name="Qwen/Qwen3-32B", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Qwen3-32B in BF16")
    visitor.settled()
    assert parameters(page) == {"source=hub", "hub=Qwen/Qwen3-32B"}


def test_a_machine_hides_the_sidebar_s_devices_and_loses_none_of_their_values(visit, server):
    visitor = visit(server)
    page = visitor.open("serving?device=H100%20SXM5%2080GB&devices=2&price=0.5")
    expect(page.locator("h1")).to_have_text(re.compile(r"^Two\sH100 carry"))
    page.locator(".st-key-machine input").click()
    page.keyboard.type("GB300")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("NVIDIA GB300 NVL72 carries")
    expect(page.locator(".st-key-device, .st-key-devices, .st-key-price")).to_have_count(0)
    visitor.settled()
    visitor.go("Fit")
    expect(page.locator(".st-key-device input")).to_have_value("H100 SXM5 80GB")
    expect(page.locator(".st-key-devices input")).to_have_value("2")
    expect(page.locator(".st-key-price input")).to_have_value("0.5")
    visitor.settled()
    visitor.go("Serving")
    expect(page.locator("h1")).to_contain_text("NVIDIA GB300 NVL72 carries")
    expect(page.locator(".st-key-device")).to_have_count(0)
    visitor.settled()
    assert {"device=H100+SXM5+80GB", "devices=2", "price=0.5"} <= parameters(page)


def test_two_models_are_compared_by_typing_their_names(visit, server):
    visitor = visit(server)
    page = visitor.open("compare?mode=decode&batch=64")
    page.locator(".st-key-choose_models button").first.click()
    field = page.locator(".st-key-models input")
    page.locator(".st-key-models").get_by_role("button", name=re.compile("^Clear")).click()
    expect(page.locator("h1")).to_contain_text("Qwen2.5-7B")
    for name in ("gpt-oss-120b", "Qwen3-235B-A22B"):
        field.click()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        visitor.settled()
    page.keyboard.press("Escape")
    page.locator(".st-key-own").get_by_text("The sidebar's").click()
    expect(page.locator("h1")).to_have_text(re.compile(r"^gpt-oss-120b is fastest.* Qwen3-235B-A22B takes"))


def test_a_config_is_uploaded_and_shared(visit, server):
    visitor = visit(server)
    page = visitor.open()
    choose(page, "source", "file")
    expect(page.get_by_test_id("stAlert")).to_contain_text("Upload a model's config.json")
    file = {"name": "config.json", "mimeType": "application/json", "buffer": json.dumps(CONFIG).encode()}
    page.locator(".st-key-config_file input[type=file]").set_input_files(file)
    expect_numbers(page, load_model(CONFIG))
    visitor.settled()
    expect(page).to_have_url(re.compile("source=file.*config=|config=.*source=file"))
    choose(page, "mode", "decode")
    expect_numbers(page, load_model(CONFIG), mode="decode")
    visitor.settled()
    other = visit(server).open(f"?{page.url.partition('?')[2]}")
    expect_numbers(other, load_model(CONFIG), mode="decode")
    visitor.go("Scaling")
    expect(page.locator("h1")).to_have_text(re.compile("^uploaded config.json grows"))
    visitor.settled()
    page.reload()
    visitor.settled()
    expect(page.locator("h1")).to_have_text(re.compile("^uploaded config.json grows"))


def test_a_model_is_typed_by_hand(visit, server):
    visitor = visit(server)
    page = visitor.open("?source=manual&kv_heads=2&ffn=128&vocab=1000")
    for key, value in (("layers", 2), ("heads", 4), ("hidden", 64)):
        page.locator(f".st-key-{key} input").fill(str(value))
        page.keyboard.press("Enter")
        visitor.settled()
    expect(page.get_by_text("202,048", exact=False).first).to_be_visible()
    expect_numbers(page, load_model(CONFIG | {"max_position_embeddings": 131072}))


def test_a_length_is_typed_as_people_write_it_and_what_is_none_is_refused(visit, server):
    visitor = visit(server)
    page = visitor.open()
    length = page.locator(".st-key-length input")
    for typed, shown in (("32k", "32,768"), ("8K", "8,192"), ("max", "max"), ("1e4", "10,000")):
        length.fill(typed)
        length.press("Enter")
        expect(length).to_have_value(shown)
        visitor.settled()
    expect_numbers(page, QWEN, sequence_length=10_000)
    assert parameters(page) == {"length=10%2C000"} or parameters(page) == {"length=10,000"}
    for typed in ("inf", "1.5", "-4", "many"):
        length.fill(typed)
        length.press("Enter")
        expect(page.get_by_test_id("stAlert")).to_contain_text("Length")
        expect(length).to_have_value(typed)
        visitor.settled()
    length.fill("4k")
    length.press("Enter")
    expect_numbers(page, QWEN, sequence_length=4096)


def test_a_hub_that_is_out_of_reach_is_one_sentence_and_the_way_back_is_short(visit, server):
    visitor = visit(server)
    page = visitor.open()
    choose(page, "mode", "decode")
    expect_numbers(page, QWEN, mode="decode")
    choose(page, "source", "hub")
    expect(page.get_by_test_id("stAlert")).to_contain_text("Type a Hugging Face model id")
    name = page.locator(".st-key-hub input")
    name.fill("nobody/nothing")
    name.press("Enter")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("nobody/nothing was not read from the Hugging Face Hub")
    expect(alert).to_have_count(1)
    expect(page.get_by_test_id("stMetric")).to_have_count(0)
    name.fill("Qwen/Qwen2.5-7B")
    name.press("Enter")
    expect_numbers(page, QWEN, mode="decode")  # the mode was not lost on the way
    visitor.settled()
    assert parameters(page) == {"source=hub", "hub=Qwen/Qwen2.5-7B", "mode=decode"}


def test_a_token_never_reaches_the_link(visit, server):
    visitor = visit(server)
    page = visitor.open("?source=hub")
    token = page.locator(".st-key-hub_token input")
    expect(token).to_have_attribute("type", "password")
    token.fill("hf_" + "Abcdefghij" * 4)
    token.press("Enter")
    name = page.locator(".st-key-hub input")
    name.fill("nobody/nothing")
    name.press("Enter")
    expect(page.get_by_test_id("stAlert")).to_contain_text("nobody/nothing was not read")
    visitor.settled()
    assert parameters(page) == {"source=hub", "hub=nobody/nothing"}
    assert "Abcdefghij" not in page.get_by_test_id("stApp").inner_text()
    visitor.go("Fit")
    expect(page).to_have_url(re.compile("/fit"))
    expect(page.locator("h1")).to_have_text("nobody/nothing could not be read")
    visitor.settled()
    expect(page.locator(".st-key-hub_token input")).to_have_value("hf_" + "Abcdefghij" * 4)
    assert "Abcdefghij" not in page.url
