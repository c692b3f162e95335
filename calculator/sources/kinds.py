"""Which reader a parsed config is for: a draft's, a family's with the head that its class has, or a family's after a
translation from somebody else's fields."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calculator.config import Config
from calculator.errors import ConfigError, UnknownModelTypeError
from calculator.sources import catalogue

if TYPE_CHECKING:
    from calculator.families.registry import Family


MODULES = "modules.json"  # of sentence-transformers
LONGEST = 100_000


def without_head(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The config with the class that sentence-transformers loads, the model without its head, where the folder lists
    such a pipeline: Qwen3-Embedding's states the class of the language model and its files hold no head."""
    file = folder / MODULES
    names = config.get("architectures")
    if not (file.is_file() and isinstance(names, list) and file.stat().st_size < LONGEST):
        return config
    try:
        listed = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return config
    kinds = [str(m.get("type")) for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    if not any(kind.startswith("sentence_transformers.") and kind.endswith(".Pooling") for kind in kinds):
        return config
    return {**config, "architectures": [re.sub(r"ForCausalLM$|LMHeadModel$", "Model", str(n)) for n in names]}


def with_base_sizes(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a Medusa draft with the sizes of its base model, where it states none and that model is bundled."""
    base = raw.get("base_model_name_or_path")
    if "medusa_num_heads" not in raw or not isinstance(base, str):
        return raw
    entry = catalogue.find(base)
    sizes = {n: entry.config[n] for n in ("hidden_size", "vocab_size") if n in entry.config} if entry else {}
    return {**sizes, **raw}


def reader_of(raw: Mapping[str, Any]) -> tuple[Config, Family]:
    """The config and what reads it.

    Raises:
        ConfigError: it does not say what it describes; UnknownModelTypeError: nothing here reads that.
    """
    from calculator.families import FAMILIES
    from calculator.families.classes import with_class
    from calculator.families.drafts.registry import draft_of
    from calculator.sources.foreign import translated

    drafted = draft_of(with_base_sizes(raw))
    if drafted is not None:
        return drafted
    raw = translated(raw)
    kind = raw.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ConfigError(
            'The config has no model_type, which says what it describes; add the field (for instance "llama").'
        )
    if kind not in FAMILIES:
        raise _unknown(raw, kind, FAMILIES)
    return Config(raw, kind), with_class(FAMILIES[kind])


SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where composite models keep the config of their language model."""


def _unknown(raw: Mapping[str, Any], kind: str, known: Collection[str]) -> UnknownModelTypeError:
    """What is said of a type that nothing here reads: where its language model is known, how to ask for that alone;
    otherwise the types that are called alike."""
    said = f"Model type {kind!r} is not known here"
    for section in SECTIONS:
        inner = raw.get(section)
        of = inner.get("model_type") if isinstance(inner, Mapping) else None
        if isinstance(of, str) and of in known:
            return UnknownModelTypeError(
                f"{said}, but the type of its language model is ({section}, {of}): give {section} as a config of its "
                "own for the language model without what stands around it."
            )
    import difflib

    near = difflib.get_close_matches(kind, known, 4, 0.5)
    if not near:
        return UnknownModelTypeError(f"{said}, and no known type is called alike.")
    return UnknownModelTypeError(f"{said}; the nearest known types are {', '.join(near)}.")
