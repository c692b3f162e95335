"""Copies of config.json in the huggingface_hub client's cache, for a time without network. Its layout is public.

Beside a copy that an access token opened stands a mark of that token: without the token it is not read again. What the
client itself downloaded has no mark and belongs to whoever uses this machine.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

MARKS = ".opened-by-token"


def folder_of(repo_id: str) -> Path:
    """Where the client keeps what was downloaded of a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / "--".join(("models", *repo_id.split("/")))


def find(repo_id: str, name: str, revision: str | None, opened_by: str, limit: int) -> tuple[bytes, str] | None:
    """The first bytes of the copy that this or any other program left, and its commit; None where there is none that
    whoever holds this token (or none) may read."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo_id, name, revision=revision)
    if not isinstance(found, str):
        return None
    commit = Path(found).parent.name
    if not may_read(folder_of(repo_id), commit, opened_by):
        return None
    try:
        with open(found, "rb") as file:
            return file.read(limit), commit
    except OSError:
        return None


def may_read(folder: Path, commit: str, opened_by: str) -> bool:
    """Whether the copy of a commit was opened by nobody's token, or by this one."""
    marks = folder / MARKS / commit
    return not marks.is_dir() or (bool(opened_by) and (marks / opened_by).is_file())


def store(repo_id: str, name: str, revision: str | None, commit: str, body: bytes, opened_by: str) -> None:
    """Keep the file where the client looks for it, marked by the token that opened it."""
    folder = folder_of(repo_id)
    file, marks = folder / "snapshots" / commit / name, folder / MARKS / commit
    with contextlib.suppress(OSError):  # a read-only or full disk costs the copy, not the answer
        if not opened_by and marks.is_dir():  # anyone may read it now
            for mark in marks.iterdir():
                mark.unlink()
            marks.rmdir()
        if opened_by and (marks.is_dir() or not file.exists()):
            marks.mkdir(parents=True, exist_ok=True)
            (marks / opened_by).touch()
        if not file.exists():
            _write(file, body, folder)
        if revision != commit:
            _write(folder / "refs" / (revision or "main"), commit.encode(), folder)


def _write(file: Path, body: bytes, folder: Path) -> None:
    draft = folder / "blobs" / f"{uuid.uuid4().hex}.incomplete"
    draft.parent.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(body)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
