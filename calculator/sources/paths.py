"""Which text is a path, and the config.json that stands there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calculator.errors import SourceError
from calculator.formats.quantization import SIDE_FILES, block_of
from calculator.limits import check_json, limits

CONFIGS = ("config.json", "params.json", "adapter_config.json")  # called after their folder


def path_of(text: str) -> Path | None:
    """The path that the text is, None where it is rather a name.

    Raises:
        SourceError: no file can have such a name.
    """
    try:
        path = Path(text).expanduser()
        found = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"{text[:80]!r} names no file and no model ({error}).") from error
    named = "://" not in text and (
        text.endswith((".json", ".safetensors")) or (text.endswith(".gguf") and ":" not in text)
    )
    return path if found or named or text.startswith(("/", "./", "../", "~")) else None


def path_name(path: Path) -> str:
    """What a model at that path is called: its folder's name, or the file's."""
    return path.resolve().parent.name if path.is_file() and path.name in CONFIGS else path.stem


def holds_weights(folder: Path) -> bool:
    """Whether there are files of a checkpoint in the folder."""
    try:
        return any(p.suffix in (".safetensors", ".gguf") or p.name.endswith(INDEX) for p in folder.iterdir())
    except OSError:
        return False


INDEX = ".safetensors.index.json"


def begins_as_gguf(path: Path) -> bool:
    """Whether a file without an extension is a GGUF file (Ollama names its files by their digests)."""
    if path.suffix or not path.is_file():
        return False
    try:
        with path.open("rb") as opened:
            return opened.read(4) == b"GGUF"
    except OSError:
        return False


def read_config(path: Path) -> dict[str, Any]:
    """The parsed config.json at a path, or in the folder at that path.

    Raises:
        SourceError: there is no such file, or it is not a JSON object.
    """
    file = path / "config.json" if path.is_dir() else path
    if not (file.is_file() or file.is_fifo() or file.is_char_device() or file.is_socket()):  # pipes are /dev/fd/63
        raise SourceError(
            f"There is no file {str(file)!r}; give the path of a config.json or of the folder that holds one."
        )
    if file.suffix not in ("", ".json"):
        from calculator.sources.foreign.folders import unread_file

        unread = unread_file(file)
        if unread is not None:
            raise SourceError(unread)
    try:
        with file.open("rb") as opened:
            return _parsed(opened.read(limits().config_bytes + 1), repr(str(file)), str(file))
    except OSError as error:
        raise SourceError(f"{str(file)!r} could not be read as text: {error}.") from error


def read_stdin() -> dict[str, Any]:
    """The config.json on standard input.

    Raises:
        SourceError: it is closed, or holds no JSON object.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("The model - is a config.json on standard input; pipe one in, or give a name or a path.")
    body = sys.stdin.buffer.read(limits().config_bytes + 1)
    if not body.strip():
        raise SourceError("Nothing came on standard input; the model - is a config.json that is piped in.")
    return _parsed(body, "standard input", "Standard input")


def _parsed(body: bytes, shown: str, where: str) -> dict[str, Any]:
    if len(body) > limits().config_bytes:
        raise SourceError(f"{shown} is larger than {limits().config_bytes / 1e6:g} MB, so it is no config.json.")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{shown} could not be read as text: {error}.") from error
    return parse_config(text, where)


def side_files(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What files beside config.json say about how the checkpoint is quantized, by their names; nothing where the config
    says it itself.

    Raises:
        SourceError: such a file is not a JSON object.
    """
    if block_of(config) is not None:
        return {}
    return {name: read_config(folder / name) for name in SIDE_FILES if (folder / name).is_file()}


def parse_config(text: str, where: str = "the config") -> dict[str, Any]:
    """A config.json's text as a dict.

    Raises:
        SourceError: the text is not a JSON object.
    """
    check_json(text, where, SourceError)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where} is not valid JSON ({error}); a model's config.json is needed.") from error
    if not isinstance(parsed, dict):
        raise SourceError(
            f"{where} holds a JSON {type(parsed).__name__}, not an object; a model's config.json is needed."
        )
    return parsed
