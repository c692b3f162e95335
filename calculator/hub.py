"""A model's config.json, read from the Hugging Face Hub by way of the huggingface_hub client.

The client supplies the session (proxies, certificates), the token, the address and the cache. The file itself is read
here in one bounded request, because hf_hub_download retries a refused connection for more than 20 seconds, sleeps as
long as a Retry-After asks, and waits for ever on an answer that trickles in.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from calculator import hub_refusals as refusals
from calculator.errors import HubError, HubUnreachableError
from calculator.hub_ids import FILE, check, is_repo, parse_repo
from calculator.hub_refusals import MAX_BYTES, Request

__all__ = ["DEFAULT_TIMEOUT", "MAX_BYTES", "HubFile", "fetch_config", "is_repo", "parse_repo"]

DEFAULT_TIMEOUT = 5.0
"""Seconds a whole fetch may take."""

_KINDS = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}

T = TypeVar("T")


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
    repo_id: str, *, revision: str | None = None, token: str | None = None, timeout: float = DEFAULT_TIMEOUT
) -> HubFile:
    """The config.json of a model, from the Hub or, when the Hub is out of reach, from the local cache.

    An explicit token is preferred to HF_TOKEN and the stored login. `timeout` bounds the whole call, in seconds.

    Raises SourceError for a malformed id or revision, ModelNotFoundError for an unknown or private repository and an
    unknown revision, GatedModelError for a gated repository, MissingFileError when it has no config.json, ConfigError
    when the file is too large or not a JSON object, HubUnreachableError when nothing was read and a later try may
    succeed, and HubError for a refused token, any other answer and an invalid HF_ENDPOINT. What the Hub refuses is
    never taken from the cache, which several users of one page may share.
    """
    check(repo_id, revision)
    request = Request(repo_id, revision, _endpoint(), timeout)
    try:
        return _from_hub(request, token)
    except HubUnreachableError:
        cached = _from_cache(request)
        if cached is None:
            raise
        return cached


def _endpoint() -> str:
    """The Hub's address. Raises HubError when HF_ENDPOINT is none."""
    # The client reads the variable once, on import, which may lie before it was set and breaks where it is no address.
    endpoint = (os.environ.get("HF_ENDPOINT") or _client_endpoint()).rstrip("/")
    with contextlib.suppress(ValueError):
        address = urlsplit(endpoint)
        port_fits = address.port is None or address.port > 0
        if address.scheme in ("http", "https") and address.hostname and port_fits:
            return endpoint
    raise refusals.bad_endpoint()


def _client_endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _offline() -> bool:
    from huggingface_hub import constants

    switch = os.environ.get("HF_HUB_OFFLINE", "")
    return constants.HF_HUB_OFFLINE or switch.upper() in constants.ENV_VARS_TRUE_VALUES


# The request


def _from_hub(request: Request, token: str | None) -> HubFile:
    from huggingface_hub import get_session, hf_hub_url

    if _offline():
        raise refusals.offline(request, "offline mode is on (HF_HUB_OFFLINE is set)")
    # Made here, because loading the client takes a while that is not the Hub's.
    session = get_session()
    url = hf_hub_url(request.repo_id, FILE, revision=request.revision, endpoint=request.endpoint)
    body, commit = _within(request.timeout, lambda: _read(request, session, url, token), refusals.late(request))
    config = _parsed(request, body)
    if commit is not None and re.fullmatch(r"[0-9a-f]{40}", commit):
        _store(request, commit, body)
    return HubFile(config, request.repo_id, request.revision, commit)


def _within(seconds: float, call: Callable[[], T], late: HubError) -> T:
    """What the call returns or raises; `late` is raised once the seconds are over.

    The call runs in a thread of its own: no setting of a client bounds the look-up of a host name, one attempt for
    each of its addresses, and headers that trickle in.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # handed over to the waiting thread, which raises it
            outcome.set_exception(error)

    threading.Thread(target=run, name="hub", daemon=True).start()
    if not wait([outcome], seconds).done:
        raise late
    return outcome.result()


def _read(request: Request, session: Any, url: str, token: str | None) -> tuple[bytes, str | None]:
    """The bytes of config.json and the commit they belong to."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The client speaks through httpx in version 1, through httpx2 in version 2; its own error descends from either.
    http: Any = importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    headers = _headers(token)
    until = time.monotonic() + request.timeout
    try:
        with session.stream("GET", url, headers=headers, timeout=request.timeout, follow_redirects=True) as response:
            if response.status_code != 200:
                raise refusals.refusal(request, response, "authorization" in headers)
            return _body(request, response, until), _header(response, "x-repo-commit")
    except (http.HTTPError, http.InvalidURL) as error:
        raise refusals.broken(request, error, http) from None
    except OfflineModeIsEnabled:
        raise refusals.offline(request) from None


def _headers(token: str | None) -> dict[str, str]:
    """What is sent along. Raises HubError for a token that no header can carry."""
    from huggingface_hub import constants, get_token

    token = (token or "").strip() or (None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token())
    # Compressed answers would hide how long the file is.
    headers = {"user-agent": "transformer-calculator", "accept-encoding": "identity"}
    if not token:
        return headers
    if not re.fullmatch(r"[!-~]+", token):
        raise refusals.malformed_token()
    return headers | {"authorization": f"Bearer {token}"}


def _header(response: Any, name: str) -> str | None:
    """A header of the Hub's own answer, which a redirect to a storage host follows."""
    values = [answer.headers.get(name) for answer in (*response.history, response)]
    return next((str(value) for value in values if value), None)


def _body(request: Request, response: Any, until: float) -> bytes:
    """The body, read no further than MAX_BYTES.

    Raises ConfigError when it is longer, HubUnreachableError when it ends too early or takes too long.
    """
    size = _declared_size(response)
    if size is not None and size > MAX_BYTES:
        raise refusals.too_large(request)
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise refusals.too_large(request)
        if time.monotonic() > until:
            raise refusals.late(request)
    if size is not None and len(body) != size:
        raise refusals.cut_short(request)
    return bytes(body)


def _declared_size(response: Any) -> int | None:
    """The bytes the answer announces; the length of a compressed one is not the file's."""
    length = "" if "content-encoding" in response.headers else response.headers.get("content-length", "")
    declared = _header(response, "x-linked-size") or length
    return int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else None


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

    found = try_to_load_from_cache(request.repo_id, FILE, revision=request.revision)
    if not isinstance(found, str):
        return None
    try:
        with open(found, "rb") as file:
            body = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    if len(body) > MAX_BYTES:
        raise refusals.too_large(request)
    return HubFile(_parsed(request, body), request.repo_id, request.revision, Path(found).parent.name, cached=True)


def _store(request: Request, commit: str, body: bytes) -> None:
    """Keeps the file where the client looks for it, for a time without network. The layout of the cache is public."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "--".join(("models", *request.repo_id.split("/")))
    file = folder / "snapshots" / commit / FILE
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
