"""The app's frame: the sidebar's inputs, the link that holds them, the sources of a model, and what a visitor reads
when something is wrong. What the pages show is in screens/."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

import pytest

import calculator.errors as errors
from calculator import load_model
from calculator.record.options import OPTIONS
from calculator.sources.hub.client import HubFile

PAGES = ("overview", "fit", "speed", "serving", "training", "scaling", "compare", "experts", "methods")
TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}
# 2 x 1000 x 64 in embedding and head; a layer: 4 x 64 x 64 less half of two in attention, 3 x 64 x 128, two norms.
TINY_PARAMETERS = 128_000 + 2 * (12_288 + 24_576 + 128) + 64
TOKEN = "hf_" + "Abcdefghij" * 4


@pytest.fixture
def inputs_at(open_page, monkeypatch):
    """What the sidebar hands to the pages at a link."""

    def read(**link):
        seen = []
        monkeypatch.setattr("pages.overview.show", seen.append)
        at = open_page(**link)
        assert not at.exception
        assert not at.error
        return seen[0]

    return read


@pytest.fixture
def hub(monkeypatch):
    """A Hub that answers with what is put in `answer`, a config or an error; `asked` lists what it was asked."""

    known = SimpleNamespace(answer=TINY, asked=[])

    def fetch_config(repo_id, *, revision=None, token=None):
        known.asked.append((repo_id, revision, token))
        if isinstance(known.answer, Exception):
            raise known.answer
        return HubFile(known.answer, repo_id, revision, "0123456789abcdef0123456789abcdef01234567")

    def from_headers(repo_id, *arguments):
        raise errors.MissingFileError(f"{repo_id} holds no safetensors file.")

    monkeypatch.setattr("calculator.sources.hub.client.fetch_config", fetch_config)
    monkeypatch.setattr("calculator.sources.checkpoint.load.from_hub", from_headers)
    return known


def words(at):
    """Everything the page says in words."""
    kinds = (at.title, at.subheader, at.markdown, at.caption, at.metric, at.info, at.warning, at.error, at.exception)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


# The link


@pytest.mark.parametrize(
    ("link", "field", "expected"),
    [
        ({}, "mode", "prefill"),
        ({"mode": "pretraining"}, "mode", "pretraining"),
        ({"mode": "decode"}, "mode", "decode"),
        ({"batch": 7}, "batch_size", 7),
        ({}, "sequence_length", None),
        ({"length": 12345}, "sequence_length", 12345),
        ({"mode": "decode", "generate": 17}, "decode_length", 17),
        ({"weights": "int4"}, "dtype", "int4"),
        ({"mode": "decode", "kv": "fp8"}, "kv_dtype", "fp8"),
        ({"attention": "eager"}, "attention", "eager"),
        ({"counting": "causal"}, "attention_flops", "causal"),
        ({"logits": "all"}, "logits", "all"),
        ({}, "flash_block_size", None),
        ({"tile": 128}, "flash_block_size", 128),
        ({"mode": "decode", "flash_decode": "false"}, "flash_decode", False),
        ({"mode": "decode", "split": 512}, "flash_decode_block_size", 512),
        ({"model": "Qwen/Qwen3-30B-A3B"}, "expert_capacity_factor", None),
        ({"model": "Qwen/Qwen3-30B-A3B", "capacity": 1.25}, "expert_capacity_factor", 1.25),
        ({"model": "Qwen/Qwen3-30B-A3B", "routing": "uniform"}, "routing", "uniform"),
        ({"model": "Qwen/Qwen3-30B-A3B", "share": "true"}, "share_experts_across_layers", True),
        ({"model": "google-t5/t5-base"}, "encoder_length", None),
        ({"model": "google-t5/t5-base", "encoder": 77}, "encoder_length", 77),
        ({"encoder": 77}, "encoder_length", None),
    ],
)
def test_a_link_sets_every_input_of_the_workload(inputs_at, link, field, expected):
    assert getattr(inputs_at(**link).workload, field) == expected


def test_a_link_names_the_model(inputs_at):
    assert inputs_at().model.name == "Qwen/Qwen2.5-7B"
    assert inputs_at(model="openai-community/gpt2").model.parameters.total == 124_439_808


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("mode", "training"),
        ("mode", ""),
        ("weights", "int3"),
        ("kv", "nf4"),
        ("batch", "0"),
        ("batch", "-5"),
        ("batch", "many"),
        ("batch", "1e30"),
        ("length", "0"),
        ("length", "nan"),
        ("attention", "sparse"),
        ("counting", "half"),
        ("logits", "none"),
        ("model", "no-such-model"),
        ("device", "H9000"),
        ("source", "elsewhere"),
        ("tile", "-1"),
        ("capacity", "0"),
        ("routing", "skewed"),
        ("encoder", "0"),
    ],
)
def test_a_bad_value_in_a_link_falls_back_to_the_default(inputs_at, open_page, name, bad):
    usual = {"model": "Qwen/Qwen3-30B-A3B"} if name in ("capacity", "routing") else {}
    usual = {"model": "google-t5/t5-base"} if name == "encoder" else usual
    found, default = inputs_at(**usual, **{name: bad}), inputs_at(**usual)
    assert found.workload == default.workload
    assert found.model.name == default.model.name
    assert found.device == default.device
    if name not in ("capacity", "tile") and bad not in ("nan", ""):
        (said,) = found.dropped
        assert "dropped" in said or "not bundled" in said


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ({"mode": "prefil"}, "The nearest is prefill"),
        ({"weights": "fp9"}, "The nearest is fp8"),
        ({"model": "Qwen3-8"}, "the nearest is Qwen/Qwen3-8B"),
        ({"length": "1.5"}, "which is no whole number"),
        ({"device": "h201"}, "the nearest are"),
    ],
)
def test_a_bad_link_names_the_nearest(open_page, link, said):
    assert [said in w.value for w in open_page(**link).warning] == [True]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("32k", 32768), ("128K", 131072), ("1e6", 10**6), ("32_768", 32768), ("32,768", 32768), ("1M", 2**20)],
)
def test_a_length_is_read_as_people_write_it(inputs_at, typed, meant):
    assert inputs_at(length=typed).workload.sequence_length == meant
    assert inputs_at(batch=typed).workload.batch_size == meant


def test_max_is_the_model_s_own_limit(inputs_at):
    assert inputs_at(length="max").workload.sequence_length == 131072
    assert inputs_at(model="openai-community/gpt2", length="MAX").workload.sequence_length == 1024


@pytest.mark.parametrize("typed", ["1.5", "many", "0", "-3", "1e12"])
def test_what_is_no_length_is_refused_beside_the_field_and_stays_in_it(open_page, typed):
    at = open_page(mode="decode", batch=7)
    at.text_input(key="length").set_value(typed).run()
    assert not at.exception
    assert at.text_input(key="length").value == typed
    assert at.text_input(key="batch").value == "7"
    said = [m.value for m in at.sidebar.markdown if m.value.startswith(":red")]
    assert len(said) == 1
    assert [e.value for e in at.main.error] == [said[0].removeprefix(":red[:small[").removesuffix("]]")]
    assert not at.metric


def test_a_field_shows_thousands_and_a_preset_fills_it(open_page):
    at = open_page()
    assert at.text_input(key="length").set_value("32k").run().text_input(key="length").value == "32,768"
    at.pills(key="work").set_value("16 × 32k").run()
    assert (at.text_input(key="batch").value, at.text_input(key="length").value) == ("16", "32,768")
    assert open_page(length=131072).text_input(key="length").value == "131,072"


def test_an_error_keeps_the_inputs(open_page, hub):
    hub.answer = errors.GatedModelError("someone/tiny is gated.")
    at = open_page(
        source="hub", hub="someone/tiny", mode="decode", batch=7, length="32k", device="B200 SXM 180GB (HGX/DGX)"
    )
    assert [e.value for e in at.main.error] == ["someone/tiny is gated."]
    assert at.text_input(key="batch").value == "7"
    assert at.text_input(key="length").value == "32,768"
    assert at.selectbox(key="device").value == "B200 SXM 180GB (HGX/DGX)"


def test_model_takes_what_hub_takes(open_page, hub):
    assert open_page(model="qwen/qwen3-8b").title[0].value.startswith("Qwen3-8B in")
    assert open_page(model="someone/tiny@v1").title[0].value.startswith("tiny in")
    assert hub.asked == [("someone/tiny", "v1", None)]


@pytest.mark.parametrize("model", ["openai-community/gpt2", "facebook/opt-125m"])
def test_the_default_length_of_a_decode_step_warns_about_nothing(open_page, model):
    assert not open_page(model=model, mode="decode").warning
    assert open_page(model=model, mode="decode", length="max").warning


def test_a_device_is_named_as_people_name_it(inputs_at):
    assert inputs_at(device="h200").device.id == "h200-sxm-141gb"
    assert inputs_at(device="NVIDIA H100 80GB HBM3").device.id == "h100-sxm-80gb"
    assert inputs_at(device="none").device is None


def test_only_an_encoder_before_a_decoder_has_a_length(open_page):
    assert "encoder" not in {w.key for w in open_page().sidebar.text_input}
    shown = {"google-t5/t5-base": "as the length", "openai/whisper-large-v3": "1,500"}
    for model, placeholder in shown.items():
        (box,) = [w for w in open_page(model=model).sidebar.text_input if w.key == "encoder"]
        assert box.label == "Encoder length"
        assert box.placeholder == placeholder
        assert box.value == ""


def test_the_encoder_s_layers_are_named(open_page):
    said = words(open_page(model="google/switch-base-8"))
    assert "6 full attention + 6 full attention + experts" in said
    assert "6 full attention + cross-attention + 6 full attention + cross-attention + experts" in said


def test_the_inputs_are_the_same_on_every_page(open_page):
    link = {"model": "Qwen/Qwen3-30B-A3B", "mode": "decode", "batch": 7, "length": 1000, "kv": "fp8", "logits": "all"}
    sidebars = []
    for page in PAGES:
        at = open_page(page, **link)
        bar = at.sidebar
        kinds = (bar.selectbox, bar.text_input, bar.number_input, bar.segmented_control, bar.toggle)
        sidebars.append({widget.key: widget.value for kind in kinds for widget in kind})
    assert sidebars[0]["batch"] == "7"
    assert sidebars[0]["length"] == "1,000"
    asked = {o.key for o in OPTIONS if "decode" in o.modes and o.of in ("", "mixture")}
    assert sidebars[0].keys() == asked | {"source", "model", "draft", "device", "devices", "engine", "price"}
    for page, found in zip(PAGES, sidebars, strict=True):
        shared = {key: sidebars[0][key] for key in found if key in sidebars[0]}
        assert found.items() >= shared.items()
        apart = {"mode", "draft", *(["batch"] if page == "serving" else [])}  # which asks about a traffic
        assert page == "training" or apart >= sidebars[0].keys() - found.keys()
        if page == "training":  # whose recipe says how weights, gradients and caches are kept
            recipe = {"step", "tokens", "method", "optimizer", "train_as", "loss", "zero", "recompute"}
            shared = {"source", "model", "hub_token", "length", "device", "devices", "price"}
            assert found.keys() - shared == recipe


def test_the_folded_options_are_drawn_once_they_are_asked_for(open_page):
    assert "logits" not in {w.key for w in open_page().sidebar.segmented_control}
    at = open_page(logits="all")
    assert at.sidebar.segmented_control(key="logits").value == "all"
    at.sidebar.segmented_control(key="logits").set_value("last").run()
    assert at.sidebar.segmented_control(key="logits").value == "last"  # stays, now that the link is empty again


def test_every_page_keeps_its_own_inputs_in_the_link(open_page):
    scaling = open_page("scaling", vary="batch", to_batch="1,024")
    assert scaling.segmented_control(key="vary").value == "batch"
    assert scaling.selectbox(key="to_batch").value == "1,024"
    assert open_page(table="operations").segmented_control(key="table").value == "operations"
    assert open_page(table="reuse").segmented_control(key="table").value == "intensity"  # of an older link
    assert open_page(why="Weights").selectbox(key="why").value == "Weights"
    experts = open_page("experts", whatif_experts=16, whatif_top_k=4, whatif_width=1024, skew=1.5)
    assert [experts.number_input(key=f"whatif_{name}").value for name in ("experts", "top_k", "width")] == [16, 4, 1024]
    assert experts.slider(key="skew").value == 1.5
    assert open_page("methods", section="validation").segmented_control(key="section").value == "validation"


def test_a_widget_changes_what_is_computed(open_page):
    at = open_page()
    before = at.metric[0].value
    assert at.text_input(key="batch").set_value("64").run().metric[0].value != before
    at.text_input(key="batch").set_value("1")
    at.segmented_control(key="mode").set_value("decode").run()
    assert at.metric[1].label == "Next token"
    at.segmented_control(key="mode").set_value("pretraining").run()
    assert at.metric[1].label == "Model states"
    assert not at.exception


def test_what_one_mode_hides_comes_back_with_it(open_page):
    at = open_page(mode="decode", generate=200)
    at.segmented_control(key="mode").set_value("prefill").run()
    at.segmented_control(key="mode").set_value("decode").run()
    assert at.text_input(key="generate").value == "200"


def test_the_kv_cache_has_no_precision_in_training(open_page):
    assert "kv" not in {w.key for w in open_page(mode="pretraining").selectbox}
    assert "kv" in {w.key for w in open_page(mode="decode").selectbox}


def test_a_length_beyond_the_context_is_computed_with_a_warning(open_page):
    at = open_page(model="openai-community/gpt2", length=2048)
    assert [w.value.split(" that ")[0] for w in at.warning] == ["2,048 tokens are more than the 1,024"]
    assert at.metric
    assert not open_page(model="openai-community/gpt2", length=1024).warning


# Numbers typed by hand


def test_a_dense_model_typed_by_hand(inputs_at):
    link = {"source": "manual", "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "ffn": 128, "vocab": 1000}
    assert inputs_at(**link).model.parameters.total == TINY_PARAMETERS
    assert inputs_at(**link, tied="true").model.parameters.total == TINY_PARAMETERS - 64_000


def test_a_head_size_typed_by_hand(inputs_at):
    link = {"source": "manual", "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "ffn": 128, "vocab": "1k"}
    # q and o are 64 × 4·h, k and v 64 × 2·h: 768 parameters a layer for each element of a head.
    narrow, wide = (inputs_at(**link, head_dim=size).model.parameters.total for size in (16, 32))
    assert wide - narrow == 2 * 768 * 16
    assert inputs_at(**link).model.parameters.total == narrow == TINY_PARAMETERS + 2 * 24 * 64


def test_a_size_that_is_none_is_refused_beside_its_field(open_page):
    at = open_page(source="manual")
    at.text_input(key="hidden").set_value("wide").run()
    assert any("Hidden size cannot be 'wide'" in e.value for e in at.error)
    assert at.text_input(key="hidden").value == "wide"
    assert not at.metric


def test_a_mixture_typed_by_hand(inputs_at):
    link = {
        "source": "manual",
        "kind": "moe",
        "layers": 2,
        "hidden": 64,
        "heads": 4,
        "kv_heads": 2,
        "vocab": 1000,
        "experts": 4,
        "top_k": 2,
        "expert_ffn": 32,
    }
    model = inputs_at(**link).model
    assert (model.experts.experts, model.experts.top_k, model.experts.intermediate) == (4, 2, 32)
    assert model.parameters.by_component["experts"] == 2 * 4 * 3 * 64 * 32
    assert model.parameters.by_component["router"] == 2 * 4 * 64
    with_shared = inputs_at(**link, shared_experts=1).model
    assert with_shared.parameters.total - model.parameters.total == 2 * (3 * 64 * 32 + 64)  # and its gate


@pytest.mark.parametrize(
    "link",
    [{"heads": 3}, {"kv_heads": 5}, {"kind": "moe", "experts": 2, "top_k": 3}, {"layers": 10**9}],
    ids=lambda link: " ".join(link),
)
def test_impossible_numbers_are_refused_in_words(open_page, link):
    at = open_page(source="manual", **link)
    assert not at.exception
    assert [e.value.endswith(".") for e in at.main.error] == [True]
    assert not at.metric


@pytest.mark.parametrize("page", PAGES)
def test_the_largest_numbers_the_inputs_take(open_page, page):
    section = {"section": "model"} if page == "methods" else {}
    for mode in ("pretraining", "prefill", "decode"):
        at = open_page(
            page, mode=mode, model="Qwen/Qwen3-30B-A3B", batch=10**9, length=10**9, generate=10**9, **section
        )
        assert [e.value for e in at.exception] == []
        assert [e.value for e in at.error] == []
    assert [e.value for e in open_page(page, batch=10**9, length=10**9, **section).exception] == []
    at = open_page(page, source="manual", hidden=2**29, ffn=10**9, vocab=10**9, layers=10_000, **section)
    assert [e.value for e in at.exception] == []


# The Hub


def test_a_model_of_the_hub(open_page, hub):
    at = open_page(source="hub", hub="https://huggingface.co/someone/tiny/tree/v1")
    assert hub.asked == [("someone/tiny", "v1", None)]
    assert at.title[0].value.startswith("tiny in BF16 with 1")
    assert f"{TINY_PARAMETERS:,}" in words(at)
    assert "someone/tiny@0123456 on the Hugging Face Hub" in words(at)
    at.segmented_control(key="mode").set_value("decode").run()
    assert at.title[0].value.startswith("tiny in BF16 with 1")
    assert len(hub.asked) == 1  # read once


@pytest.mark.parametrize("page", PAGES)
def test_a_model_of_the_hub_on_every_page(open_page, hub, page):
    at = open_page(page, source="hub", hub="someone/tiny")
    assert not at.exception
    assert not at.error
    assert hub.asked == [("someone/tiny", None, None)]


def test_a_bundled_model_is_not_asked_of_the_hub(open_page, hub):
    assert open_page(source="hub", hub=" qwen/qwen3-8b ").title[0].value.startswith("Qwen3-8B in")
    assert hub.asked == []


REFUSALS = [
    errors.HubError,
    errors.ModelNotFoundError,
    errors.GatedModelError,
    errors.MissingFileError,
    errors.HubUnreachableError,
    errors.ConfigError,
    errors.SourceError,
]


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_hub_refuses_is_one_sentence_on_every_page(open_page, hub, kind):
    sentence = "someone/tiny was not read, for a reason that this sentence gives."
    hub.answer = kind(sentence)
    for page in PAGES:
        at = open_page(page, source="hub", hub="someone/tiny")
        assert [e.value for e in at.main.error] == [sentence]
        assert not at.exception
        assert not at.metric
    asked = len(hub.asked)
    hub.answer = TINY
    assert at.run().title  # a refusal is not kept: the next run asks again
    assert len(hub.asked) == asked + 1


def test_the_token_goes_to_the_hub_and_nowhere_else(open_page, hub):
    hub.answer = errors.GatedModelError("someone/tiny is gated.")
    at = open_page(source="hub", hub="someone/tiny")
    hub.answer = TINY
    at.text_input(key="hub_token").set_value(TOKEN).run()
    assert hub.asked == [("someone/tiny", None, None), ("someone/tiny", None, TOKEN)]
    assert at.title[0].value.startswith("tiny in BF16 with 1")
    assert TOKEN not in words(at)
    assert TOKEN not in str(dict(at.query_params))
    # What one visitor's token opened is not shown to a visitor without it.
    hub.answer = errors.GatedModelError("someone/tiny is gated.")
    assert [e.value for e in open_page(source="hub", hub="someone/tiny").error] == ["someone/tiny is gated."]


def test_a_token_in_a_link_is_ignored(open_page, hub):
    open_page(source="hub", hub="someone/tiny", hub_token=TOKEN)
    assert hub.asked == [("someone/tiny", None, None)]


@pytest.mark.parametrize(
    "text", ["not a model!", "a/b/c/d", "https://example.com/a/b", "datasets/squad", "../../etc/passwd", TOKEN]
)
def test_what_is_no_model_id_is_refused_without_asking(open_page, hub, text):
    at = open_page(source="hub", hub=text)
    assert len(at.main.error) == 1
    assert not at.exception
    assert TOKEN not in words(at)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "no_such_type"}, "Model type 'no_such_type' is not known here"),
        ({"hidden_size": 64}, "The config has no model_type"),
        ({"model_type": "llama", "num_hidden_layers": 0}, "num_hidden_layers"),
        ({**TINY, "hidden_size": "wide"}, "hidden_size"),
    ],
)
def test_a_config_no_model_can_be_built_from(open_page, hub, config, said):
    hub.answer = config
    at = open_page(source="hub", hub="someone/tiny")
    assert not at.exception
    assert [said in e.value for e in at.main.error] == [True]


# A config.json


def upload(at, content, name="config.json"):
    at.file_uploader(key="config_file").upload(name, content, "application/json")
    return at.run()


def test_an_uploaded_config_becomes_part_of_the_link(open_page):
    at = upload(open_page(source="upload"), json.dumps(TINY).encode())
    assert not at.exception
    assert f"{TINY_PARAMETERS:,}" in words(at)
    link = dict(at.query_params)
    assert link["source"] == "file"
    for page in PAGES:
        shared = open_page(page, **link)
        assert not shared.exception
        assert not shared.error
    assert f"{TINY_PARAMETERS:,}" in words(open_page(**link))


def test_a_file_with_a_byte_order_mark(open_page):
    at = upload(open_page(source="upload"), b"\xef\xbb\xbf" + json.dumps(TINY).encode())
    assert f"{TINY_PARAMETERS:,}" in words(at)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "config.json is not valid JSON"),
        (b"[1, 2]", "config.json holds a JSON list"),
        (b"\xff\xfe\x00", "config.json is not text"),
        (b"{}", "no model_type"),
        (b'{"model_type": "no_such_type"}', "'no_such_type' is not known"),
    ],
)
def test_a_file_that_is_no_config(open_page, content, said):
    at = upload(open_page(source="upload"), content)
    assert not at.exception
    assert [said in e.value for e in at.main.error] == [True]


def unpackable(fields=1500):
    """A config that packs into more than a link holds, and its own number of parameters."""
    rng = random.Random(1)
    return TINY | {"vocab_size": 2000, "id2label": {str(i): f"{rng.getrandbits(64):x}" for i in range(fields)}}


def test_a_config_too_large_for_a_link_is_still_shown(open_page):
    at = upload(open_page(source="upload"), json.dumps(unpackable()).encode())
    assert f"{TINY_PARAMETERS + 128_000:,}" in words(at)
    assert "too large to be part of the link" in words(at)
    assert "config" not in at.query_params
    at.segmented_control(key="mode").set_value("decode").run()
    assert f"{TINY_PARAMETERS + 128_000:,}" in words(at)


def test_the_link_never_holds_another_config_than_the_page_shows(open_page):
    first = upload(open_page(source="upload"), json.dumps(TINY).encode())
    at = open_page(**first.query_params)
    at = upload(at, json.dumps(unpackable()).encode())
    assert f"{TINY_PARAMETERS + 128_000:,}" in words(at)
    assert "config" not in at.query_params


def test_a_link_to_another_source_holds_no_config(open_page):
    at = upload(open_page(source="upload"), json.dumps(TINY).encode())
    at.segmented_control(key="source").set_value("popular").run()
    assert at.title[0].value.startswith("Qwen2.5-7B in")
    assert "config" not in at.query_params


@pytest.mark.parametrize("damaged", ["abc", "!!!", "äöü", "eJwDAAAAAAE", "e30", "eJxLSixJBAAD2QGU"])
def test_a_damaged_config_in_a_link(open_page, damaged):
    at = open_page(source="upload", config=damaged)
    assert not at.exception
    assert len(at.main.error) == 1
    assert not at.metric


# What is shown before there is a model


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("source", "said"), [("hub", "Type a Hugging Face model id"), ("upload", "Upload a model's config.json")]
)
def test_a_page_without_a_model_says_what_to_do_where_it_is_read(open_page, page, source, said):
    at = open_page(page, source=source)
    assert not at.exception
    assert not at.error
    assert [i.value.startswith(said) for i in at.main.info] == [True]  # the sidebar is closed on a phone
    assert not at.sidebar.info


def test_the_workload_waits_for_the_model(open_page, hub):
    at = open_page(source="hub", mode="decode", batch=7)
    at.text_input(key="hub").set_value("someone/tiny").run()
    assert at.segmented_control(key="mode").value == "decode"
    assert at.text_input(key="batch").value == "7"


def test_the_popular_models_are_those_that_can_be_built(open_page):
    at = open_page()
    options = at.selectbox(key="model").options
    assert len(options) >= 120
    assert len(set(options)) == len(options)
    assert all(load_model(name).name == name for name in options)
