"""The bundled models: configs of popular models with their source and date, read without a network.

data/models.json has a line a model, the config last, so that of one model only its own line is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from calculator.config import DATA


@dataclass(frozen=True)
class Entry:
    """A bundled model: its Hub id, a short name, other ids of the same model, whether the app lists it first, and where
    its config came from."""

    id: str
    name: str
    popular: bool
    source: str
    date: str
    aliases: tuple[str, ...]
    text: str = field(repr=False)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The parsed config, to be left as it is."""
        found: Mapping[str, Any] = json.loads(self.text)
        return found


@cache
def entries() -> tuple[Entry, ...]:
    """All bundled models, the popular ones first."""
    lines = (DATA / "models.json").read_text(encoding="utf-8").splitlines()
    return tuple(_entry(line.rstrip(",")) for line in lines if line.startswith('{"id"'))


def _entry(line: str) -> Entry:
    head, _, config = line.partition(',"config":')
    r = json.loads(head + "}")
    aliases = tuple(r.get("aliases", ()))
    return Entry(r["id"], r["name"], r.get("popular", False), r["source"], r["date"], aliases, config[:-1])


@cache
def _by_name() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    whole = [(name, e) for e in entries() for name in _ids(e)]
    short = [(name, e) for e in entries() for name in (e.name, *(n.split("/")[-1] for n in _ids(e)))]
    for name, entry in (*whole, *short):
        found.setdefault(name.lower(), entry)
    return found


RENAMED = (
    ("meta-llama/Meta-Llama-", "meta-llama/Llama-"),
    ("CohereForAI/", "CohereLabs/"),
    ("THUDM/", "zai-org/"),
    ("google/bert", "google-bert/bert"),
)
"""Beginnings of ids that the Hub has under two names."""


def _ids(entry: Entry) -> list[str]:
    """The ids of a model: its own, those it was listed under, and what the Hub calls either since it was renamed."""
    ids = [entry.id, *entry.aliases]
    for one, other in (*RENAMED, *((b, a) for a, b in RENAMED)):
        ids += [other + name.removeprefix(one) for name in ids if name.startswith(one)]
    return ids


def find(name: str) -> Entry | None:
    """The bundled model of that id, short name or repository name, in any case; None if there is none."""
    return _by_name().get(tidied(name).lower())


def near(name: str, count: int = 3) -> list[str]:
    """The ids of bundled models whose names are most like the name, the nearest first; none where none is alike."""
    import difflib

    wanted = _plain(name)
    scores: dict[str, float] = {}
    for key, entry in _by_name().items():
        matcher = difflib.SequenceMatcher(None, wanted, _plain(key), autojunk=False)
        if matcher.real_quick_ratio() > ALIKE and matcher.quick_ratio() > ALIKE:
            scores[entry.id] = max(scores.get(entry.id, 0.0), matcher.ratio())
    alike = sorted((i for i, score in scores.items() if score > ALIKE), key=lambda i: -scores[i])
    return alike[:count]


ALIKE = 0.75
"""Of two names; "Qwen3-8" and "Qwen3-8B" have 0.93."""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


CACHED = re.compile(r"models--([A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*)--([A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*)")


def tidied(text: str) -> str:
    """What was meant by a name with something around it: spaces, quotes, a slash at its end; or by the name that the
    local cache gives the folder of a model."""
    found = text.strip()
    if len(found) > 2 and found[0] == found[-1] and found[0] in "\"'`":
        found = found[1:-1].strip()
    if re.fullmatch(r"[^/@:{}]+/[^/@:{}]+/", found):
        found = found[:-1]
    folder = CACHED.fullmatch(found)
    return f"{folder[1]}/{folder[2]}" if folder else found
