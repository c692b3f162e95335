"""The headers of a checkpoint that lie beside a model's config: in its folder, or in the local cache of the Hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calculator.errors import CalculatorError, MissingFileError
from calculator.model import Model


def with_headers_beside(model: Model, folder: Path) -> Model:
    """The model with the weight bytes of the safetensors (else GGUF) headers in the folder, or as it is where there are
    none. Headers that cannot be read, or not all of them, cost a note and no more: the config was readable."""
    if not _holds_weights(folder):
        return model
    from calculator.sources.checkpoint.load import beside
    from calculator.sources.checkpoint.stored import unread, with_headers

    try:
        return with_headers(model, beside(folder))
    except MissingFileError:
        return model
    except CalculatorError as error:
        return replace(model, notes=(*model.notes, unread(str(error))))


def with_cached_headers(model: Model, repo_id: str, commit: str | None) -> Model:
    """The same for what the huggingface_hub client keeps of a repository at that commit."""
    from huggingface_hub import try_to_load_from_cache

    if commit is None:
        return model
    config = try_to_load_from_cache(repo_id, "config.json", revision=commit)
    return with_headers_beside(model, Path(config).parent) if isinstance(config, str) else model


def _holds_weights(folder: Path) -> bool:
    try:
        return any(p.suffix in (".safetensors", ".gguf") or p.name.endswith(INDEX) for p in folder.iterdir())
    except OSError:
        return False


INDEX = ".safetensors.index.json"
