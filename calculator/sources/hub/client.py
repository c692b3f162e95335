"""A model's config.json, read from the Hugging Face Hub (see http) or the huggingface_hub client's cache."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from calculator.errors import HubError, HubUnreachableError, MissingFileError
from calculator.limits import check_json, limits, seconds_left
from calculator.sources import memory
from calculator.sources.hub import disk, http, refusals
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
"""Seconds a whole fetch may take; a request that also reads headers has `limits().seconds` for all of it."""

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

    An explicit token is preferred to HF_TOKEN and the stored login. `timeout` bounds the whole call, in seconds. What
    was fetched with a token is kept apart, and read again with that token only.

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
    request = Request(repo_id, revision, http.endpoint(), seconds_left(timeout), file)
    opened_by = memory.scope(http.token_sent(token, repo_id))
    key = ("config", request.endpoint, repo_id, revision, file, opened_by)
    try:
        ask, late = partial(_from_hub, request, token, opened_by), partial(refusals.late, request)
        return memory.answered(key, limits().failure_seconds, ask, request.timeout, late)
    except HubUnreachableError:
        cached = _cached(request, opened_by) if limits().disk else None
        if cached is None:
            raise
        return cached


# Files beside it


class SideFiles:
    """Files beside config.json that may say how the checkpoint is quantized, asked for at the same time as it, so that
    where they are absent nothing waits for them."""

    def __init__(self, names: Sequence[str], repo_id: str, revision: str | None, token: str | None) -> None:
        self.until = time.monotonic() + seconds_left(DEFAULT_TIMEOUT)
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


def _from_hub(request: Request, token: str | None, opened_by: str) -> HubFile:
    # Made here, because loading the client takes a while that is not the Hub's.
    client, url = http.session(request), http.file_address(request)
    piece = http.within(
        request.timeout, lambda: http.read(request, client, url, token, limit=longest()), refusals.late(request)
    )
    config = _parsed(request, piece.body)
    if limits().disk and piece.commit is not None and re.fullmatch(r"[0-9a-f]{40}", piece.commit):
        disk.store(request.repo_id, request.file, request.revision, piece.commit, piece.body, opened_by)
    return HubFile(config, request.repo_id, request.revision, piece.commit)


def longest() -> int:
    """Bytes of the longest config.json that is read."""
    return min(MAX_BYTES, limits().config_bytes)


def _parsed(request: Request, body: bytes) -> dict[str, Any]:
    """The JSON object. Raises ConfigError for anything else."""
    check_json(body, f"The config.json of {request.repo_id}")
    try:
        config = json.loads(body)
    except (ValueError, RecursionError):
        raise refusals.unreadable(request, "is not JSON") from None
    if not isinstance(config, dict):
        raise refusals.unreadable(request, f"is JSON, but {_KINDS[type(config)]} instead of an object")
    return config


def _cached(request: Request, opened_by: str) -> HubFile | None:
    """The copy on this machine. Raises ConfigError when it is unusable."""
    found = disk.find(request.repo_id, request.file, request.revision, opened_by, longest() + 1)
    if found is None:
        return None
    body, commit = found
    if len(body) > longest():
        raise refusals.too_large(request, longest())
    return HubFile(_parsed(request, body), request.repo_id, request.revision, commit, cached=True)


def cached_folder(repo_id: str, commit: str | None, opened_by: str) -> Path | None:
    """Where the client keeps what was downloaded of a repository at that commit, beside its config.json."""
    if commit is None or not limits().disk or not disk.may_read(disk.folder_of(repo_id), commit, opened_by):
        return None
    folder = disk.folder_of(repo_id) / "snapshots" / commit
    return folder if (folder / FILE).is_file() else None
