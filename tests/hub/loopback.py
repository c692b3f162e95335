"""A Hugging Face Hub on the loopback interface: the part of the Hub's HTTP interface that its real client uses.

`Hub` serves models, `Storage` is the other host to which the Hub sends the client for large files. Both note every
request in `seen` and those whose file was sent to its end in `finished`, and both can be told to misbehave by setting
`fault`. So tests count what was asked and answered, and time nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import quote, unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE = b" " * 65536
_RESOLVE = re.compile(r"/([^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.+)")
_LISTED = re.compile(r"/api/models/([^/]+(?:/[^/]+)?)/revision/([^/?]+)\?blobs=true")
_HEADERS = re.compile(r"/api/models/([^/]+(?:/[^/]+)?)/safetensors-metadata/(.+)")
_RESOLVED = re.compile(r"/api/resolve-cache/models/(.+)/([0-9a-f]{40})/(.+)")


@dataclass
class Model:
    """A repository. `access` is "public", "private" or "gated"; `readers` are the tokens that open the latter two."""

    files: dict[str, bytes]
    access: str = "public"
    readers: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    large: set[str] = field(default_factory=set)
    """Names of the files that the storage host serves."""

    def commit(self, revision: str) -> str | None:
        return revision if revision in self.branches.values() else self.branches.get(revision)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    authorization: str | None
    range: str | None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Fault:
    """How a server misbehaves. Pauses are in seconds, and each byte costs one."""

    answer: Answer | None = None
    """Given to every request instead of the right one; its headers are sent as they are, without a length."""
    delay: float = 0
    header_pause: float = 0
    body_pause: float = 0
    cut: int | None = None
    """Bytes of the body after which the connection closes."""
    endless: bool = False
    """Whether the body goes on until the client hangs up."""
    reset: bool = False
    """Whether the connection is reset instead of answered."""
    together: threading.Barrier | None = None
    """Requests wait here for one another: those that are made one after another are never answered."""
    only: str = ""
    """Part of the paths that are affected; all of them where it is empty."""


class Loopback:
    """A server on a free port of 127.0.0.1, one thread per connection; `stop` leaves none of them behind."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.finished: list[Seen] = []
        self.fault = Fault()
        self.sent = 0
        self.ranges = True
        """Whether ranges are answered; a server without them sends the whole file."""
        self.stopped = threading.Event()
        handler = type("Handler", (_Handler,), {"loopback": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.005})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Closes the port; slow answers under way are dropped."""
        if not self.stopped.is_set():
            self.stopped.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def answer(self, request: Seen) -> Answer:
        raise NotImplementedError


class Storage(Loopback):
    """The host of large files, which knows nothing of tokens. Its name differs from the Hub's, not only its port."""

    host = "localhost"

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}

    def keep(self, body: bytes) -> str:
        """The address at which the storage now serves the body."""
        path = f"/blobs/{hashlib.sha256(body).hexdigest()}"
        self.blobs[path] = body
        return self.url + path

    def answer(self, request: Seen) -> Answer:
        body = self.blobs.get(request.path)
        return Answer(403) if body is None else _file(body, request)


class Hub(Loopback):
    """The Hub. `models` are its repositories, `tokens` the access tokens it knows."""

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.storage = storage
        self.models: dict[str, Model] = {}
        self.tokens: set[str] = set()
        self.one_request = True
        """Whether the route for the headers of all shards is offered."""

    def answer(self, request: Seen) -> Answer:
        together = _HEADERS.fullmatch(request.path)
        if together is not None:
            return self._access(together[1], request.authorization) or self._headers(together[1], unquote(together[2]))
        listed = _LISTED.fullmatch(request.path)
        if listed is not None:
            return self._access(listed[1], request.authorization) or self._list(listed[1], unquote(listed[2]))
        place = _RESOLVED.fullmatch(request.path) or _RESOLVE.fullmatch(request.path)
        if place is None:
            return _refusal(404, "", "Sorry, we can't find the page you are looking for.")
        repo_id, revision, name = place.groups()
        refusal = self._access(repo_id, request.authorization)
        return refusal or self._resolve(repo_id, unquote(revision), unquote(name), request)

    def _access(self, repo_id: str, authorization: str | None) -> Answer | None:
        token = authorization.removeprefix("Bearer ") if authorization else None
        if token is not None and token not in self.tokens:
            return _refusal(401, "", "Invalid credentials in Authorization header")
        model = self.models.get(repo_id)
        if model is None or (model.access == "private" and token not in model.readers):
            # Without a token the Hub does not tell a missing repository from a private one.
            return _refusal(401 if token is None else 404, "RepoNotFound", "Repository not found")
        if model.access == "gated" and token not in model.readers:
            return _refusal(401 if token is None else 403, "GatedRepo", f"Access to model {repo_id} is restricted.")
        return None

    def _headers(self, repo_id: str, index: str) -> Answer:
        """The headers of all shards on main, as the Hub gives them since huggingface_hub 2.4."""
        model = self.models[repo_id]
        if not self.one_request or index not in model.files:
            return _refusal(404, "EntryNotFound", "Entry not found")
        said = json.loads(model.files[index])
        shards = dict.fromkeys(said["weight_map"].values())
        headers = {}
        for name in shards:
            if name not in model.files:
                return _refusal(404, "EntryNotFound", "Entry not found")
            (length,) = struct.unpack("<Q", model.files[name][:8])
            headers[name] = json.loads(model.files[name][8 : 8 + length])
        body = json.dumps({"index": {"metadata": said.get("metadata")}, "headers": headers}).encode()
        return Answer(200, {"Content-Type": "application/json"}, body)

    def _list(self, repo_id: str, revision: str) -> Answer:
        model = self.models[repo_id]
        commit = model.commit(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        siblings = [{"rfilename": name, "size": len(body)} for name, body in model.files.items()]
        body = json.dumps({"id": repo_id, "sha": commit, "siblings": siblings}).encode()
        return Answer(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, repo_id: str, revision: str, name: str, request: Seen) -> Answer:
        model = self.models[repo_id]
        commit = model.commit(revision)
        if commit is None:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if name not in model.files:
            return _refusal(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        body = model.files[name]
        headers = {"X-Repo-Commit": commit, "ETag": _etag(body)}
        if request.path.startswith("/api/resolve-cache/"):
            file = _file(body, request)
            return Answer(file.status, file.headers | headers, file.body)
        linked = headers | {"X-Linked-Size": str(len(body)), "X-Linked-ETag": _etag(body)}
        if name in model.large:
            return Answer(302, linked | {"Location": self.storage.keep(body)})
        return Answer(307, linked | {"Location": f"/api/resolve-cache/models/{repo_id}/{commit}/{quote(name)}"})


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha1(body).hexdigest()}"'


def _refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    told = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Answer(status, told | {"Content-Type": "text/plain"} | (headers or {}), message.encode())


def _file(body: bytes, request: Seen) -> Answer:
    """The body, or the range of it that is asked for."""
    headers = {"Accept-Ranges": "bytes", "ETag": _etag(body), "Content-Type": "application/octet-stream"}
    asked = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", request.range or "")
    if asked is None or asked.groups() == ("", ""):
        return Answer(200, headers, body)
    first, last = asked.groups()
    start = int(first) if first else max(len(body) - int(last), 0)
    end = min(int(last) + 1, len(body)) if first and last else len(body)
    if start >= end:
        return Answer(416, headers | {"Content-Range": f"bytes */{len(body)}"})
    return Answer(206, headers | {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"}, body[start:end])


class _Server(socketserver.ThreadingTCPServer):
    """Not an HTTPServer, which looks its own name up when it starts."""

    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what many tests are about, so nothing is printed for it."""


class _Handler(http.server.BaseHTTPRequestHandler):
    loopback: Loopback
    timeout = 5

    def do_GET(self) -> None:
        seen = Seen(self.command, self.path, self.headers["Authorization"], self.headers["Range"])
        self.loopback.seen.append(seen)
        if not self.loopback.ranges:
            seen = replace(seen, range=None)
        self.close_connection = True
        with contextlib.suppress(ConnectionError, threading.BrokenBarrierError):
            fault = self.loopback.fault
            self._respond(seen, fault if fault.only in seen.path else Fault())

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def _respond(self, seen: Seen, fault: Fault) -> None:
        if fault.together is not None:
            fault.together.wait()
        if self.loopback.stopped.wait(fault.delay):
            return
        if fault.reset:
            # Lingering for no time makes closing a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        answer = fault.answer or self.loopback.answer(seen)
        length = {} if fault.answer else {"Content-Length": str(len(answer.body))}
        self._send(_head(answer.status, answer.headers | length), fault.header_pause)
        if seen.method != "HEAD":
            self._send(answer.body[: fault.cut], fault.body_pause)
            while fault.endless and not self.loopback.stopped.is_set():
                self._send(PIECE, 0)
        if answer.status < 300 and not self.loopback.stopped.is_set():
            self.loopback.finished.append(seen)

    def _send(self, data: bytes, pause: float) -> None:
        for piece in _pieces(data, pause):
            self.connection.sendall(piece)
            self.loopback.sent += len(piece)
            if self.loopback.stopped.wait(pause):
                return


def _pieces(data: bytes, pause: float) -> Iterator[bytes]:
    yield from (data[place : place + 1] for place in range(len(data))) if pause else [data]


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
