"""The cache that is shared with the client, also offline and in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from loopback import COMMIT, Hub, Model
from public import BODY, CONFIG, TOKEN, Refused

from calculator.errors import (
    ConfigError,
    HubUnreachableError,
)
from calculator.sources.hub import client as reader

# The cache, shared with the client


def test_the_client_finds_what_was_read(model: Model, tmp_path: Path) -> None:
    model.branches["refs/pr/1"] = "f" * 40
    for revision in (None, "refs/pr/1"):
        reader.fetch_config("org/name", revision=revision)
        path = huggingface_hub.hf_hub_download("org/name", "config.json", revision=revision, local_files_only=True)
        assert Path(path).read_bytes() == BODY
    scan = huggingface_hub.scan_cache_dir(tmp_path / "cache")
    assert not scan.warnings
    assert {revision.commit_hash for repo in scan.repos for revision in repo.revisions} == {COMMIT, "f" * 40}
    assert list((tmp_path / "cache").rglob("*.incomplete")) == []


def test_what_the_client_downloaded_is_found(hub: Hub, model: Model) -> None:
    huggingface_hub.hf_hub_download("org/name", "config.json")
    hub.stop()
    assert reader.fetch_config("org/name").cached
    assert reader.fetch_config("org/name", revision=COMMIT).cached


def test_a_file_of_the_client_is_left_as_it_is(model: Model) -> None:
    path = Path(huggingface_hub.hf_hub_download("org/name", "config.json"))
    link, changed = path.is_symlink(), path.stat().st_mtime_ns
    assert not reader.fetch_config("org/name").cached
    assert (path.is_symlink(), path.stat().st_mtime_ns) == (link, changed)


def test_a_new_commit_is_read(hub: Hub, model: Model) -> None:
    reader.fetch_config("org/name")
    model.branches["main"], model.files["config.json"] = "e" * 40, b'{"a": 1}'
    assert reader.fetch_config("org/name").config == {"a": 1}
    hub.stop()
    assert reader.fetch_config("org/name").config == {"a": 1}
    assert reader.fetch_config("org/name", revision=COMMIT).config == CONFIG


def test_a_cache_that_cannot_be_written_costs_nothing(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert reader.fetch_config("org/name").config == CONFIG


@pytest.mark.parametrize(("body", "part"), [(b"{", "is not JSON"), (b" " * 20_000_001, "is larger than 20 MB")])
def test_an_unusable_copy(hub: Hub, model: Model, refused: Refused, body: bytes, part: str) -> None:
    path = huggingface_hub.hf_hub_download("org/name", "config.json")
    Path(path).write_bytes(body)
    hub.stop()
    assert part in refused(ConfigError)


def test_a_broken_link_in_the_cache(hub: Hub, model: Model, refused: Refused) -> None:
    path = Path(huggingface_hub.hf_hub_download("org/name", "config.json"))
    path.resolve().unlink()
    hub.stop()
    refused(HubUnreachableError)


# Offline


@pytest.mark.parametrize("way", ["variable", "constant"])
def test_offline(hub: Hub, model: Model, refused: Refused, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    reader.fetch_config("org/name")
    hub.seen.clear()
    if way == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert reader.fetch_config("org/name").cached
    message = refused(HubUnreachableError, "org/other")
    assert "offline mode is on (HF_HUB_OFFLINE is set), and the local cache holds no copy" in message
    assert "unset HF_HUB_OFFLINE" in message
    assert hub.seen == []


# The process


def test_importing_costs_no_client() -> None:
    clients = "[name for name in sys.modules if 'huggingface' in name or 'httpx' in name]"
    assert _python(f"import sys, calculator.sources.hub.client; print({clients})") == "[]"


def test_the_variables_of_a_new_process(hub: Hub, model: Model, tmp_path: Path) -> None:
    hub.tokens, model.access, model.readers = {TOKEN}, "private", {TOKEN}
    code = (
        "from calculator.sources.hub.client import fetch_config; print(fetch_config('org/name', timeout=30).provenance)"
    )
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
    assert _python(code, **variables) == "org/name@0123456 on the Hugging Face Hub"
    assert (tmp_path / "home/hub/models--org--name/refs/main").read_text() == COMMIT
    hub.seen.clear()
    offline = _python(code, **variables, HF_HUB_OFFLINE="1")
    assert offline == "org/name@0123456 on the Hugging Face Hub (the copy in the local cache)"
    assert hub.seen == []


def _python(code: str, **variables: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
