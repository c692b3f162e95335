"""Ollama's names and its store on this machine: qwen3:8b is a manifest, whose model layer is a GGUF file.

https://github.com/ollama/ollama/blob/main/docs/faq.mdx (where models are stored), server/manifest.go (the layers)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from calculator.sources import catalogue

MODEL_LAYER = "application/vnd.ollama.image.model"
REGISTRY, LIBRARY = "registry.ollama.ai", "library"
NAME = re.compile(r"(?:ollama://)?((?:[a-z0-9._-]+/)?[a-z0-9._-]+)(?::([A-Za-z0-9._-]+))?")
LARGEST_MANIFEST = 2**20


def store() -> Path:
    """The folder of Ollama's models; it need not exist."""
    return Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")


def stored() -> Iterator[tuple[str, Path]]:
    """Names and GGUF files of what was pulled."""
    place = store() / "manifests"
    for manifest in sorted(p for p in place.glob("*/*/*/*") if p.is_file()) if place.is_dir() else ():
        host, owner, name, tag = manifest.relative_to(place).parts
        file = _model_of(manifest)
        if file is not None:
            yield "/".join([*(p for p in (host, owner) if p not in (REGISTRY, LIBRARY)), f"{name}:{tag}"]), file


def file_of(text: str) -> Path | None:
    """The GGUF file of a name such as qwen3:8b or someone/model:tag that was pulled on this machine; None otherwise."""
    found = NAME.fullmatch(text.strip())
    if found is None:
        return None
    name = found[1] if "/" in found[1] else f"{LIBRARY}/{found[1]}"
    if ".." in name:
        return None
    return _model_of(store() / "manifests" / REGISTRY / name / (found[2] or "latest"))


def _model_of(manifest: Path) -> Path | None:
    """The file of a manifest's model layer; None where it is missing, or no manifest of Ollama's."""
    try:
        if manifest.stat().st_size > LARGEST_MANIFEST:
            return None
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == MODEL_LAYER]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if len(digests) != 1 or not re.fullmatch(r"sha256:[0-9a-f]{64}", str(digests[0])):
        return None
    file = store() / "blobs" / digests[0].replace(":", "-")
    return file if file.is_file() else None


def bundled(text: str) -> catalogue.Entry | None:
    """The bundled model that a name of Ollama's library means: qwen3:8b is Qwen/Qwen3-8B. Only where joining name and
    size gives a bundled model's own name, because some are others' (deepseek-r1:70b is a distilled Llama)."""
    found = NAME.fullmatch(text.strip())
    if found is None or "/" in found[1] or not found[2]:
        return None
    size = re.match(r"[0-9]+(\.[0-9]+)?[bm](-a[0-9.]+b)?", found[2].lower())
    if size is None:
        return None
    hyphened = re.sub(r"^([a-z]+)(?=\d)", r"\1-", found[1])
    bases = dict.fromkeys(f"{name}-{size[0]}" for name in (found[1], hyphened))
    names = [base + end for base in bases for end in ("", "-it", "-instruct")]
    return next((entry for name in names if (entry := catalogue.find(name)) is not None), None)
