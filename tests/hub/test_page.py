"""The app's Checkpoint page and models from headers, with the real client on a loopback Hub."""

from __future__ import annotations

import csv
import io
import json

import pytest
from loopback import Fault, Hub, Model
from models import DEEPSEEK, LLAMA, tensors
from writers import safetensors_bytes

from calculator import estimate
from calculator.sources.load import model_from_config

TOKEN = "hf_" + "SecretTokenOfATest" * 2


def files(config, stored):
    header, data = safetensors_bytes(stored)
    return {"config.json": json.dumps(config).encode(), "model.safetensors": header + bytes(data)}


@pytest.fixture
def llama(hub: Hub) -> Model:
    hub.models["org/llama"] = Model(files(LLAMA, tensors(LLAMA)))
    return hub.models["org/llama"]


def words(at):
    kinds = (at.title, at.markdown, at.caption, at.metric, at.info, at.success, at.warning, at.error, at.exception)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_formula_and_headers_are_equal(open_page, charts_of, downloads, llama):
    at = open_page("checkpoint", source="hub", hub="org/llama")
    assert not at.exception
    model = model_from_config(LLAMA)
    assert [s.value for s in at.success] == [
        "Equal: every tensor has the name, the shape and the bytes of the formula."
    ]
    assert [m.value for m in at.metric][:2] == [f"{model.parameters.total:,}"] * 2
    (sides,) = at.dataframe
    total = sides.value.to_dict("records")[-1]
    assert (total["class"], total["formula"], total["headers"]) == ("Total", *[model.parameters.total] * 2)
    assert total["headers_bytes"] == total["formula_bytes"] == estimate(model).memory.weights
    classes, types = charts_of(at)
    assert classes.alt.endswith(".")
    assert "BF16" in {cell for _, _, cells in types.encodings() for cell in cells}
    assert not {"F32", "F16"} & {cell for _, _, cells in types.encodings() for cell in cells}
    listed = list(csv.DictReader(io.StringIO(downloads["tensors.csv"]())))
    assert {row["tensor"] for row in listed} == tensors(LLAMA).keys()
    assert sum(int(row["bytes"]) for row in listed) == estimate(model).memory.weights
    assert "checkpoint.csv" in downloads


def test_prediction_layers_and_a_strange_tensor_are_told_apart(open_page, hub):
    model, own = model_from_config(DEEPSEEK), tensors(DEEPSEEK)
    more = {name: ("BF16", shape) for name, shape in model.tensors(apart=True) if name not in own}
    hub.models["org/deepseek"] = Model(files(DEEPSEEK, own | more))
    at = open_page("checkpoint", source="hub", hub="org/deepseek")
    assert "multi-token-prediction layer" in at.success[0].value
    differing = at.dataframe[1].value.to_dict("records")
    assert {row["reason"] for row in differing} == {"multi-token-prediction layer"}
    assert sum(row["count"] for row in differing) == len(more)
    odd = own | {"model.layers.0.odd.weight": ("BF16", (7, 5))}
    hub.models["org/deepseek"] = Model(files(DEEPSEEK, odd))
    at = open_page("checkpoint", source="hub", hub="org/deepseek@main")
    assert "1 × unexplained" in at.warning[0].value


def test_another_repository_may_be_compared(open_page, hub, llama):
    half = {name: ("F16", shape) for name, (_, shape) in tensors(LLAMA).items() if "layers.1." not in name}
    hub.models["org/half"] = Model(files(LLAMA, half))
    at = open_page("checkpoint", source="hub", hub="org/llama", repo="org/half")
    assert not at.success
    assert "unexplained" in at.warning[0].value
    assert at.text_input(key="repo").value == "org/half"


def test_a_model_without_a_repository_asks_for_one(open_page, hub):
    at = open_page("checkpoint", source="manual")
    assert "Type the repository" in at.info[0].value
    assert not at.exception


def test_a_gated_checkpoint_needs_the_token_and_never_shows_it(open_page, hub, llama):
    llama.access, llama.readers, hub.tokens = "gated", {TOKEN}, {TOKEN}
    at = open_page("checkpoint", source="hub", hub="org/llama")
    assert len(at.error) == 1
    at.text_input(key="hub_token").set_value(TOKEN).run()
    assert at.success[0].value.startswith("Equal")
    assert TOKEN not in words(at) + str(dict(at.query_params))
    # Another visitor without the token is still refused.
    assert len(open_page("checkpoint", source="hub", hub="org/llama").error) == 1


def test_what_goes_wrong_is_one_sentence(open_page, hub, llama):
    llama.files["model.safetensors"] = (100 * 10**9).to_bytes(8, "little") + bytes(64)
    at = open_page("checkpoint", source="hub", hub="org/llama")
    assert not at.exception
    assert len(at.error) == 1
    assert at.error[0].value.endswith(".")
    hub.fault = Fault(reset=True)
    at = open_page("checkpoint", source="popular", model="Qwen/Qwen2.5-7B")
    assert not at.exception
    assert len(at.error) == 1
    assert at.error[0].value.startswith("Qwen/Qwen2.5-7B")


def test_a_type_without_a_family_is_read_from_its_headers(open_page, charts_of, hub):
    config = LLAMA | {"model_type": "never_heard_of"}
    hub.models["org/new"] = Model(files(config, tensors(LLAMA)))
    at = open_page(source="hub", hub="org/new", mode="decode")
    assert not at.exception
    assert not at.error
    known = model_from_config(LLAMA)
    shown = words(at)
    assert f"{known.parameters.total:,}" in shown
    assert "parameters: exact" in shown
    assert "KV cache: derived" in shown
    assert len(charts_of(at)) == 3
    for page in ("scaling", "compare", "checkpoint", "methods"):
        at = open_page(page, source="hub", hub="org/new", mode="decode")
        assert not at.exception
        assert not at.error


def test_one_click_gives_every_page_the_bytes_of_the_headers(open_page, hub):
    """A config that says nothing of 8 bits, whose files have them."""
    stored = {n: ("F8_E4M3" if ".layers." in n and len(s) == 2 else d, s) for n, (d, s) in tensors(LLAMA).items()}
    hub.models["org/llama"] = Model(files(LLAMA, stored))
    at = open_page("checkpoint", source="hub", hub="org/llama")
    rules = estimate(model_from_config(LLAMA)).memory.weights
    whole = sum((1 if d == "F8_E4M3" else 2) * s[0] * (s[1] if len(s) > 1 else 1) for d, s in stored.values())
    (switch,) = [toggle for toggle in at.toggle if "these headers" in toggle.label]
    assert not switch.value
    assert "as the safetensors headers say" not in words(at)
    at = switch.set_value(True).run()
    assert not at.exception
    _, priced = at.session_state["priced_by_headers"]
    assert estimate(priced).memory.weights == whole < rules
    at = next(t for t in at.toggle if "these headers" in t.label).set_value(False).run()
    assert at.session_state["priced_by_headers"] is None
