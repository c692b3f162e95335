"""A model's config.json, read from the Hugging Face Hub (see hub_http) or the huggingface_hub client's cache."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from calculator.errors import HubError, HubUnreachableError, MissingFileError
from calculator.sources.hub import http, refusals
from calculator.sources.hub.ids import FILE, check, is_repo, parse_repo
from calculator.sources.hub.refusals import MAX_BYTES, Request

__all__ = [
    "DEFAULT_TIMEOUT",
    "MAX_BYTES",
    "HubFile",
    "SideFiles",
    "fetch_config",
    "fetch_file",
    "is_repo",
    "parse_repo",
]

DEFAULT_TIMEOUT = 5.0
"""Seconds a whole fetch may take."""

_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}


@dataclass(frozen=True)
class HubFile:
    """A config.json and where it came from. `cached` says that the Hub was out of reach and the local copy was read."""

    config: dict[str, Any] = field(repr=False)
    repo_id: str
    revision: str | None = None
    commit: str | None = None
    cached: bool = False

    @property
    def provenance(self) -> str:
        """Where the configuration came from, to be printed: "org/name@abc1234 on the Hugging Face Hub"."""
        version = self.commit[:7] if self.commit else self.revision
        name = f"{self.repo_id}@{version}" if version else self.repo_id
        return f"{name} on the Hugging Face Hub" + (" (the copy in the local cache)" if self.cached else "")


def fetch_config(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> HubFile:
    """The config.json of a model, from the Hub or, when the Hub is out of reach, from the local cache.

    An explicit token is preferred to HF_TOKEN and the stored login. `timeout` bounds the whole call, in seconds.

    Raises SourceError for a malformed id or revision, ModelNotFoundError for an unknown or private repository and an
    unknown revision, GatedModelError for a gated repository, MissingFileError when it has no config.json, ConfigError
    when the file is too large or not a JSON object, HubUnreachableError when nothing was read and a later try may
    succeed, and HubError for a refused token, any other answer and an invalid HF_ENDPOINT. What the Hub refuses is
    never taken from the cache, which several users of one page may share.
    """
    return fetch_file(FILE, repo_id, revision=revision, token=token, timeout=timeout)


def fetch_file(
    file: str,
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
) -> HubFile:
    """A file of a repository that is one JSON object (params.json, adapter_config.json), as `fetch_config`."""
    check(repo_id, revision)
    request = Request(repo_id, revision, http.endpoint(), timeout, file)
    try:
        return _from_hub(request, token)
    except HubUnreachableError:
        cached = _from_cache(request)
        if cached is None:
            raise
        return cached


# Files beside it


class SideFiles:
    """Files beside config.json that may say how the checkpoint is quantized, asked for at the same time as it, so that
    where they are absent nothing waits for them."""

    def __init__(self, names: Sequence[str], repo_id: str, revision: str | None, token: str | None) -> None:
        self.until = time.monotonic() + DEFAULT_TIMEOUT
        self.repo_id = repo_id
        self.answers = {
            name: http.started(partial(fetch_file, name, repo_id, revision=revision, token=token)) for name in names
        }

    def found(self) -> tuple[dict[str, Any], list[str]]:
        """Those that are there, by name, and the names of those of which the Hub did not tell whether they are.

        Raises:
            ConfigError: one is there and is no JSON object.
        """
        found, untold = {}, []
        wait(self.answers.values(), max(self.until - time.monotonic(), 0))
        for name, answer in self.answers.items():
            try:
                found[name] = answer.result(timeout=0).config
            except MissingFileError:
                continue
            except (HubError, TimeoutError):
                untold.append(name)
        return found, untold


# The request


def _from_hub(request: Request, token: str | None) -> HubFile:
    # Made here, because loading the client takes a while that is not the Hub's.
    client, url = http.session(request), http.file_address(request)
    piece = http.within(
        request.timeout, lambda: http.read(request, client, url, token, limit=MAX_BYTES), refusals.late(request)
    )
    config = _parsed(request, piece.body)
    if piece.commit is not None and re.fullmatch(r"[0-9a-f]{40}", piece.commit):
        _store(request, piece.commit, piece.body)
    return HubFile(config, request.repo_id, request.revision, piece.commit)


def _parsed(request: Request, body: bytes) -> dict[str, Any]:
    """The JSON object. Raises ConfigError for anything else."""
    try:
        config = json.loads(body)
    except (ValueError, RecursionError):
        raise refusals.unreadable(request, "is not JSON") from None
    if not isinstance(config, dict):
        raise refusals.unreadable(request, f"is JSON, but {_KINDS[type(config)]} instead of an object")
    return config


# The client's cache


def _from_cache(request: Request) -> HubFile | None:
    """The copy that this or any other program left in the Hub's cache. Raises ConfigError when it is unusable."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(request.repo_id, request.file, revision=request.revision)
    if not isinstance(found, str):
        return None
    try:
        with open(found, "rb") as file:
            body = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    if len(body) > MAX_BYTES:
        raise refusals.too_large(request, MAX_BYTES)
    return HubFile(_parsed(request, body), request.repo_id, request.revision, Path(found).parent.name, cached=True)


def cached_folder(repo_id: str, commit: str | None) -> Path | None:
    """Where the client keeps what was downloaded of a repository at that commit, beside its config.json."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, FILE, revision=commit) if commit is not None else None
    return Path(found).parent if isinstance(found, str) else None


def _store(request: Request, commit: str, body: bytes) -> None:
    """Keeps the file where the client looks for it, for a time without network. The layout of the cache is public."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "--".join(("models", *request.repo_id.split("/")))
    file = folder / "snapshots" / commit / request.file
    with contextlib.suppress(OSError):  # a read-only or full disk costs the copy, not the answer
        if not file.exists():
            _write(file, body, folder)
        if request.revision != commit:
            _write(folder / "refs" / (request.revision or "main"), commit.encode(), folder)


def _write(file: Path, body: bytes, folder: Path) -> None:
    draft = folder / "blobs" / f"{uuid.uuid4().hex}.incomplete"
    draft.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(body)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
