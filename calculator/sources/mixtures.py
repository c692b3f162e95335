"""GGUF files of bundled models by the name of their mixture, without the file: hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from calculator.formats.mixtures import BASES
from calculator.model import Model
from calculator.sources import catalogue

_REPOSITORY = re.compile(r"(?i)[-_.](?:i1-|imatrix-)?GGUF$")


def mixture_of(file: str) -> str | None:
    """The mixture that a quantization or the name of a GGUF file says ("Q4_K_M", "Qwen3-8B-Q4_K_M.gguf"); None for
    names whose types no recipe tells, Unsloth's dynamic ones among them."""
    name = file.rpartition("/")[2].lower().removesuffix(".gguf")
    name = re.sub(r"-\d{5}-of-\d{5}$", "", name)
    if re.search(r"(^|[-_.])ud[-_]", name):
        return None
    ends = (mixture for mixture in BASES if name == mixture or re.search(rf"[-_.]{mixture}$", name))
    return max(ends, key=len, default=None)


def quantized_from(repo_id: str) -> catalogue.Entry | None:
    """The bundled model that a repository of GGUF files is made from, as its name says: Qwen/Qwen3-8B-GGUF,
    bartowski/Qwen_Qwen3-8B-GGUF, unsloth/Qwen3-8B-GGUF."""
    name = _REPOSITORY.sub("", repo_id.rpartition("/")[2])
    if name == repo_id.rpartition("/")[2]:
        return None
    owner, _, rest = name.partition("_")
    return catalogue.find(name) or (catalogue.find(f"{owner}/{rest}") if rest else None)


def derived(entry: catalogue.Entry, mixture: str, text: str, build: Callable[[Mapping[str, Any]], Model]) -> Model:
    """A bundled model as the mixture stores it: by llama.cpp's recipe, which the notes say."""
    from calculator.passes.recipe import mixed_scheme

    model = build(entry.config)
    note = (
        f"{text} was not read: the types are those that llama.cpp's quantizer chooses for {mixture.upper()} from "
        f"{entry.id}, tensor by tensor (derived). Publishers may choose others; the file's headers have them."
    )
    return replace(model, name=text, stored=mixed_scheme(model, mixture), plans={}, notes=(*model.notes, note))
