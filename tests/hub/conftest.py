"""A loopback Hub for each test, and the real client pointed at it with an empty cache and no token."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from loopback import Hub, Model, Storage
from public import BODY, Refused

from calculator.errors import (
    CalculatorError,
)
from calculator.sources.checkpoint import load
from calculator.sources.hub import client as reader

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.fixture(scope="session", autouse=True)
def direct() -> Iterator[None]:
    """One client for all tests, which goes through no proxy of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in PROXIES:
            patch.delenv(name, raising=False)
        huggingface_hub.close_session()
        yield
        huggingface_hub.close_session()


@pytest.fixture
def storage() -> Iterator[Storage]:
    server = Storage()
    yield server
    server.stop()


@pytest.fixture
def hub(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub without models, which the client asks; the cache is empty and no token is stored."""
    server = Hub(storage)
    load.forget()
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    # The client has read its variables on import, so what it made of them is replaced too.
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "stored_tokens"), raising=False)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        monkeypatch.setattr(constants, name, False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    yield server
    server.stop()


@pytest.fixture
def model(hub: Hub) -> Model:
    """A public model that the Hub serves as "org/name"."""
    hub.models["org/name"] = Model({"config.json": BODY, "README.md": b"hello"})
    return hub.models["org/name"]


@pytest.fixture
def refused(hub: Hub, caplog: pytest.LogCaptureFixture) -> Refused:
    """Fetches, expects exactly this error, and returns its message, which is prose without any token."""
    caplog.set_level(logging.DEBUG)

    def fetch(kind: type[CalculatorError], repo_id: str = "org/name", timeout: float = 5, **options: str | None) -> str:
        with pytest.raises(kind) as caught:
            reader.fetch_config(repo_id, timeout=timeout, **options)
        assert caught.type is kind
        message = str(caught.value)
        assert re.fullmatch(r"[A-Z\"o].*\.", message)
        assert "None" not in message
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert "SecretToken" not in shown
        return message

    return fetch
