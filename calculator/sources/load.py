"""`load_model`: from a name, an id, a path or a parsed config to a Model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calculator.config import Config
from calculator.errors import (
    CalculatorError,
    CheckpointError,
    ConfigError,
    HubError,
    MissingFileError,
    SourceError,
    UnknownModelTypeError,
)
from calculator.model import Model
from calculator.passes.plan import plan_of
from calculator.record.workload import Workload
from calculator.sources import catalogue
from calculator.sources.paths import path_name, path_of, read_config

if TYPE_CHECKING:
    from calculator.sources.checkpoint import Checkpoint


def load_model(source: str | Path | Mapping[str, Any], revision: str | None = None, token: str | None = None) -> Model:
    """The model that `source` describes.

    Args:
        source: a bundled model's id or name, a Hugging Face id ("org/name", "org/name@revision") or URL, the path of a
            config.json or of the folder that holds one, or the parsed config itself. A model whose type no family
            reads is built from the headers of its safetensors files, and so is a GGUF file ("model.gguf",
            "org/name:Q4_K_M"); its `certainty` says what is exact.
        revision: branch, tag or commit on the Hub.
        token: Hugging Face token; without it, HF_TOKEN or the token that `hf auth login` stored.

    Raises:
        SourceError, HubError: the config could not be read.
        ConfigError: it was read, but no model can be built from it.
    """
    if isinstance(source, Mapping):
        return model_from_config(source)
    if not isinstance(source, str | Path):
        raise SourceError(f"A model is named by text, a path or a parsed config, not by {type(source).__name__}.")
    text = str(source).strip()
    if text.startswith("{"):
        raise SourceError("This is a config's text; save it as config.json and give its path, or parse it first.")
    if not text:
        raise SourceError("No model was named; give a bundled name, a Hugging Face id, or the path of a config.json.")
    bundled = catalogue.find(text) if revision is None else None
    if bundled is not None:
        return model_from_config(bundled.config, name=bundled.id, source=bundled.source)
    path = path_of(text)
    if path is not None:
        return _from_path(path)
    return from_hub(text, revision, token)


def _from_path(path: Path) -> Model:
    """The model of a config.json, or where there is none (or of a type that no family reads) of a checkpoint."""
    folder = path if path.is_dir() else path.parent
    if path.suffix in (".gguf", ".safetensors") or (path.is_dir() and not (path / "config.json").is_file()):
        return _from_headers(partial(_headers_at, path))
    config = read_config(path)
    try:
        return model_from_config(config, name=path_name(path), source=str(path))
    except UnknownModelTypeError as error:
        from calculator.sources.checkpoint.load import from_path

        return _from_headers(partial(from_path, folder), error, config)


def _headers_at(path: Path) -> Checkpoint:
    from calculator.sources.checkpoint.load import from_path

    try:
        return from_path(path)
    except MissingFileError as error:
        raise SourceError(
            f"There is no file {str(path / 'config.json')!r}; give the path of a config.json or of the folder that "
            "holds one, or of a safetensors or GGUF file."
        ) from error


def from_hub(text: str, revision: str | None = None, token: str | None = None) -> Model:
    """The model of a Hub id or URL, bundled ones without a network; never of a path on this machine.

    Raises:
        SourceError, HubError, ConfigError, CheckpointError: as `load_model`.
    """
    from calculator.sources.checkpoint import load
    from calculator.sources.hub import client as hub
    from calculator.sources.hub.ids import parse_file

    repo_id, named_revision, file = parse_file(text)
    bundled = catalogue.find(repo_id) if (revision or named_revision or file) is None else None
    if bundled is not None:
        return model_from_config(bundled.config, name=bundled.id, source=bundled.source)
    revision = revision or named_revision
    headers = partial(load.from_hub, repo_id, revision, token, file)
    if file is not None:
        return _from_headers(headers)
    try:
        found = hub.fetch_config(repo_id, revision=revision, token=token)
    except MissingFileError as missing:
        try:
            return _from_headers(headers)
        except (HubError, ConfigError, CheckpointError):
            raise missing from None
    try:
        return model_from_config(found.config, name=repo_id, source=found.provenance)
    except UnknownModelTypeError as error:
        return _from_headers(headers, error, found.config)


def _from_headers(
    headers: Callable[[], Checkpoint],
    unknown: UnknownModelTypeError | None = None,
    config: Mapping[str, Any] | None = None,
) -> Model:
    """The model of a checkpoint's headers.

    Raises:
        UnknownModelTypeError: `unknown` said that no family reads the config's type, and there are no headers either.
    """
    from calculator.sources.checkpoint.unknown import model_from_checkpoint

    try:
        checkpoint = headers()
        translated = _from_gguf(checkpoint) if checkpoint.format == "gguf" and config is None else None
        return translated or model_from_checkpoint(checkpoint, config)
    except CalculatorError as error:
        if unknown is None:
            raise
        raise UnknownModelTypeError(
            f"{unknown} Nor could it be built from the headers of its safetensors files: {error} Give the path or id "
            "of a checkpoint with safetensors (or GGUF) files, or a config.json of a known type."
        ) from error


def _from_gguf(checkpoint: Checkpoint) -> Model | None:
    """The model of a GGUF file by its original's family, None where only the headers can be read."""
    from calculator.sources.llama_cpp.model import model_from_gguf

    return model_from_gguf(checkpoint)


def model_from_config(raw: Mapping[str, Any], *, name: str | None = None, source: str = "a parsed config") -> Model:
    """The model a parsed config.json describes.

    Raises:
        ConfigError: a field is missing or impossible; UnknownModelTypeError: no family reads its model_type.
    """
    from calculator.families import FAMILIES

    kind = raw.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ConfigError(
            'The config has no model_type, which says what it describes; add the field (for instance "llama").'
        )
    if kind not in FAMILIES:
        near = ", ".join(difflib.get_close_matches(kind, FAMILIES, 4, 0))
        raise UnknownModelTypeError(f"Model type {kind!r} is not known here; the nearest known types are {near}.")
    config = Config(raw, kind)
    try:
        model = _built(config, name, source)
        _ = model.parameters  # the parts are written now, so that what is wrong with them is said here
        plan_of(model, Workload())
    except (
        TypeError,
        AttributeError,
        ZeroDivisionError,
        IndexError,
        KeyError,
        ValueError,
        OverflowError,
        re.error,
    ) as error:
        raise ConfigError(
            f"The config of type {kind!r} has a field of the wrong kind or size ({type(error).__name__}: {error}); "
            "compare it with the config.json of a published model."
        ) from error
    return model


def _built(config: Config, name: str | None, source: str) -> Model:
    from calculator.families import FAMILIES
    from calculator.formats.quantization import scheme_of

    built = FAMILIES[config.model_type](config)
    if not built.text.layers:
        raise ConfigError("num_hidden_layers in the config is 0; a model needs at least one layer.")
    _, unknown = scheme_of(config)
    notes = list(built.notes)
    if unknown:
        notes.append(
            f"The checkpoint is quantized, but {unknown}; with precision auto its weights are priced unquantized."
        )
    stated = config.get("dtype") or config.get("torch_dtype")
    model = Model(
        name=name or str(config.get("_name_or_path") or config.model_type),
        source=source,
        model_type=config.model_type,
        text=built.text,
        hidden_size=built.text.width,
        vocabulary_size=built.vocabulary,
        context_length=built.context,
        config=config,
        towers=built.towers,
        encoder=built.encoder,
        encoder_length=built.encoder_length,
        apart=built.apart,
    )
    if model.apart:
        notes.append(
            f"The checkpoint also holds {model.parameters.apart:,} parameters of multi-token-prediction layers, which "
            "no pass runs here; no other number includes them."
        )
    if model.stated_dtype is None:
        said = f"The config's dtype {stated!r} is not known here" if stated else "The config names no dtype"
        notes.append(f"{said}; 16 bit (bf16) is assumed. Choose a precision to say otherwise.")
    return replace(model, notes=tuple(notes))
