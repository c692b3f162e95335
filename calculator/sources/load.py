"""`load_model`: from a name, an id, a path or a parsed config to a Model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
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
    HubUnreachableError,
    MissingFileError,
    ModelNotFoundError,
    SourceError,
    UnknownModelTypeError,
    shown,
)
from calculator.formats.quantization import SIDE_FILES, block_of, scheme_of
from calculator.gate import blamed, check_copies, check_fields, check_heads, check_model
from calculator.limits import building, limits, one_request
from calculator.model import Model
from calculator.passes.plan import plan_of
from calculator.passes.priced import idle_note, idle_rules
from calculator.record.run import ONE_TOKEN
from calculator.sources import catalogue, memory, mixtures, ollama
from calculator.sources.adapters.settings import BESIDE, FILE, is_adapter
from calculator.sources.foreign.folders import unread_config
from calculator.sources.kinds import reader_of, without_head
from calculator.sources.paths import (
    begins_as_gguf,
    holds_weights,
    parse_config,
    path_name,
    path_of,
    read_config,
    read_stdin,
    side_files,
)
from calculator.sources.sizes import assumed_sizes

if TYPE_CHECKING:
    from calculator.families.registry import Family
    from calculator.sources.checkpoint import Checkpoint
    from calculator.sources.hub.client import HubFile


def load_model(
    source: str | Path | Mapping[str, Any],
    revision: str | None = None,
    token: str | None = None,
    *,
    base: str | None = None,
) -> Model:
    """The model that `source` describes.

    Args:
        source: a bundled model's id or name, a Hugging Face id ("org/name", "org/name@revision") or URL, the path of a
            config.json or of the folder that holds one, "-" for a config on standard input, or the config itself,
            parsed or as text. A model whose type no family
            reads is built from the headers of its safetensors files, and so is a GGUF file ("model.gguf",
            "org/name:Q4_K_M"); its `certainty` says what is exact. A folder with Mistral's or Meta's params.json, or
            with the adapter_config.json of an adapter, which stands beside its base model, is read too.
        revision: branch, tag or commit on the Hub.
        token: Hugging Face token; without it, HF_TOKEN or the token that `hf auth login` stored.
        base: an adapter's base model, where it is not the one that the adapter names.

    Raises:
        SourceError, HubError: the config could not be read.
        ConfigError: it was read, but no model can be built from it.
    """
    found = _loaded(source, revision, token, base)
    if base is not None and BESIDE not in found.source:
        raise SourceError(f"{found.name} is no adapter, so it stands beside no base model; leave base (--base) out.")
    return found


def _loaded(source: str | Path | Mapping[str, Any], revision: str | None, token: str | None, base: str | None) -> Model:
    if isinstance(source, Mapping):
        if is_adapter(source):
            return _adapter(source, FILE, "a parsed config", base, token, paths=False)
        return model_from_config(source)
    if not isinstance(source, str | Path):
        raise SourceError(f"A model is named by text, a path or a parsed config, not by {type(source).__name__}.")
    text = catalogue.tidied(str(source))
    if text == "-":
        return _given(read_stdin(), "standard input", "standard input", base, token)
    if not text:
        raise SourceError("No model was named; give a bundled name, a Hugging Face id, or the path of a config.json.")
    bundled = catalogue.find(text) if revision is None else None
    if bundled is not None:
        return model_from_config(bundled.config, name=bundled.id, source=bundled.source)
    path = None if text.startswith("{") else path_of(text)
    if path is not None:
        return _from_path(path, base, token)
    pulled = ollama.file_of(text)
    if pulled is not None:
        return replace(_from_path(pulled), name=text, source=f"{pulled}, pulled by Ollama")
    return from_hub(text, revision, token, base=base)


def _adapter(
    raw: Mapping[str, Any], name: str, source: str, base: str | None, token: str | None, *, paths: bool
) -> Model:
    """An adapter beside its base model, which a file of this machine may name by its path, and no other."""

    from calculator.sources.adapters.load import adapter_model

    def load(wanted: str) -> Model:
        return load_model(wanted, token=token) if paths or wanted == base else from_hub(wanted, token=token)

    return adapter_model(raw, load, base=base, name=name, source=source)


OTHER_CONFIGS = ("params.json", FILE)
"""What a folder without a config.json may have in its place."""


def _described(path: Path) -> Path:
    """The file that describes the model: in a folder the config.json, or what stands in its place."""
    if not path.is_dir() or (path / "config.json").is_file():
        return path
    return next((path / name for name in OTHER_CONFIGS if (path / name).is_file()), path)


def _from_path(path: Path, base: str | None = None, token: str | None = None) -> Model:
    """The model of a config.json, or where there is none (or of a type that no family reads) of a checkpoint."""
    folder, path = path if path.is_dir() else path.parent, _described(path)
    if (
        path.suffix in (".gguf", ".safetensors")
        or begins_as_gguf(path)
        or (path.is_dir() and not (path / "config.json").is_file())
    ):
        return _from_headers(partial(_headers_at, path))
    config = without_head(read_config(path), folder)
    if is_adapter(config):
        return _adapter(config, path_name(path), str(path), base, token, paths=True)
    if path.name == "config.json" or path.is_dir():
        config = {**config, **side_files(folder, config)}
    try:
        model = model_from_config(config, name=path_name(path), source=str(path))
        return _with_headers_in(folder, model) if path.is_dir() or path.name == "config.json" else model
    except UnknownModelTypeError as error:
        if not (path.is_dir() or path.is_file()):  # a pipe has nothing beside it
            raise
        from calculator.sources.checkpoint.load import from_path

        return _from_headers(partial(from_path, folder), error, config)


def _with_headers_in(folder: Path | None, model: Model) -> Model:
    """The model, its weight bytes those of the headers in the folder where there are any."""
    if folder is None or not holds_weights(folder):
        return model
    from calculator.sources.checkpoint.stored import with_headers_in

    return with_headers_in(model, folder)


def _headers_at(path: Path) -> Checkpoint:
    from calculator.sources.checkpoint.load import from_path

    try:
        return from_path(path)
    except MissingFileError as error:
        unread = unread_config(path)
        if unread is not None:
            raise SourceError(unread) from error
        raise SourceError(
            f"There is no file {str(path / 'config.json')!r}; give the path of a config.json or of the folder that "
            "holds one, or of a safetensors or GGUF file."
        ) from error


def from_hub(text: str, revision: str | None = None, token: str | None = None, *, base: str | None = None) -> Model:
    """The model of a Hub id or URL, bundled ones without a network; never of a path on this machine.

    Raises:
        SourceError, HubError, ConfigError, CheckpointError: as `load_model`.
    """
    if text.lstrip().startswith("{"):
        pasted = parse_config(text, "The pasted config")
        name = str(pasted.get("_name_or_path") or "pasted config")
        return _given(pasted, name, "a pasted config", base, token)
    meant = ollama.bundled(text) if revision is None and ":" in text else None
    if meant is not None:
        mixture = mixtures.mixture_of(text.rpartition(":")[2])
        if mixture is not None:
            return mixtures.derived(meant, mixture, text, partial(model_from_config, source=meant.source))
        said = (
            f"{text} is taken for {meant.id} as its makers publish it; the file that Ollama serves is quantized "
            "(--dtype q4_k_m is near): its path or --local has it exactly."
        )
        model = model_from_config(meant.config, name=meant.id, source=meant.source)
        return replace(model, notes=(*model.notes, said))
    try:
        return _from_hub(text, revision, token, base)
    except (SourceError, ModelNotFoundError, HubUnreachableError) as error:
        alike = catalogue.near(text)
        if not alike:
            raise
        raise type(error)(f"{error} Did you mean {' or '.join(alike)} (bundled)?") from error


def _given(raw: Mapping[str, Any], name: str, source: str, base: str | None, token: str | None) -> Model:
    """The model of a config that came without files beside it."""
    if is_adapter(raw):
        return _adapter(raw, name, source, base, token, paths=False)
    return model_from_config(raw, name=name, source=source)


def _from_hub(text: str, revision: str | None, token: str | None, base: str | None) -> Model:
    from calculator.sources.hub import http
    from calculator.sources.hub.ids import parse_file

    repo_id, named_revision, file = parse_file(text)
    # The bundled configs are those of main; --revision main asks the Hub whether they still are.
    bundled = catalogue.find(repo_id) if revision is None and named_revision in (None, "main") and not file else None
    if bundled is not None:
        return model_from_config(bundled.config, name=bundled.id, source=bundled.source)
    mixture = mixtures.mixture_of(file) if file and (revision or named_revision) in (None, "main") else None
    if mixture is not None and (whole := catalogue.find(repo_id)) is not None:
        return mixtures.derived(whole, mixture, text, partial(model_from_config, source=whole.source))
    revision = revision or named_revision
    opened_by = memory.scope(http.token_sent(token, repo_id))
    key = ("model", http.endpoint(), repo_id, revision, file, base, opened_by)

    def ask() -> Model:
        with one_request():
            return _asked(repo_id, revision, token, file, base, opened_by)

    try:
        return memory.current().made(key, limits().fresh_seconds, ask, lambda m: not any(UNTOLD in n for n in m.notes))
    except HubUnreachableError:
        original = mixtures.quantized_from(repo_id) if mixture is not None else None
        if original is None or mixture is None:
            raise
        return mixtures.derived(original, mixture, text, partial(model_from_config, source=original.source))


UNTOLD = "The Hub did not tell whether"


def _asked(
    repo_id: str, revision: str | None, token: str | None, file: str | None, base: str | None, opened_by: str
) -> Model:
    """The model as the Hub describes it now, all requests within one deadline."""
    from calculator.sources.checkpoint import load
    from calculator.sources.hub import client as hub
    from calculator.sources.hub import http

    headers = partial(load.from_hub, repo_id, revision, token, file)
    if file is not None:
        return _from_headers(headers)
    side = hub.SideFiles(SIDE_FILES, repo_id, revision, token)
    try:
        found = hub.fetch_config(repo_id, revision=revision, token=token)  # at most half of the time
    except MissingFileError as missing:
        other = _other_config(repo_id, revision, token)
        if other is not None and is_adapter(other.config):
            return _adapter(other.config, repo_id, other.provenance, base, token, paths=False)
        if other is not None:
            return model_from_config(other.config, name=repo_id, source=other.provenance)
        try:
            return _from_headers(headers)
        except (HubError, ConfigError, CheckpointError):
            raise missing from None
    beside, untold = side.found() if block_of(found.config) is None else ({}, [])
    config = {**found.config, **beside}
    build = partial(model_from_config, config, name=repo_id, source=found.provenance)
    try:
        if found.commit is None or untold:
            model = build()
        else:
            key = ("model at", http.endpoint(), repo_id, found.commit, found.cached, opened_by)
            model = memory.current().made(key, limits().fresh_seconds, build)
        model = _with_headers_in(hub.cached_folder(repo_id, found.commit, opened_by), model)
    except UnknownModelTypeError as error:
        return _from_headers(headers, error, config)
    if not untold or found.cached:
        return model
    doubt = f"{UNTOLD} {' or '.join(untold)} beside config.json says that it is quantized."
    return replace(model, notes=(*model.notes, doubt))


def _other_config(repo_id: str, revision: str | None, token: str | None) -> HubFile | None:
    """What a repository without a config.json has in its place, by its list of files; None for nothing."""
    from calculator.sources.checkpoint.load import listing
    from calculator.sources.hub import client as hub

    try:
        names = listing(repo_id, revision, token)
    except (HubError, CheckpointError):
        return None
    found = next((name for name in OTHER_CONFIGS if name in names), None)
    return hub.fetch_file(found, repo_id, revision=revision, token=token) if found else None


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
    from calculator.sources.checkpoint.llama_cpp.model import model_from_gguf

    return model_from_gguf(checkpoint, model_from_config)


def model_from_config(raw: Mapping[str, Any], *, name: str | None = None, source: str = "a parsed config") -> Model:
    """The model a parsed config.json describes.

    Raises:
        ConfigError: a field is missing or impossible; UnknownModelTypeError: no family reads its model_type.
    """
    kind = raw.get("model_type")
    start = time.thread_time()

    def again(other: Mapping[str, Any]) -> Model:
        return _passed(other, name, source)

    try:
        return again(raw)
    except UnknownModelTypeError:
        raise
    except ConfigError as error:
        culprit = blamed(raw, again, error, time.thread_time() - start)
        if culprit is None:
            raise
        raise ConfigError(f"No model can be built from this config: {culprit}. {error}") from error
    except WRONG as error:
        culprit = blamed(raw, again, error, time.thread_time() - start)
        what = f": {culprit}" if culprit else ""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"The config of type {shown(kind)} has a field of the wrong kind or size{what} ({said[:300]}); compare it "
            "with the config.json of a published model."
        ) from error


WRONG = (
    TypeError,
    AttributeError,
    ArithmeticError,
    LookupError,
    ValueError,
    RecursionError,
    re.error,
)
"""What a family that trusts its config may raise."""


def _passed(raw: Mapping[str, Any], name: str | None, source: str) -> Model:
    """The model, built within the limits and let through the gate."""
    with building():
        config, family = reader_of(raw)
        # Another copy is looked at: what the family reads and assumes is told to the reader.
        plain = Config(config.raw, config.model_type, where=config.where)
        for part in (plain, *sections(plain)):
            check_fields(part)
            check_heads(part)
        model = _built(config, family, name, source)
        _ = model.parameters  # the parts are written now, so that what is wrong with them is said here
        idle = idle_note(idle_rules(model, plan_of(model, ONE_TOKEN)))
        check_copies(model)
    return replace(model, notes=(*model.notes, idle)) if idle else model


def sections(config: Config, depth: int = 0) -> Iterator[Config]:
    """The sub-configurations that the file holds, at any depth that files have."""
    for name, value in config.raw.items():
        if name.endswith("_config") and name != "quantization_config" and isinstance(value, Mapping) and depth < 4:
            inner = config.section(name)
            yield inner
            yield from sections(inner, depth + 1)


def _built(config: Config, family: Family, name: str | None, source: str) -> Model:

    built = family(config)
    assumed = assumed_sizes(config)  # before anything else reads the config
    if not built.text.layers:
        raise ConfigError("num_hidden_layers in the config is 0; a model needs at least one layer.")
    _, unknown = scheme_of(config)
    notes = [*built.notes, *assumed]
    if unknown:
        notes.append(
            f"The checkpoint is quantized, but {unknown}; with precision auto its weights are priced unquantized."
        )
    config.strict = False
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
    check_model(model)
    if model.apart:
        notes.append(
            f"The checkpoint also holds {model.parameters.apart:,} parameters of multi-token-prediction layers, which "
            "no pass runs here; no other number includes them."
        )
    if model.stated_dtype is None:
        said = f"The config's dtype {stated!r} is not known here" if stated else "The config names no dtype"
        notes.append(f"{said}; 16 bit (bf16) is assumed. Choose a precision to say otherwise.")
    return replace(model, notes=tuple(notes))
