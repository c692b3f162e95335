"""What is read of a model on the Hub, at which revision and endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import COMMIT, Answer, Fault, Hub, Model, Storage
from public import BODY, CONFIG, Refused

from calculator.errors import (
    HubError,
)
from calculator.sources.hub import client as reader


def test_a_model_is_read(hub: Hub, model: Model) -> None:
    file = reader.fetch_config("org/name")
    assert file == reader.HubFile(CONFIG, "org/name", None, COMMIT, cached=False)
    assert file.provenance == "org/name@0123456 on the Hugging Face Hub"
    assert [seen.method for seen in hub.seen] == ["GET", "GET"]


def test_a_single_name_is_read(hub: Hub) -> None:
    hub.models["gpt2"] = Model({"config.json": BODY})
    assert reader.fetch_config("gpt2").provenance == "gpt2@0123456 on the Hugging Face Hub"


@pytest.mark.parametrize("revision", ["dev", "refs/pr/1", "f" * 40])
def test_a_revision_is_read(model: Model, revision: str) -> None:
    model.branches |= {"dev": "f" * 40, "refs/pr/1": "f" * 40}
    file = reader.fetch_config("org/name", revision=revision)
    assert (file.revision, file.commit) == (revision, "f" * 40)


def test_the_endpoint_is_read_at_each_call(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Hub(storage)
    other.models["org/other"] = Model({"config.json": BODY})
    monkeypatch.setenv("HF_ENDPOINT", other.url + "/")
    try:
        assert reader.fetch_config("org/other").config == CONFIG
    finally:
        other.stop()


@pytest.mark.parametrize(
    "endpoint",
    ["huggingface.co", "ftp://huggingface.co", "http://", "http://h:99999", "http://[", "http://h:0", "http://\x7f"],
)
def test_an_endpoint_that_is_no_address(refused: Refused, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert "HF_ENDPOINT is not the address of a Hub" in refused(HubError)


def test_a_server_without_commits_is_read_but_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.fault = Fault(Answer(200, body=BODY))
    assert reader.fetch_config("org/name").provenance == "org/name on the Hugging Face Hub"
    assert reader.fetch_config("org/name", revision="dev").provenance == "org/name@dev on the Hugging Face Hub"
    assert not (tmp_path / "cache").exists()
