"""Bytes of a file of the Hugging Face Hub in one bounded request, by way of the huggingface_hub client.

The client supplies the session (proxies, certificates), the token and the address. The bytes are read here, because
hf_hub_download retries a refused connection for more than 20 seconds, sleeps as long as a Retry-After asks, and waits
for ever on an answer that trickles in.
"""

from __future__ import annotations

import contextlib
import contextvars
import fnmatch
import importlib
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from calculator.errors import HubError
from calculator.limits import limits
from calculator.sources.hub import refusals
from calculator.sources.hub.refusals import Request

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """Bytes of a file from some place on; `total` is the file's length where the server says it."""

    body: bytes
    total: int | None
    commit: str | None


def endpoint() -> str:
    """The Hub's address. Raises HubError when HF_ENDPOINT is none."""
    # The client reads the variable once, on import, which may lie before it was set and breaks where it is no address.
    found = (os.environ.get("HF_ENDPOINT") or _client_endpoint()).rstrip("/")
    with contextlib.suppress(ValueError):
        address = urlsplit(found)
        port_fits = address.port is None or address.port > 0
        if address.scheme in ("http", "https") and address.hostname and port_fits:
            return found
    raise refusals.bad_endpoint()


def _client_endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def offline() -> bool:
    """Whether the client was told to leave the network alone."""
    from huggingface_hub import constants

    switch = os.environ.get("HF_HUB_OFFLINE", "")
    return constants.HF_HUB_OFFLINE or switch.upper() in constants.ENV_VARS_TRUE_VALUES


def session(request: Request) -> Any:
    """The client's session. Raises HubUnreachableError in offline mode."""
    from huggingface_hub import get_session

    if offline():
        raise refusals.offline(request, "offline mode is on (HF_HUB_OFFLINE is set)")
    return get_session()


def file_address(request: Request) -> str:
    """The address of a file of a repository."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(request.repo_id, request.file, revision=request.revision, endpoint=request.endpoint)


def listing_address(request: Request) -> str:
    """Where the Hub lists a repository's files with their sizes."""
    revision = quote(request.revision or "main", safe="")
    return f"{request.endpoint}/api/models/{request.repo_id}/revision/{revision}?blobs=true"


def headers_address(request: Request, index: str) -> str:
    """Where the Hub gives the safetensors headers of all shards of an index, on main, in one answer (huggingface_hub
    2.4, HfApi.get_sharded_safetensors_metadata)."""
    return f"{request.endpoint}/api/models/{request.repo_id}/safetensors-metadata/{quote(index, safe='/')}"


def within(seconds: float, call: Callable[[], T], late: HubError) -> T:
    """What the call returns or raises; `late` is raised once the seconds are over.

    The call runs in a thread of its own: no setting of a client bounds the look-up of a host name, one attempt for
    each of its addresses, and headers that trickle in.
    """
    outcome = started(call)
    if not wait([outcome], seconds).done:
        raise late
    return outcome.result()


def together(seconds: float, calls: Sequence[Callable[[], T]], late: HubError, threads: int = 8) -> list[T]:
    """What the calls return, at most `threads` of them under way at once; the first error ends the rest."""
    outcomes: list[Future[T]] = [Future() for _ in calls]
    left = iter(list(zip(calls, outcomes, strict=True)))
    lock, stop = threading.Lock(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with lock:
                call, outcome = next(left, (None, None))
            if call is None or outcome is None:
                return
            _settle(outcome, call)

    for _ in range(min(threads, len(calls))):  # each in the limits of the caller
        threading.Thread(target=contextvars.copy_context().run, args=(work,), name="hub", daemon=True).start()
    try:
        finished = wait(outcomes, seconds, return_when="FIRST_EXCEPTION")
        broken = next((o for o in finished.done if o.exception()), None)
        if broken is not None:
            broken.result()
        if finished.not_done:
            raise late
    finally:
        stop.set()
    return [outcome.result() for outcome in outcomes]


def started(call: Callable[[], T]) -> Future[T]:
    """What the call will return or raise, in a thread of its own."""
    outcome: Future[T] = Future()
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(_settle, outcome, call), name="hub", daemon=True).start()
    return outcome


def _settle(outcome: Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # handed over to the waiting thread, which raises it
        outcome.set_exception(error)


def read(
    request: Request,
    client: Any,
    url: str,
    token: str | None,
    *,
    limit: int,
    span: tuple[int, int] | None = None,
    until: float | None = None,
) -> Piece:
    """The file, or with `span` = (first, count) that many of its bytes from the first on, fewer where it ends.

    A server that ignores the range and sends the whole file is read as far as the span, and hung up on.

    Raises:
        ConfigError: the whole file is longer than `limit`. HubError: the Hub gives no such bytes.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The client speaks through httpx in version 1, through httpx2 in version 2; its own error descends from either.
    http: Any = importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])
    headers = headers_with(token, request.repo_id)
    if span is not None:
        headers["range"] = f"bytes={span[0]}-{span[0] + span[1] - 1}"
    until = time.monotonic() + request.timeout if until is None else until
    try:
        with client.stream("GET", url, headers=headers, timeout=request.timeout, follow_redirects=True) as response:
            if span is not None and response.status_code == 416:  # the file ends before the span
                return Piece(b"", _total(response), _header(response, "x-repo-commit"))
            if response.status_code != 200 and not (span is not None and response.status_code == 206):
                raise refusals.refusal(request, response, "authorization" in headers)
            body = _body(request, response, until, limit) if span is None else _span(request, response, until, span)
            return Piece(body, _total(response), _header(response, "x-repo-commit"))
    except (http.HTTPError, http.InvalidURL) as error:
        raise refusals.broken(request, error, http) from None
    except OfflineModeIsEnabled:
        raise refusals.offline(request) from None


def headers_with(token: str | None, repo_id: str) -> dict[str, str]:
    """What is sent along. Raises HubError for a token that no header can carry."""
    token = token_sent(token, repo_id)
    # Compressed answers would hide how long the file is.
    headers = {"user-agent": "transformer-calculator", "accept-encoding": "identity"}
    if not token:
        return headers
    if not re.fullmatch(r"[!-~]+", token):
        raise refusals.malformed_token()
    return headers | {"authorization": f"Bearer {token}"}


SHARED = "CALCULATOR_SHARED_REPOS"
"""Repositories that a server's own token may be sent for, whoever asks: "meta-llama/*, org/name". None by default."""


def token_sent(token: str | None, repo_id: str) -> str | None:
    """The explicit token, else HF_TOKEN or the stored login where that may serve whoever asks.

    Raises:
        HubError: the stored token cannot be read.
    """
    from huggingface_hub import constants, get_token

    explicit = (token or "").strip()
    if explicit or constants.HF_HUB_DISABLE_IMPLICIT_TOKEN or not (limits().own_token or is_shared(repo_id)):
        return explicit or None
    try:
        return get_token()
    except (OSError, ValueError):
        raise refusals.unreadable_token() from None


def is_shared(repo_id: str) -> bool:
    """Whether the operator of a server lets its token be sent for this repository."""
    patterns = os.environ.get(SHARED, "").replace(",", " ").split()
    return any(fnmatch.fnmatchcase(repo_id.lower(), pattern.lower()) for pattern in patterns)


def _header(response: Any, name: str) -> str | None:
    """A header of the Hub's own answer, which a redirect to a storage host follows."""
    values = [answer.headers.get(name) for answer in (*response.history, response)]
    return next((str(value) for value in values if value), None)


def _body(request: Request, response: Any, until: float, limit: int) -> bytes:
    """The body, read no further than the limit.

    Raises ConfigError when it is longer, HubUnreachableError when it ends too early or takes too long.
    """
    size = _declared_size(response)
    if size is not None and size > limit:
        raise refusals.too_large(request, limit)
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limit:
            raise refusals.too_large(request, limit)
        if time.monotonic() > until:
            raise refusals.late(request)
    if size is not None and len(body) != size:
        raise refusals.cut_short(request)
    return bytes(body)


def _span(request: Request, response: Any, until: float, span: tuple[int, int]) -> bytes:
    """The bytes of the span. Raises HubUnreachableError when the server sends others, too few, or takes too long."""
    first, count = span
    place, total = _placed(response) if response.status_code == 206 else (0, _total(response))
    if place > first:
        raise refusals.cut_short(request)
    wanted = first + count - place
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) >= wanted:
            break
        if time.monotonic() > until:
            raise refusals.late(request)
    expected = wanted if total is None else min(wanted, max(total - place, 0))
    if len(body) < expected and total is not None:
        raise refusals.cut_short(request)
    return bytes(body[first - place : wanted])


def _placed(response: Any) -> tuple[int, int | None]:
    """Where the bytes of a 206 begin, and the file's length."""
    said = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", response.headers.get("content-range", ""))
    if said is None:
        return 2**63, None  # begins nowhere
    return int(said[1]), None if said[2] == "*" else int(said[2])


def _total(response: Any) -> int | None:
    """The length of the whole file."""
    said = re.search(r"/([0-9]{1,18})$", response.headers.get("content-range", ""))
    return int(said[1]) if said else None if response.status_code == 206 else _declared_size(response)


def _declared_size(response: Any) -> int | None:
    """The bytes the answer announces; the length of a compressed one is not the file's."""
    length = "" if "content-encoding" in response.headers else response.headers.get("content-length", "")
    declared = _header(response, "x-linked-size") or length
    return int(declared) if re.fullmatch(r"[0-9]{1,18}", declared) else None
