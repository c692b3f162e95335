"""What the Hub refuses, and answers that are no configuration: the error and its sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from loopback import Answer, Fault, Hub, Model
from public import BODY, TOKEN, Refused

from calculator.errors import (
    ConfigError,
    GatedModelError,
    HubError,
    MissingFileError,
    ModelNotFoundError,
)
from calculator.sources.hub import client as reader

# What the Hub refuses


def test_an_unknown_or_private_model(hub: Hub, model: Model, refused: Refused) -> None:
    model.access = "private"
    for repo_id in ("org/name", "org/unknown"):
        message = refused(ModelNotFoundError, repo_id)
        assert f"has no model {repo_id}, or it is private, which looks the same without an access token" in message
        assert "HF_TOKEN" in message
        assert "--token" in message
        assert f"{hub.url}/{repo_id}" in message


def test_a_model_the_token_does_not_open(hub: Hub, model: Model, refused: Refused) -> None:
    model.access, hub.tokens = "private", {TOKEN}
    assert "the access token that was sent may not read it" in refused(ModelNotFoundError, token=TOKEN)


def test_a_gated_model(hub: Hub, model: Model, refused: Refused) -> None:
    model.access, hub.tokens = "gated", {TOKEN}
    without = refused(GatedModelError)
    assert f"Open {hub.url}/org/name, accept the licence, then set HF_TOKEN or pass --token" in without
    sent = refused(GatedModelError, token=TOKEN)
    assert "the access token that was sent has no access" in sent
    assert f"{hub.url}/org/name" in sent


def test_an_invalid_token(model: Model, refused: Refused) -> None:
    for access in ("public", "private", "gated"):
        model.access = access
        message = refused(HubError, token=TOKEN)
        assert "refused the access token (401)" in message
        assert "https://huggingface.co/settings/tokens" in message


def test_what_is_forbidden(hub: Hub, refused: Refused) -> None:
    hub.tokens, hub.fault = {TOKEN}, Fault(Answer(403))
    assert "no access token was sent" in refused(ModelNotFoundError)
    assert "lacks the permission" in refused(ModelNotFoundError, token=TOKEN)


def test_a_disabled_model(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(403, {"X-Error-Message": "Access to this resource is disabled."}))
    assert "has disabled org/name" in refused(HubError)


def test_an_unknown_revision(hub: Hub, model: Model, refused: Refused) -> None:
    message = refused(ModelNotFoundError, revision="v9")
    assert 'org/name has no revision "v9"' in message
    assert f"{hub.url}/org/name/tree/main" in message


@pytest.mark.parametrize("files", [{"model.gguf": b""}, {"model_index.json": b"{}", "unet/config.json": b"{}"}, {}])
def test_a_repository_without_config(model: Model, refused: Refused, files: dict[str, bytes]) -> None:
    model.files = files
    assert "org/name holds no config.json: repositories with only GGUF" in refused(MissingFileError)
    assert "no config.json at revision main:" in refused(MissingFileError, revision="main")


def test_a_bare_404(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(404))
    assert "has no model org/name" in refused(ModelNotFoundError)


@pytest.mark.parametrize("status", [204, 304, 400, 410, 451])
def test_another_status(hub: Hub, refused: Refused, status: int) -> None:
    hub.fault = Fault(Answer(status))
    assert f"gave no file for org/name but status {status}" in refused(HubError)


def test_refusals_are_not_answered_from_the_cache(hub: Hub, model: Model, refused: Refused) -> None:
    hub.tokens = model.readers = {TOKEN}
    model.access = "gated"
    reader.fetch_config("org/name", token=TOKEN)
    refused(GatedModelError)


# What is no configuration


def test_what_nests_too_deep(model: Model, refused: Refused, tmp_path: Path) -> None:
    model.files["config.json"] = b"[" * 200_000
    assert "The config.json of org/name nests objects and lists more than 100 deep" in refused(ConfigError)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"<html></html>", b"{'a': 1}", b"\xff\xfe\x00"])
def test_what_is_not_json(model: Model, refused: Refused, tmp_path: Path, body: bytes) -> None:
    model.files["config.json"] = body
    assert "The config.json of org/name is not JSON" in refused(ConfigError)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[1]", "a list"),
        (b'"a"', "a text"),
        (b"1", "a number"),
        (b"1.5", "a number"),
        (b"true", "true or false"),
        (b"null", "null"),
    ],
)
def test_what_is_not_an_object(model: Model, refused: Refused, body: bytes, kind: str) -> None:
    model.files["config.json"] = body
    assert f"is JSON, but {kind} instead of an object. Allowed is one JSON object" in refused(ConfigError)


@pytest.mark.parametrize("name", ["Content-Length", "X-Linked-Size"])
def test_a_declared_length_beyond_the_limit_is_not_read(hub: Hub, refused: Refused, name: str) -> None:
    hub.fault = Fault(Answer(200, {name: "99999999999"}), endless=True)
    assert "is larger than 20 MB and was not read" in refused(ConfigError)
    hub.stop()
    assert hub.sent < reader.MAX_BYTES


def test_an_endless_body_is_read_to_the_limit(hub: Hub, refused: Refused) -> None:
    hub.fault = Fault(Answer(200, body=BODY), endless=True)
    assert "is larger than 20 MB and was not read" in refused(ConfigError)
    hub.stop()
    assert hub.sent < 2 * reader.MAX_BYTES  # what the buffers of both ends hold comes on top of the limit
