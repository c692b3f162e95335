"""Which configs describe a draft head, and who reads them. They state the model_type of the decoder whose layers they
borrow ("llama"), so that the class in `architectures` alone tells them from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError, UnknownModelTypeError
from calculator.families.classes import classes
from calculator.families.registry import FAMILIES, Blueprint

Reader = Callable[[Config], Blueprint]
FORMS: list[tuple[re.Pattern[str], str, Reader]] = []

DRAFTS = re.compile(
    r"Eagle3?(?:LM|Head|Draft|Speculator)?$|^P?E(?:agle|AGLE)(?!Chat|\d?VL|2)\w*(?:For|LM|Model|Speculator|Draft)"
    r"|Medusa|Speculator|Draft(?:er)?(?:Model|For|$)|MTP(?:Model|Layer)?$|NextN$|^DFlash|Hydra(?:Head|Model|For)"
)
"""Names of classes that are drafts; NVIDIA's Eagle 2 and 2.5 are vision models, and none of them."""

DRAFT_TYPES = re.compile(r"^(?:p?eagle3?|medusa|mlp_speculator|hydra|dflash|dspark|speculators?)$|_mtp$|^mtp$|_nextn$")

FIELDS = {
    "draft_vocab_size": "eagle3",
    "eagle_config": "eagle3",
    "dflash_config": "dflash",
    "medusa_num_heads": "medusa",
}
"""Fields that drafts alone have: the first EAGLE-3 heads state the class and the type of their target, Medusa's authors
state neither."""


def draft(pattern: str, title: str) -> Callable[[Reader], Reader]:
    """Register a function as the reader of the drafts whose class or type the pattern fits."""

    def register(function: Reader) -> Reader:
        FORMS.append((re.compile(pattern, re.IGNORECASE), title, function))
        return function

    return register


def draft_names(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The names by which the config says that it describes a draft; none where it does not."""
    said = raw.get("speculators_model_type")
    kind = raw.get("model_type")
    named = (
        *([said] if isinstance(said, str) else []),
        *([kind] if isinstance(kind, str) and DRAFT_TYPES.search(kind) else []),
        *(name for name in classes(raw) if DRAFTS.search(name)),
    )
    return named or tuple(draft for field, draft in FIELDS.items() if raw.get(field))


def draft_of(raw: Mapping[str, Any]) -> tuple[Config, Reader] | None:
    """The config of a draft with the fields of its decoder at the top, and its reader; None for any other config.

    Raises:
        UnknownModelTypeError: it is a draft of a kind that is not known here.
    """
    names = draft_names(raw)
    if not names:
        return None
    for module in ("eagle", "blocks", "heads", "prediction"):  # the first whose pattern fits is taken
        import_module(f"calculator.families.drafts.{module}")
    found = next((form for name in names for form in FORMS if form[0].search(name)), None)
    if found is None:
        kinds = ", ".join(dict.fromkeys(title for _, title, _ in FORMS))
        raise UnknownModelTypeError(
            f"{names[0]} is a draft head for speculative decoding of a kind that is not known here, and no model of "
            f"type {raw.get('model_type')!r}; the kinds known are {kinds}."
        )
    flat = flattened(raw)
    return Config(flat, str(flat.get("model_type") or ""), where="the draft's config"), found[2]


def flattened(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the decoder at the top level: speculators keep them in transformer_layer_config, vLLM's EAGLE in
    `model`. The draft's own fields go before."""
    inner: Mapping[str, Any] = {}
    for name in ("transformer_layer_config", "model", "eagle_config_base"):
        section = raw.get(name)
        if isinstance(section, Mapping):
            inner = section
            break
    own = {k: v for k, v in raw.items() if k != "model_type" or not inner}
    merged = {**inner, **own}
    if "model_type" not in merged and inner:
        merged["model_type"] = "llama"  # what speculators and vLLM take for a decoder without a name
    return merged


def borrowed(c: Config, kind: str | None = None) -> Blueprint:
    """The decoder whose layers a draft borrows, by its model_type.

    Raises:
        ConfigError: no family reads that type.
    """
    kind = kind or c.model_type
    if kind not in FAMILIES:
        raise ConfigError(f"The draft's layers are of type {kind!r}, which is not known here; state one that is.")
    return FAMILIES[kind](c if kind == c.model_type else Config(c.raw, kind, where=c.where, like=c))
