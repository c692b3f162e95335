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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from calculator.errors import (
    ConfigError,
    GatedModelError,
    HubError,
    HubUnreachableError,
    MissingFileError,
    ModelNotFoundError,
    SourceError,
)

DEFAULT_TIMEOUT = 5.0
"""Seconds a whole fetch may take."""

MAX_BYTES = 20_000_000
"""Longest config.json that is read; the largest known ones have a few hundred thousand bytes."""

_FILE = "config.json"
_ALLOWED = (
    'Allowed are "org/name", a single name such as "gpt2", either one with "@revision", '
    "or the address of a model such as https://huggingface.co/org/name."
)
_BAD_ENDPOINT = (
    "HF_ENDPOINT is not the address of a Hub. Allowed is an address such as https://huggingface.co; "
    "correct the variable or unset it."
)
_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co"}
_VIEWS = {"tree", "blob", "resolve", "raw", "blame", "commit", "commits"}
_OTHER_KINDS = {"datasets": "a dataset", "spaces": "a Space", "buckets": "a bucket", "kernels": "a kernel"}
_SITE_PAGES = {"api", "blog", "collections", "docs", "join", "learn", "login", "models", "new", "organizations"}
_SITE_PAGES |= {"papers", "posts", "pricing", "settings", "tasks"}
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO_ID = re.compile(rf"(?:{_PART}/)?{_PART}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=/-]{0,254}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{30,}")

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


def parse_repo(text: str) -> tuple[str, str | None]:
    """The repository id and the revision, if one is named, of a Hub id or address.

    Raises SourceError when the text is neither, or is the address of something other than a model's config.json.
    """
    stripped = text.strip()
    path = _hub_path(stripped)
    repo_id, revision = _split_id(stripped) if path is None else _split_path(path)
    _check(repo_id, revision)
    return repo_id, revision


def is_repo(text: str) -> bool:
    """Whether the text has the form of a Hub id or address of a model; the Hub is not asked."""
    try:
        parse_repo(text)
    except SourceError:
        return False
    return True


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
    _check(repo_id, revision)
    request = _Request(repo_id, revision, _endpoint(), timeout)
    if _offline():
        failure = request.unreachable("offline mode is on (HF_HUB_OFFLINE is set)", "unset HF_HUB_OFFLINE")
    else:
        try:
            return _from_hub(request, token)
        except HubUnreachableError as error:
            failure = error
    cached = _from_cache(request)
    if cached is None:
        raise failure
    return cached


# Ids and addresses


def _hub_path(text: str) -> str | None:
    """The path of a Hub address, None when the text is no address. Raises SourceError for another site's address."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        site = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        raise _refused(text) from None
    if site not in _HOSTS | {urlsplit(os.environ.get("HF_ENDPOINT", "")).netloc.lower()} or not site:
        if "://" in text:
            raise _refused(f"{site}{parts.path}")
        return None
    return parts.path


def _split_id(text: str) -> tuple[str, str | None]:
    repo_id, at, revision = text.partition("@")
    if at and not revision:
        raise SourceError(f"{_shown(text)} names no revision after the @. {_ALLOWED}")
    return repo_id, revision or None


def _split_path(path: str) -> tuple[str, str | None]:
    parts = [unquote(part) for part in path.split("/") if part]
    end = next((place for place, part in enumerate(parts) if place and part in _VIEWS), len(parts))
    repo_id, view = "/".join(parts[:end]), parts[end:]
    file = "/".join(view[2:])
    if file not in ("", _FILE):
        raise SourceError(
            f"This address points at {_shown(file)}, but only the config.json at the top of a repository is read. "
            f"Give {_shown(repo_id)} instead."
        )
    return repo_id, view[1] if len(view) > 1 else None


def _check(repo_id: str, revision: str | None) -> None:
    """Raises SourceError unless both may be part of a Hub address and, being safe paths, of the cache."""
    if _TOKEN.search(f"{repo_id} {revision}"):
        raise SourceError(f"This holds an access token where a model of the Hugging Face Hub is asked for. {_ALLOWED}")
    owner = repo_id.partition("/")[0]
    if owner in _OTHER_KINDS:
        raise SourceError(f"{_shown(repo_id)} is {_OTHER_KINDS[owner]}, and only models have a config.json. {_ALLOWED}")
    wrong_end = repo_id.endswith((".git", ".json"))
    if owner in _SITE_PAGES or wrong_end or ".." in repo_id or "--" in repo_id or not _REPO_ID.fullmatch(repo_id):
        raise _refused(repo_id)
    if revision is None:
        return
    if ".." in revision or "//" in revision or revision.endswith("/") or not _REVISION.fullmatch(revision):
        raise SourceError(
            f"{_shown(revision)} cannot be a revision of {repo_id}. Allowed are a branch, a tag or a commit hash, "
            'such as "main" or "refs/pr/1".'
        )


def _refused(text: str) -> SourceError:
    return SourceError(f"{_shown(text)} is not a model on the Hugging Face Hub. {_ALLOWED}")


def _shown(text: str) -> str:
    """The text in quotes, short, and without what looks like an access token."""
    masked = _TOKEN.sub("hf_…", text)
    return f'"{masked if len(masked) <= 80 else masked[:79] + "…"}"'


# The Hub


@dataclass(frozen=True)
class _Request:
    """What is asked of which Hub, and the sentences that need no more than that."""

    repo_id: str
    revision: str | None
    endpoint: str
    timeout: float

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    @property
    def page(self) -> str:
        address = urlsplit(self.endpoint)
        return address._replace(netloc=self.host, path=f"{address.path}/{self.repo_id}").geturl()

    def unreachable(self, reason: str, remedy: str) -> HubUnreachableError:
        return HubUnreachableError(
            f"{self.repo_id} was not read from the Hugging Face Hub ({self.host}): {reason}, and the local cache holds "
            f"no copy of it. Bundled models, local files and models already in the cache still work; to read this one, "
            f"{remedy}."
        )

    def late(self) -> HubUnreachableError:
        return self.unreachable(f"no complete answer came within {self.timeout:g} seconds", "try again in a moment")

    def cut_short(self) -> HubUnreachableError:
        return self.unreachable("the connection broke off before the whole file had come", "try again in a moment")

    def unreadable(self, what: str) -> ConfigError:
        return ConfigError(
            f"The config.json of {self.repo_id} {what}. Allowed is one JSON object of at most "
            f"{MAX_BYTES // 1_000_000} MB. Check at {self.page} that this is the right model, or give a local "
            "config.json."
        )

    def too_large(self) -> ConfigError:
        return self.unreadable(f"is larger than {MAX_BYTES // 1_000_000} MB and was not read")


def _endpoint() -> str:
    """The Hub's address. Raises HubError when HF_ENDPOINT is none."""
    from huggingface_hub import constants

    # The client reads the variable once, on import, which may lie before it was set.
    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    with contextlib.suppress(ValueError):
        address = urlsplit(endpoint)
        port_fits = address.port is None or address.port > 0
        if address.scheme in ("http", "https") and address.hostname and port_fits:
            return endpoint
    raise HubError(_BAD_ENDPOINT)


def _offline() -> bool:
    from huggingface_hub import constants

    switch = os.environ.get("HF_HUB_OFFLINE", "")
    return constants.HF_HUB_OFFLINE or switch.upper() in constants.ENV_VARS_TRUE_VALUES


def _from_hub(request: _Request, token: str | None) -> HubFile:
    from huggingface_hub import get_session, hf_hub_url

    # Made here, because loading the client takes a while that is not the Hub's.
    url = hf_hub_url(request.repo_id, _FILE, revision=request.revision, endpoint=request.endpoint)
    read = partial(_read, request, get_session(), url, token)
    body, commit = _within(request.timeout, read, request.late())
    config = _parsed(request, body)
    if commit is not None and _COMMIT.fullmatch(commit):
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


def _read(request: _Request, session: Any, url: str, token: str | None) -> tuple[bytes, str | None]:
    """The bytes of config.json and the commit they belong to."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The client speaks through httpx in version 1, through httpx2 in version 2; its own error descends from either.
    http: Any = importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    headers = _headers(token)
    until = time.monotonic() + request.timeout
    try:
        with session.stream("GET", url, headers=headers, timeout=request.timeout, follow_redirects=True) as response:
            refusal = _refusal(request, response, "authorization" in headers)
            if refusal is None:
                return _body(request, response, until), _header(response, "x-repo-commit")
    except (http.HTTPError, http.InvalidURL) as error:
        refusal = _broken(request, error, http)
    except OfflineModeIsEnabled:
        refusal = request.unreachable("offline mode is on", "unset HF_HUB_OFFLINE")
    raise refusal


def _headers(token: str | None) -> dict[str, str]:
    """What is sent along. Raises HubError for a token that no header can carry."""
    from huggingface_hub import constants, get_token

    token = (token or "").strip() or (None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token())
    # Compressed answers would hide how long the file is.
    headers = {"user-agent": "transformer-calculator", "accept-encoding": "identity"}
    if not token:
        return headers
    if not re.fullmatch(r"[!-~]+", token):
        raise HubError(
            "The access token is malformed: it holds spaces or characters that no token has. Copy it again from "
            "https://huggingface.co/settings/tokens into HF_TOKEN or --token."
        )
    return headers | {"authorization": f"Bearer {token}"}


def _header(response: Any, name: str) -> str | None:
    """A header of the Hub's own answer, which a redirect to a storage host follows."""
    values = [answer.headers.get(name) for answer in (*response.history, response)]
    return next((str(value) for value in values if value), None)


def _body(request: _Request, response: Any, until: float) -> bytes:
    """The body, read no further than MAX_BYTES.

    Raises ConfigError when it is longer, HubUnreachableError when it ends too early or takes too long.
    """
    length = "" if "content-encoding" in response.headers else response.headers.get("content-length", "")
    declared = _header(response, "x-linked-size") or length
    size = int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else None
    if size is not None and size > MAX_BYTES:
        raise request.too_large()
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise request.too_large()
        if time.monotonic() > until:
            raise request.late()
    if size is not None and len(body) != size:
        raise request.cut_short()
    return bytes(body)


def _broken(request: _Request, error: Exception, http: Any) -> HubError:
    """Why no complete answer came, told from what the connection raised."""
    if isinstance(error, http.TimeoutException):
        return request.late()
    if isinstance(error, (http.InvalidURL, http.UnsupportedProtocol)):
        return HubError(_BAD_ENDPOINT)
    if isinstance(error, http.ProxyError):
        return request.unreachable("the proxy refused the connection", "correct HTTPS_PROXY or unset it")
    if "CERTIFICATE" in str(error).upper():
        remedy = "have the certificate of the network's proxy installed, or set SSL_CERT_FILE to it"
        return request.unreachable("its certificate could not be verified", remedy)
    if isinstance(error, http.ConnectError):
        return request.unreachable("the network is down or the host is blocked", "check the connection and try again")
    if isinstance(error, http.TooManyRedirects):
        return request.unreachable("it answered with an endless chain of redirects", "check HF_ENDPOINT and try again")
    return request.cut_short()


def _refusal(request: _Request, response: Any, token_sent: bool) -> HubError | None:
    """What the status and the Hub's own error code say, None for a file; the error's body is never read."""
    status, code = response.status_code, response.headers.get("x-error-code", "")
    rejected = "invalid credentials" in response.headers.get("x-error-message", "").lower()
    if status == 200:
        return None
    if status == 401 and token_sent and (rejected or code != "GatedRepo"):
        return HubError(
            f"The Hugging Face Hub refused the access token (401) when asked for {request.repo_id}: it is mistyped, "
            "expired or revoked. Create one at https://huggingface.co/settings/tokens and put it into HF_TOKEN or "
            "--token; public models need none."
        )
    if code == "GatedRepo":
        return _gated(request, token_sent)
    if code == "RevisionNotFound":
        return ModelNotFoundError(
            f"{request.repo_id} has no revision {_shown(request.revision or 'main')}. Allowed are its branches, tags "
            f"and commits, which {request.page}/tree/main lists; without @revision, main is read."
        )
    if code == "EntryNotFound":
        return MissingFileError(
            f"{request.repo_id} holds no config.json{_at(request)}: repositories with only GGUF files, adapters or "
            "diffusion pipelines have none at the top. Give the transformer it was made from, or a local config.json."
        )
    if code == "RepoNotFound" or status in (401, 404):
        return _not_found(request, token_sent)
    return _other(request, response, token_sent)


def _at(request: _Request) -> str:
    return f" at revision {request.revision}" if request.revision else ""


def _gated(request: _Request, token_sent: bool) -> GatedModelError:
    if token_sent:
        return GatedModelError(
            f"{request.repo_id} is gated, and the access token that was sent has no access to it. Open {request.page} "
            "with the token's account, accept the licence, wait until access is granted, and try again."
        )
    return GatedModelError(
        f"{request.repo_id} is gated: only accounts that accepted its licence may read it. Open {request.page}, accept "
        "the licence, then set HF_TOKEN or pass --token."
    )


def _not_found(request: _Request, token_sent: bool) -> ModelNotFoundError:
    hint = (
        "or it is private and the access token that was sent may not read it"
        if token_sent
        else "or it is private, which looks the same without an access token (set HF_TOKEN or pass --token)"
    )
    return ModelNotFoundError(
        f"The Hugging Face Hub has no model {request.repo_id}, {hint}. Check the spelling at {request.page}."
    )


def _other(request: _Request, response: Any, token_sent: bool) -> HubError:
    status = response.status_code
    if status == 403 and "disabled" in response.headers.get("x-error-message", "").lower():
        return HubError(f"The Hugging Face Hub has disabled {request.repo_id} (403). Choose another model.")
    if status == 403:
        lack = "the access token that was sent lacks the permission" if token_sent else "no access token was sent"
        return ModelNotFoundError(
            f"The Hugging Face Hub forbids reading {request.repo_id} (403): {lack}. Set HF_TOKEN or pass --token with "
            "a token that may read this repository."
        )
    if status == 429:
        pause = _pause(response)
        remedy = f"try again in {pause} seconds" if pause else "try again in a few minutes"
        return request.unreachable(
            "it limits the rate of requests (429)", f"{remedy}, or set HF_TOKEN for a higher limit"
        )
    if status >= 500 or status == 408:
        return request.unreachable(f"it has a fault of its own (status {status})", "try again in a few minutes")
    return HubError(
        f"The Hugging Face Hub ({request.host}) gave no file for {request.repo_id} but status {status}. Check the id "
        f"at {request.page}, or give a local config.json."
    )


def _pause(response: Any) -> str | None:
    """Seconds to wait, from Retry-After or the Hub's RateLimit header."""
    after = re.fullmatch(r"\s*([0-9]{1,9})\s*", response.headers.get("retry-after", ""))
    reset = after or re.search(r";\s*t\s*=\s*([0-9]{1,9})", response.headers.get("ratelimit", ""))
    return reset.group(1) if reset else None


def _parsed(request: _Request, body: bytes) -> dict[str, Any]:
    """The JSON object. Raises ConfigError for anything else."""
    try:
        config = json.loads(body)
    except (ValueError, RecursionError):
        raise request.unreadable("is not JSON") from None
    if not isinstance(config, dict):
        raise request.unreadable(f"is JSON, but {_KINDS[type(config)]} instead of an object")
    return config


# The client's cache


def _from_cache(request: _Request) -> HubFile | None:
    """The copy that this or any other program left in the Hub's cache. Raises ConfigError when it is unusable."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(request.repo_id, _FILE, revision=request.revision)
    if not isinstance(found, str):
        return None
    try:
        with open(found, "rb") as file:
            body = file.read(MAX_BYTES + 1)
    except OSError:
        return None
    if len(body) > MAX_BYTES:
        raise request.too_large()
    return HubFile(_parsed(request, body), request.repo_id, request.revision, Path(found).parent.name, cached=True)


def _store(request: _Request, commit: str, body: bytes) -> None:
    """Keeps the file where the client looks for it, for a time without network. The layout of the cache is public."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "--".join(("models", *request.repo_id.split("/")))
    file = folder / "snapshots" / commit / _FILE
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
