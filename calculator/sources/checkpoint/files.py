"""Where a checkpoint's files are, a folder or a repository of the Hub: their names, and any part of their bytes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from calculator.errors import CheckpointError, ConfigError, HubError, MissingFileError, SourceError
from calculator.limits import Deadline, HeaderBudget
from calculator.sources.hub import http, refusals
from calculator.sources.hub.refusals import Request

T = TypeVar("T")

LONGEST_INDEX = 100_000_000
"""Bytes; the index of a checkpoint with a few hundred thousand tensors has some 30 MB."""

LONGEST_LISTING = 20_000_000


class Files(Protocol):
    """A folder of files."""

    name: str
    source: str
    budget: HeaderBudget

    def listing(self) -> Mapping[str, int]:
        """name -> bytes of every file, those in folders with their path."""
        ...

    def read(self, file: str, first: int, count: int) -> tuple[bytes, int | None]:
        """Bytes of a file, fewer where it ends, and its length where that is known.

        Raises:
            MissingFileError: there is no such file.
        """
        ...

    def whole(self, file: str, limit: int) -> bytes:
        """A small file."""
        ...

    def all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What the calls return."""
        ...

    def headers(self, index: str) -> Mapping[str, Any] | None:
        """file -> parsed safetensors header of all shards of an index in one step, None where that is not offered."""
        ...


class Folder:
    """Files on this machine."""

    def __init__(self, path: Path, source: str | None = None, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.resolve().name
        self.source = source or str(path)
        self.budget = HeaderBudget(self.name)

    def listing(self) -> Mapping[str, int]:
        """name -> bytes of the files in the folder and one below."""
        try:
            found = sorted((*self.path.glob("*"), *self.path.glob("*/*.gguf")))
            return {str(p.relative_to(self.path)): p.stat().st_size for p in found if p.is_file()}
        except OSError as error:
            raise SourceError(f"{str(self.path)!r} could not be listed: {error.strerror}.") from error

    def read(self, file: str, first: int, count: int) -> tuple[bytes, int | None]:
        """`count` bytes of a file from the first on, and the file's length."""
        path = self.path / file
        if not path.is_file():
            raise MissingFileError(f"There is no file {str(path)!r}.")
        try:
            with path.open("rb") as opened:
                opened.seek(first)
                return opened.read(count), path.stat().st_size
        except OSError as error:
            raise SourceError(f"{str(path)!r} could not be read: {error.strerror}.") from error

    def whole(self, file: str, limit: int) -> bytes:
        """A whole file of no more than so many bytes."""
        body, _ = self.read(file, 0, limit + 1)
        if len(body) > limit:
            raise CheckpointError(f"The {file} of {self.name} is larger than {limit // 1_000_000} MB and was not read.")
        return body

    def all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the calls, one after another."""
        return [call() for call in calls]

    def headers(self, index: str) -> None:
        """Nothing: a folder has no service that reads all headers at once."""
        return


class Repository:
    """Files of a repository of the Hub, read by ranges. All requests together have one deadline."""

    def __init__(self, repo_id: str, revision: str | None, token: str | None, deadline: Deadline) -> None:
        self.name = self.source = repo_id
        self.token, self.revision, self.until = token, revision, deadline.until
        self.request = Request(repo_id, revision, http.endpoint(), deadline.seconds)
        self.budget = HeaderBudget(repo_id, until=deadline.until)
        self.client = http.session(self.request)
        self.commit: str | None = None

    def _request(self, file: str) -> Request:
        r = self.request
        return Request(r.repo_id, r.revision, r.endpoint, r.timeout, file)

    def _within(self, request: Request, call: Callable[[], T]) -> T:
        return http.within(max(self.until - time.monotonic(), 0), call, refusals.late(request))

    def listing(self) -> Mapping[str, int]:
        """name -> bytes of the repository's files."""
        request = self._request("list of files")
        options: Any = {"limit": LONGEST_LISTING, "until": self.until}
        url = http.listing_address(request)
        read = partial(http.read, request, self.client, url, self.token, **options)
        try:
            found = json.loads(self._within(request, read).body)
            return {str(entry["rfilename"]): int(entry.get("size") or 0) for entry in found["siblings"]}
        except (ValueError, TypeError, KeyError, RecursionError):
            raise refusals.unreadable(request, "is not what the Hub's interface promises") from None

    def headers(self, index: str) -> Mapping[str, Any] | None:
        """The Hub's route for all headers of a sharded model, which answers for the branch main only. Where it does not
        answer (a mirror, an older Hub), the files themselves are asked."""
        if self.revision not in (None, "main"):
            return None
        request = self._request(f"headers of {index}")
        options: Any = {"limit": min(LONGEST_INDEX, self.budget.bound.header_bytes), "until": self.until}
        read = partial(http.read, request, self.client, http.headers_address(request, index), self.token, **options)
        try:
            piece = self._within(request, read)
            self.budget.take(len(piece.body), piece.body.count(b'"data_offsets"'))
            found = json.loads(piece.body)["headers"]
        except (HubError, ConfigError, ValueError, TypeError, KeyError, RecursionError):
            return None
        self.commit = self.commit or piece.commit
        return found if isinstance(found, dict) and found else None

    def read(self, file: str, first: int, count: int) -> tuple[bytes, int | None]:
        """`count` bytes of a file from the first on, and the file's length."""
        request = self._request(file)
        url = http.file_address(request)
        options: Any = {"limit": count, "span": (first, count), "until": self.until}
        piece = http.read(request, self.client, url, self.token, **options)
        self.commit = self.commit or piece.commit
        return piece.body, piece.total

    def whole(self, file: str, limit: int) -> bytes:
        """A whole file of no more than so many bytes."""
        request = self._request(file)
        url = http.file_address(request)
        read = partial(http.read, request, self.client, url, self.token, limit=limit, until=self.until)
        piece = self._within(request, read)
        self.commit = self.commit or piece.commit
        return piece.body

    def all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the calls, made side by side within the deadline."""
        late = refusals.late(self.request)
        return http.together(max(self.until - time.monotonic(), 0), calls, late)

    @property
    def provenance(self) -> str:
        """Where the headers came from, to be printed."""
        known = self.commit if self.commit and re.fullmatch(r"[0-9a-f]{40}", self.commit) else None
        version = known[:7] if known else self.revision
        return f"{self.name}{f'@{version}' if version else ''} on the Hugging Face Hub"


def one(files: Files, call: Callable[[], T]) -> T:
    """What the call returns, within the time that the files' place allows."""
    return files.all([call])[0]
