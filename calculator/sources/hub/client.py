"""A model's config.json, read from the Hugging Face Hub (see http) or the huggingface_hub client's cache."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import HubUnreachableError
from calculator.limits import check_json, limits
from calculator.sources import memory
from calculator.sources.hub import disk, http, refusals
from calculator.sources.hub.ids import check, is_repo, parse_repo
from calculator.sources.hub.refusals import MAX_BYTES, Request

__all__ = ["DEFAULT_TIMEOUT", "MAX_BYTES", "HubFile", "fetch_config", "is_repo", "parse_repo"]

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
    file: str = FILE,
) -> HubFile:
    """The config.json of a model, from the Hub or, when the Hub is out of reach, from the local cache; with `file`
    another file of that kind (params.json, adapter_config.json).

    An explicit token is preferred to HF_TOKEN and the stored login. `timeout` bounds the whole call, in seconds. What
    was fetched with a token is kept apart, and read again with that token only.

    Raises SourceError for a malformed id or revision, ModelNotFoundError for an unknown or private repository and an
    unknown revision, GatedModelError for a gated repository, MissingFileError when it has no config.json, ConfigError
    when the file is too large or not a JSON object, HubUnreachableError when nothing was read and a later try may
    succeed, and HubError for a refused token, any other answer and an invalid HF_ENDPOINT. What the Hub refuses is
    never taken from the cache, which several users of one page may share.
    """
    check(repo_id, revision)
    request = Request(repo_id, revision, http.endpoint(), timeout, file)
    opened_by = memory.scope(http.token_sent(token, repo_id))
    key = ("config", request.endpoint, repo_id, revision, file, opened_by)
    try:
        return memory.answered(key, limits().failure_seconds, lambda: _from_hub(request, token, opened_by))
    except HubUnreachableError:
        cached = _cached(request, opened_by) if limits().disk else None
        if cached is None:
            raise
        return cached


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
