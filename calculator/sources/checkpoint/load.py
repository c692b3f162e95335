"""`load_checkpoint`: the headers of a file, a folder or a repository of the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from calculator.errors import CalculatorError, CheckpointError, HubUnreachableError, MissingFileError, SourceError
from calculator.limits import Deadline, check_json, limits, one_request, seconds_left
from calculator.sources import memory
from calculator.sources.checkpoint import gguf, safetensors
from calculator.sources.checkpoint.files import Files, Folder, Repository
from calculator.sources.checkpoint.tensors import Checkpoint
from calculator.sources.hub import disk, http, refusals
from calculator.sources.hub.ids import check, parse_file
from calculator.sources.hub.refusals import MAX_BYTES
from calculator.sources.paths import path_of

FRESH = 600.0
"""Seconds after which the Hub is asked again for the headers of a checkpoint."""


def load_checkpoint(
    source: str | Path, revision: str | None = None, token: str | None = None, *, timeout: float | None = None
) -> Checkpoint:
    """The headers of a checkpoint; of its data nothing is read.

    Args:
        source: the path of a safetensors or GGUF file or of a folder with either, or a Hugging Face id or URL. Of
            several GGUF files one is chosen as "org/name:FILE.gguf" or "org/name:Q4_K_M".
        revision: branch, tag or commit on the Hub.
        token: Hugging Face token; without it, HF_TOKEN or the token that `hf auth login` stored.
        timeout: seconds for all requests together; 10 unless given.

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
    return from_hub(repo_id, revision or named, token, file, None if timeout is None else Deadline(timeout))


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
        body = files.whole("config.json", min(MAX_BYTES, limits().config_bytes))
        check_json(body, "config.json", CheckpointError)
        config = json.loads(body)
    except (CalculatorError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


# The Hub


def from_hub(
    repo_id: str,
    revision: str | None,
    token: str | None,
    file: str | None = None,
    deadline: Deadline | None = None,
) -> Checkpoint:
    """The checkpoint of a repository, or of the client's cache where the Hub is out of reach."""
    check(repo_id, revision)
    opened_by = memory.scope(http.token_sent(token, repo_id))
    key = ("checkpoint", http.endpoint(), repo_id, revision, file, opened_by)
    known: Checkpoint | None = memory.current().get(key, FRESH)
    if known is not None:
        return known
    how = f'"{repo_id}:FILE.gguf" or by its quantization, "{repo_id}:Q4_K_M"'

    def ask() -> Checkpoint:
        with one_request() as ambient:
            files = Repository(repo_id, revision, token, deadline or ambient)
            return replace(_folder(files, file, how), source=files.provenance)

    patience = seconds_left(limits().seconds)
    late = partial(refusals.late, refusals.Request(repo_id, revision, http.endpoint(), patience))
    try:
        found = memory.answered(key, limits().failure_seconds, ask, patience, late)
    except HubUnreachableError:
        cached = _snapshot(repo_id, revision, opened_by) if limits().disk else None
        if cached is None:
            raise
        return _folder(cached, file, how)
    memory.current().put(key, found, FRESH)
    return found


def listing(repo_id: str, revision: str | None, token: str | None) -> Mapping[str, int]:
    """name -> bytes of every file of a repository.

    Raises:
        HubError: it could not be listed.
    """
    with one_request() as deadline:
        return Repository(repo_id, revision, token, deadline).listing()


def forget() -> None:
    """Ask the Hub again for everything."""
    memory.current().clear()


def _snapshot(repo_id: str, revision: str | None, opened_by: str) -> Folder | None:
    """The folder in which the huggingface_hub client keeps what was downloaded of a repository, None without one."""
    folder = disk.folder_of(repo_id)
    commit = revision or "main"
    try:
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            commit = (folder / "refs" / commit).read_text(encoding="utf-8").strip()
        snapshot = folder / "snapshots" / commit
        files = [p for p in snapshot.iterdir() if p.suffix in (".safetensors", ".gguf")]
    except OSError:
        return None
    if not disk.may_read(folder, commit, opened_by):
        return None
    source = f"{repo_id}@{commit[:7]} on the Hugging Face Hub (the copy in the local cache)"
    return Folder(snapshot, source, repo_id) if files else None
