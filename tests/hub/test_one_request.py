"""All headers of a sharded checkpoint in one answer of the Hub, and the ranges where it gives none."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import HfApi
from loopback import COMMIT, Answer, Fault, Hub, Model
from test_checkpoints import TOKEN, body, files, llama

from calculator import estimate, load_checkpoint, load_model
from calculator.errors import CheckpointError
from calculator.sources.checkpoint import load

ROUTE = "/api/models/org/name/safetensors-metadata/model.safetensors.index.json"


@pytest.fixture
def sharded(hub: Hub) -> Hub:
    hub.models["org/name"] = Model(files(shards=9))
    return hub


def paths(hub: Hub) -> list[str]:
    return [seen.path for seen in hub.seen]


def test_nine_shards_in_one_request(sharded: Hub):
    found = load_checkpoint("org/name")
    assert {t.name: (t.dtype, t.shape) for t in found.tensors} == llama()
    assert len(found.files) == 9
    assert ROUTE in paths(sharded)
    assert not [p for p in paths(sharded) if "-of-00009" in p or (p.endswith("index.json") and "resolve" in p)]


def test_it_is_what_the_client_makes_of_the_same_answer(sharded: Hub):
    """The real client, pointed at the same server."""
    theirs = HfApi(endpoint=sharded.url).get_sharded_safetensors_metadata("org/name")
    mine = load_checkpoint("org/name")
    assert {t.name: t.file for t in mine.tensors} == theirs.weight_map
    listed = {name: info for shard in theirs.files_metadata.values() for name, info in shard.tensors.items()}
    assert {t.name: (t.dtype, list(t.shape)) for t in mine.tensors} == {
        name: (info.dtype, info.shape) for name, info in listed.items()
    }


@pytest.mark.parametrize("how", ["none", "fault", "no JSON", "another answer"])
def test_without_the_route_the_files_are_asked(sharded: Hub, how: str):
    together = load_checkpoint("org/name")
    load.forget()
    sharded.one_request = how != "none"
    answers = {"fault": Answer(500), "no JSON": Answer(200, {}, b"<html>"), "another answer": Answer(200, {}, b"[1]")}
    if how in answers:
        sharded.fault = Fault(answer=answers[how], only="safetensors-metadata")
    apart = load_checkpoint("org/name")
    assert sorted(t.name for t in apart.tensors) == sorted(t.name for t in together.tensors)
    assert sum("-of-00009" in p for p in paths(sharded)) >= 9


def test_a_revision_is_asked_file_by_file(sharded: Hub):
    """The route answers for main alone."""
    sharded.models["org/name"].branches["old"] = COMMIT
    assert len(load_checkpoint("org/name", "old").files) == 9
    assert ROUTE not in paths(sharded)
    load.forget()
    assert len(load_checkpoint("org/name", "main").files) == 9
    assert ROUTE in paths(sharded)


def test_the_token_is_sent_along(sharded: Hub):
    sharded.tokens.add(TOKEN)
    model = sharded.models["org/name"]
    model.access, model.readers = "private", {TOKEN}
    assert len(load_checkpoint("org/name", token=TOKEN).files) == 9
    assert {seen.authorization for seen in sharded.seen if seen.path == ROUTE} == {f"Bearer {TOKEN}"}


def test_a_header_that_breaks_the_format_is_refused(sharded: Hub):
    wrong = {"x": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 7]}}
    answer = json.dumps({"index": {}, "headers": {"model-00001-of-00001.safetensors": wrong}}).encode()
    sharded.fault = Fault(answer=Answer(200, {}, answer), only="safetensors-metadata")
    with pytest.raises(CheckpointError, match="does not add up"):
        load_checkpoint("org/name")


def test_a_model_downloaded_before_has_the_bytes_of_its_files(sharded: Hub):
    """What the client keeps in its cache beside the config: here one file in 32 bit that the config calls bfloat16."""
    stored = {name: ("F32", shape) for name, (_, shape) in llama().items()}
    sharded.models["org/name"] = Model(files() | {"model.safetensors": body(stored)})
    before = load_model("org/name")
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/name", "model.safetensors")
    after = load_model("org/name")
    assert estimate(after).memory.weights == 2 * estimate(before).memory.weights
    assert "as the safetensors headers say (F32)" in " ".join(after.notes)
    assert "headers" not in " ".join(before.notes)
