"""Access tokens: which is sent, where to, and that none is ever shown."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from huggingface_hub import constants
from loopback import COMMIT, Answer, Fault, Hub, Model, Storage
from public import CONFIG, TOKEN, Refused

from calculator.errors import (
    HubError,
    HubUnreachableError,
    ModelNotFoundError,
)
from calculator.sources.hub import client as reader


def test_no_token_is_sent_when_there_is_none(hub: Hub, model: Model) -> None:
    reader.fetch_config("org/name")
    reader.fetch_config("org/name", token="  ")
    assert {seen.authorization for seen in hub.seen} == {None}


@pytest.mark.parametrize("access", ["public", "private", "gated"])
def test_a_given_token_is_sent(hub: Hub, model: Model, access: str) -> None:
    hub.tokens = model.readers = {TOKEN}
    model.access = access
    assert "SecretToken" not in repr(reader.fetch_config("org/name", token=f" {TOKEN}\n"))
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}


def test_the_token_of_the_environment_is_sent_unless_another_is_given(
    hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {TOKEN, "hf_other"}
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {"Bearer hf_other"}
    hub.seen.clear()
    reader.fetch_config("org/name", token=TOKEN)
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}


def test_the_stored_login_is_sent_unless_that_is_forbidden(
    hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {TOKEN}
    (tmp_path / "token").write_text(TOKEN)
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {f"Bearer {TOKEN}"}
    hub.seen.clear()
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    reader.fetch_config("org/name")
    assert {seen.authorization for seen in hub.seen} == {None}


def test_the_token_does_not_follow_a_redirect_to_another_host(hub: Hub, storage: Storage, model: Model) -> None:
    hub.tokens, model.large = {TOKEN}, {"config.json"}
    file = reader.fetch_config("org/name", token=TOKEN)
    assert (file.config, file.commit) == (CONFIG, COMMIT)
    assert [seen.authorization for seen in hub.seen] == [f"Bearer {TOKEN}"]
    assert [seen.authorization for seen in storage.seen] == [None]


@pytest.mark.parametrize(
    "token", ["hf_Secret Token", "hf_SecretT\u00f6ken", "hf_SecretToken\x00", "hf_\r\nSecretToken: x"]
)
def test_a_malformed_token(hub: Hub, model: Model, refused: Refused, token: str) -> None:
    message = refused(HubError, token=token)
    assert "malformed" in message
    assert "Secret" not in message
    assert hub.seen == []


def test_a_server_that_repeats_the_token_is_not_quoted(
    hub: Hub, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # below that, the HTTP library logs the headers of every answer
    headers = {"X-Error-Message": f"no {TOKEN}", "X-Error-Code": TOKEN, "Retry-After": TOKEN}
    kinds = {400: HubError, 401: HubError, 403: ModelNotFoundError, 404: ModelNotFoundError, 429: HubUnreachableError}
    for status, kind in kinds.items():
        hub.fault = Fault(Answer(status, headers, TOKEN.encode()))
        refused(kind, token=TOKEN)
