"""LLaVA as its authors' code spells it (llava/model/llava_arch.py): the language model's fields at the top, the image
tower by the name of its repository."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.classes import classes
from calculator.families.models import HELD
from calculator.families.registry import FAMILIES, Blueprint, family
from calculator.families.towers.vision import clip, siglip
from calculator.limits import times
from calculator.model import Stack
from calculator.parts import Linear, Part, VectorWeights

CLIP_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
SIGLIP_LARGE = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 384,
    "vision_use_head": False,
}
TOWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "clip-vit-large-patch14-336": ("clip_vision_model", {**CLIP_LARGE, "image_size": 336}),
    "clip-vit-large-patch14": ("clip_vision_model", {**CLIP_LARGE, "image_size": 224}),
    "siglip-so400m-patch14-384": ("siglip_vision_model", SIGLIP_LARGE),
}
"""The towers by the last part of their id, with the sizes that their config.json states."""

LANGUAGES = {"llama": "llama", "mistral": "mistral", "qwen": "qwen2", "qwen2": "qwen2", "qwen3": "qwen3", "mpt": "mpt",
             "gemma": "gemma", "phi": "phi", "phi3": "phi3", "mixtral": "mixtral"}  # fmt: skip


def is_original(c: Config) -> bool:
    """Whether the config is of the authors' code rather than transformers'."""
    return c.get("mm_vision_tower") is not None and "text_config" not in c.raw


@family("llava_llama", "llava_mistral", "llava_qwen", "llava_qwen2", "llava_mpt", "llava_gemma")
def original_llava(c: Config) -> Blueprint:
    """The language model that class or type names, its projector, and the tower where it is known."""
    text = Config(c.raw, _language(c), where=c.where, like=c)
    built = FAMILIES[text.model_type](text)
    name = str(c.get("mm_vision_tower") or "")
    known = TOWERS.get(name.rstrip("/").rsplit("/", maxsplit=1)[-1].lower())
    projector = _projector(c, built.text.width)
    if known is None:
        said = f"The image tower {name!r} is a repository of its own that is not known here: it is not counted."
        tower = Stack("model.mm_projector", built.text.width, (), projector, tower="vision")
        return replace(built, towers=(tower,), notes=(*built.notes, said, HELD))
    kind, sizes = known
    make = clip if kind == "clip_vision_model" else siglip
    tower = make(Config(sizes, kind, where="the image tower's config"), "model.vision_tower.vision_tower.vision_model",
                 projector)  # fmt: skip
    said = f"The sizes of the image tower are those of {name}, which the config names and does not state."
    return replace(built, towers=(tower,), notes=(*built.notes, said, HELD))


def _language(c: Config) -> str:
    """The type of the language model: LlavaMistralForCausalLM, or llava_mistral."""
    named = [m[1].lower() for n in classes(c) if (m := re.match(r"Llava(\w+?)(?:For|Model)", n))]
    kind = c.model_type.removeprefix("llava_")
    for word in (*named, kind):
        if word in LANGUAGES:
            return LANGUAGES[word]
    if named or kind not in ("llava", c.model_type):
        known = ", ".join(LANGUAGES)
        raise ConfigError(
            f"The language model of {', '.join(classes(c)) or c.model_type} is not known here; LLaVA's may be {known}."
        )
    return "llama"


def _projector(c: Config, width: int) -> tuple[Part, ...]:
    """`mm_projector_type`: linear, or so many layers ("mlp2x_gelu"); version 1.6 adds a token that ends a row."""
    kind, inputs = str(c.get("mm_projector_type") or "linear"), c.mm_hidden_size
    deep = re.fullmatch(r"mlp(\d)x_gelu", kind)
    if kind != "linear" and deep is None:
        raise ConfigError(f"mm_projector_type in {c.where} is {kind!r}; it must be linear or mlpNx_gelu.")
    root = "model.mm_projector"
    count = int(deep[1]) if deep else 1
    names = [root] if deep is None else [f"{root}.{2 * i}" for i in range(times(count))]
    parts: tuple[Part, ...] = tuple(Linear(n, width if i else inputs, width, True) for i, n in enumerate(names))
    rows = "unpad" in str(c.get("mm_patch_merge_type") or "")
    return (*parts, VectorWeights("model", (("image_newline", (width,)),))) if rows else parts
