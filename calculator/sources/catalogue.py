"""The bundled models: configs of popular models with their source and date, read without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from calculator.config import DATA


@dataclass(frozen=True)
class Entry:
    """A bundled model: its Hub id, a short name, whether the app lists it first, and where its config came from."""

    id: str
    name: str
    popular: bool
    source: str
    date: str
    config: Mapping[str, Any]


@cache
def entries() -> tuple[Entry, ...]:
    """All bundled models, the popular ones first."""
    rows = json.loads((DATA / "models.json").read_text(encoding="utf-8"))["models"]
    return tuple(Entry(r["id"], r["name"], r["popular"], r["source"], r["date"], r["config"]) for r in rows)


@cache
def _by_name() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in entries():
        for key in (entry.id, entry.name, entry.id.split("/")[-1]):
            found.setdefault(key.lower(), entry)
    return found


def find(name: str) -> Entry | None:
    """The bundled model of that id, short name or repository name; None if there is none."""
    return _by_name().get(name.strip().lower())
