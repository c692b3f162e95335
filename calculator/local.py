"""The models on this machine: in the caches of Hugging Face and llama.cpp and in Ollama's store, each priced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calculator.errors import CalculatorError
from calculator.estimation import Estimate
from calculator.numbers import units as words
from calculator.record.workload import Workload
from calculator.report import clean, output
from calculator.report.text import Grid
from calculator.sources import ollama
from calculator.sources.load import load_model


@dataclass(frozen=True)
class Found:
    """A model on this machine: what people call it, which program keeps it, its folder or file, and its bytes there."""

    name: str
    place: str
    path: Path
    size: int


def found() -> list[Found]:
    """All of them, by name."""
    return sorted([*_hugging_face(), *_ollama(), *_llama_cpp()], key=lambda f: (f.place, f.name.lower()))


def rows(workload: Workload, tell: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
    """Each with its parameters and its bytes in that workload; one that cannot be read with the sentence that says
    why. `tell` is called with a line before each, and with nothing after the last."""
    listed, priced = found(), []
    for place, model in enumerate(listed, 1):
        tell(f"Reading {model.name} ({place} of {len(listed)})")
        priced.append(_row(model, workload))
    tell("")
    return priced


def _row(model: Found, workload: Workload) -> dict[str, Any]:
    base = {"model": model.name, "place": model.place, "path": str(model.path), "on_disk": model.size}
    numbers: dict[str, Any] = dict.fromkeys(("parameters", "weights", "kv_cache", "memory"))
    try:
        e = Estimate(load_model(model.path), workload)
        numbers["parameters"] = e.model.parameters.total
        numbers |= {"weights": e.memory.weights, "kv_cache": e.memory.kv_cache, "memory": e.memory.total}
    except CalculatorError as error:
        return {**base, **numbers, "error": str(error)}
    return {**base, **numbers, "error": ""}


def listing(workload: Workload, form: str, tell: Callable[[str], None] = lambda line: None) -> str:
    """The list in a format of the command line."""
    listed = rows(workload, tell)
    if form == "json":
        return output.list_as_json("models", listed)
    if form == "csv":
        return clean.as_csv(listed)
    if not listed:
        return "No models lie in the caches of Hugging Face and llama.cpp or in Ollama's store on this machine.\n"
    w = f"{workload.mode}, batch {workload.batch_size:,}"
    columns = ("Model", "Place", "On disk", "Parameters", "Weights", "KV cache", "Memory")
    grid = Grid(f"Models on this machine: {len(listed)} ({w})", columns, [_words(r) for r in listed], left=2)
    refused = [f"{r['model']}: {r['error']}" for r in listed if r["error"]]
    return output.as_blocks([grid], form) + "".join(f"\n{clean.terminal(line)}\n" for line in refused)


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    disk = words.gib(row["on_disk"])
    if row["error"]:
        return (row["model"], row["place"], disk, "not read", "", "", "")
    cells = (words.gib(row[k]) for k in ("weights", "kv_cache", "memory"))
    return (row["model"], row["place"], disk, words.count(row["parameters"]), *cells)


def _hugging_face() -> Iterator[Found]:
    """The newest snapshot of every model in the client's cache: main, where the cache knows it."""
    from huggingface_hub import constants

    for folder in _folders(Path(constants.HF_HUB_CACHE), "models--*"):
        snapshots = _folders(folder / "snapshots", "*")
        main = folder / "refs" / "main"
        commit = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
        chosen = [s for s in snapshots if s.name == commit] or snapshots
        if chosen and any(chosen[-1].iterdir()):
            name = folder.name.removeprefix("models--").replace("--", "/")
            yield Found(name, "Hugging Face", chosen[-1], _size(folder / "blobs"))


def _ollama() -> Iterator[Found]:
    for name, file in ollama.stored():
        yield Found(name, "Ollama", file, file.stat().st_size)


def _llama_cpp() -> Iterator[Found]:
    """The files that llama.cpp downloaded before it used the client's cache."""
    cache = Path(os.environ.get("LLAMA_CACHE") or Path.home() / ".cache" / "llama.cpp")
    for file in sorted(cache.glob("*.gguf")) if cache.is_dir() else ():
        yield Found(file.stem, "llama.cpp", file, file.stat().st_size)


def _folders(place: Path, pattern: str) -> list[Path]:
    """By the time they changed."""
    inside = [p for p in place.glob(pattern) if p.is_dir()] if place.is_dir() else []
    return sorted(inside, key=lambda p: (p.stat().st_mtime, p.name))


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.iterdir() if p.is_file()) if folder.is_dir() else 0
