"""`load_checkpoint`: the headers of a file, a folder or a repository of the Hub."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from calculator.errors import CalculatorError, HubUnreachableError, MissingFileError, SourceError
from calculator.sources.checkpoint import gguf, safetensors
from calculator.sources.checkpoint.files import Files, Folder, Repository
from calculator.sources.checkpoint.tensors import Checkpoint
from calculator.sources.hub import http
from calculator.sources.hub.ids import check, parse_file
from calculator.sources.hub.refusals import MAX_BYTES
from calculator.sources.paths import path_of

TIMEOUT = 60.0
"""Seconds that all requests for one checkpoint may take together."""

REMEMBERED, FRESH, MOST_REMEMBERED = 8, 600.0, 200_000
"""Checkpoints kept in memory, the seconds after which the Hub is asked again, and the tensors of the largest kept."""

_memory: dict[str, tuple[float, Checkpoint]] = {}
_lock = threading.Lock()


def load_checkpoint(
    source: str | Path, revision: str | None = None, token: str | None = None, *, timeout: float = TIMEOUT
) -> Checkpoint:
    """The headers of a checkpoint; of its data nothing is read.

    Args:
        source: the path of a safetensors or GGUF file or of a folder with either, or a Hugging Face id or URL. Of
            several GGUF files one is chosen as "org/name:FILE.gguf" or "org/name:Q4_K_M".
        revision: branch, tag or commit on the Hub.
        token: Hugging Face token; without it, HF_TOKEN or the token that `hf auth login` stored.
        timeout: seconds for all requests together.

    Raises:
        SourceError, HubError: nothing could be read. CheckpointError: what was read breaks the rules of its format.
    """
    if not isinstance(source, str | Path):
        raise SourceError(f"A checkpoint is named by text or a path, not by {type(source).__name__}.")
    text = str(source).strip()
    path = path_of(text)
    if path is not None:
        return from_path(path)
    repo_id, named, file = parse_file(text)
    return from_hub(repo_id, revision or named, token, file, timeout)


def from_path(path: Path) -> Checkpoint:
    """The checkpoint of a file or folder.

    Raises:
        SourceError: there is none.
    """
    if path.is_dir():
        return _folder(Folder(path))
    if not path.is_file():
        said = "give the path of a safetensors or GGUF file, or of a folder with either"
        raise SourceError(f"There is no file {str(path)!r}; {said}.")
    folder = Folder(path.parent, str(path), path.resolve().parent.name or path.stem)
    if path.suffix == ".gguf" or _begins_with(path, b"GGUF"):
        tensors, metadata = gguf.read_split(folder, path.name)
        return Checkpoint(path.stem, str(path), "gguf", tensors, metadata)
    if path.name.endswith(".safetensors.index.json"):
        tensors, metadata = safetensors.read_indexed(folder, path.name)
    elif path.suffix == ".safetensors":
        tensors, metadata = safetensors.read_header(folder, path.name)
    elif path.name == "config.json":
        return _folder(folder)
    else:
        raise SourceError(f"{str(path)!r} is neither a safetensors nor a GGUF file.")
    name = folder.name if path.name.startswith(safetensors.SINGLE) else path.stem
    return Checkpoint(name, str(path), "safetensors", tensors, metadata, _config(folder))


def beside(folder: Path) -> Checkpoint:
    """The checkpoint in a folder; of several GGUF files, which hold one model in several precisions, none.

    Raises:
        MissingFileError: there is none. CheckpointError: what there is is broken or incomplete.
    """
    try:
        return _folder(Folder(folder))
    except SourceError as error:  # one of several GGUF files must be named
        raise MissingFileError(str(error)) from error


def _begins_with(path: Path, letters: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(letters)) == letters
    except OSError:
        return False


def _folder(files: Files, file: str | None = None, how: str = "the path of one of the files") -> Checkpoint:
    """safetensors where there are any, else GGUF; with `file`, the GGUF file of that name."""
    if file is None:
        try:
            tensors, metadata = safetensors.read_model(files)
            return Checkpoint(files.name, files.source, "safetensors", tensors, metadata, _config(files))
        except MissingFileError as error:
            missing = error
    try:
        picked = gguf.chosen(files, file, how)
    except MissingFileError:
        raise missing if file is None else MissingFileError(f"{files.name} holds no GGUF file.") from None
    tensors, found = gguf.read_split(files, picked)
    name = f"{files.name}:{picked}" if isinstance(files, Repository) else Path(picked).stem
    return Checkpoint(name, files.source, "gguf", tensors, found)


def _config(files: Files) -> Mapping[str, Any] | None:
    try:
        config = json.loads(files.whole("config.json", MAX_BYTES))
    except (CalculatorError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


# The Hub


def from_hub(
    repo_id: str, revision: str | None, token: str | None, file: str | None = None, timeout: float = TIMEOUT
) -> Checkpoint:
    """The checkpoint of a repository, or of the client's cache where the Hub is out of reach."""
    check(repo_id, revision)
    key = hashlib.sha256(repr((http.endpoint(), repo_id, revision, file, http.token_sent(token))).encode()).hexdigest()
    with _lock:
        when, known = _memory.get(key, (0.0, None))
    if known is not None and time.monotonic() - when < FRESH:
        return known
    how = f'"{repo_id}:FILE.gguf" or by its quantization, "{repo_id}:Q4_K_M"'
    try:
        files = Repository(repo_id, revision, token, timeout)
        found = _folder(files, file, how)
    except HubUnreachableError:
        cached = _snapshot(repo_id, revision)
        if cached is None:
            raise
        return _folder(cached, file, how)
    found = replace(found, source=files.provenance)
    if len(found.tensors) <= MOST_REMEMBERED:
        _remember(key, found)
    return found


def listing(repo_id: str, revision: str | None, token: str | None, timeout: float = TIMEOUT) -> Mapping[str, int]:
    """name -> bytes of every file of a repository.

    Raises:
        HubError: it could not be listed.
    """
    return Repository(repo_id, revision, token, timeout).listing()


def forget() -> None:
    """Ask the Hub again for every checkpoint."""
    with _lock:
        _memory.clear()


def _remember(key: str, found: Checkpoint) -> None:
    with _lock:
        _memory.pop(key, None)
        _memory[key] = (time.monotonic(), found)
        while len(_memory) > REMEMBERED:
            del _memory[next(iter(_memory))]


def _snapshot(repo_id: str, revision: str | None) -> Folder | None:
    """The folder in which the huggingface_hub client keeps what was downloaded of a repository, None without one."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / "--".join(("models", *repo_id.split("/")))
    commit = revision or "main"
    try:
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            commit = (folder / "refs" / commit).read_text(encoding="utf-8").strip()
        snapshot = folder / "snapshots" / commit
        files = [p for p in snapshot.iterdir() if p.suffix in (".safetensors", ".gguf")]
    except OSError:
        return None
    source = f"{repo_id}@{commit[:7]} on the Hugging Face Hub (the copy in the local cache)"
    return Folder(snapshot, source, repo_id) if files else None
