"""The usual ways a model is put together: embedding, layers and head; one model inside another, beside towers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import context_length
from calculator.families.layers import MakeNorm
from calculator.families.registry import FAMILIES, Blueprint
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Embedding, Head, Norm, Part

GPT2_PATHS: dict[str, Any] = {"path": "transformer.h", "embedding": "transformer.wte", "final": "transformer.ln_f"}


def language_model(
    c: Config,
    layers: Sequence[Layer],
    *,
    path: str = "model.layers",
    embedding: str = "model.embed_tokens",
    final: str = "model.norm",
    head: str = "lm_head",
    norm: MakeNorm = Norm,
    head_bias: bool = False,
    before: tuple[Part, ...] = (),
    tied: bool | None = None,
) -> Stack:
    """Token embedding, layers, final norm, head."""
    width: int = c.hidden_size
    if width < 1 or c.vocab_size < 1:
        raise ConfigError(f"hidden_size {width} and vocab_size {c.vocab_size} in {c.where} must be at least 1.")
    share = c.flag("tie_word_embeddings") if tied is None else tied
    return Stack(
        path,
        width,
        tuple(layers),
        before=(Embedding(embedding, c.vocab_size, width), *before),
        after=(norm(final, width), Head(head, c.vocab_size, width, tied=share, bias=head_bias)),
    )


def decoder(
    c: Config,
    layers: Layer | Sequence[Layer],
    *,
    notes: tuple[str, ...] = (),
    apart: tuple[Stack, ...] = (),
    **options: Any,
) -> Blueprint:
    """A decoder of one kind of layer, or of the layers listed; the options are those of `language_model`."""
    listed = [layers] * times(c.num_hidden_layers) if isinstance(layers, Layer) else layers
    return blueprint(c, language_model(c, listed, **options), notes=notes, apart=apart)


def blueprint(c: Config, text: Stack, **more: Any) -> Blueprint:
    """A language model with the context length that the config states."""
    return Blueprint(text, c.vocab_size, context=context_length(c), **more)


def moved(stack: Stack, old: str, new: str) -> Stack:
    """The same stack with the prefix `old` of its tensor names replaced by `new`."""

    def renamed(name: str) -> str:
        return new + name.removeprefix(old) if name.startswith(old) else name

    def placed(part: Part) -> Part:
        inside = getattr(part, "part", None)  # of a part around another
        changes: dict[str, Any] = {"part": placed(inside)} if isinstance(inside, Part) else {}
        return replace(part, name=renamed(part.name), **changes)

    def ends(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(map(placed, parts))

    return replace(stack, path=renamed(stack.path), before=ends(stack.before), after=ends(stack.after))


HELD = "The towers' weights are held; their FLOPs are zero, because the workload has no images or sound."


def tied_inside(c: Config, text: Config) -> bool:
    """Whether the head of a language model inside a composite type is its embedding.

    Up to transformers 4 the language model was a whole model that tied by its own flag, and the checkpoints of that
    time are so (InternVL3 and Mistral Small 3.1 state no flag and have heads of their own, LFM2-VL has none). Since 5.0
    the top level's flag counts, and the classes write it; most look at no other, some tie if either level says so.
    """
    written = str(c.get("transformers_version") or "5")
    early = written.startswith(("4.", "5.0.0.dev"))
    if early and not c.has_stated("tie_word_embeddings"):
        return text.flag("tie_word_embeddings")
    return c.flag("tie_word_embeddings") or (c.ties_from == "text_config" and text.flag("tie_word_embeddings"))


def language_part(c: Config, name: str, field: str = "text_config", own_ties: bool = False) -> Blueprint:
    """The blueprint of the language model's own config, read by the family `name`; with `own_ties` it is a whole model,
    which ties by its own flag.

    Raises:
        ConfigError: no family has that name.
    """
    if name not in FAMILIES:
        raise ConfigError(f"{field} in {c.where} is of type {name!r}, a language model that is not known here.")
    text = c.section(field, name)
    ties = text.flag("tie_word_embeddings") if own_ties else tied_inside(c, text)
    return FAMILIES[name](text.read_as(tie_word_embeddings=ties))


def with_towers(
    c: Config,
    *towers: Stack,
    text: str | None = None,
    old: str = "model.",
    new: str = "model.language_model.",
    head: str = "lm_head",
    field: str = "text_config",
    own_ties: bool = False,
) -> Blueprint:
    """The language model in `text_config`, read by the family `text` or the one that its own model_type names, beside
    its towers."""
    inner = language_part(c, c.section(field).model_type if text is None else text, field, own_ties)

    def placed(stack: Stack) -> Stack:
        return moved(moved(stack, old, new), "lm_head", head)

    return replace(
        inner,
        text=placed(inner.text),
        towers=towers,
        context=inner.context or context_length(c),
        notes=(*inner.notes, HELD) if towers else inner.notes,
        encoder=inner.encoder and placed(inner.encoder),
        apart=tuple(map(placed, inner.apart)),
    )


def beside(c: Config, *towers: Stack, **options: Any) -> Blueprint:
    """The language model whole, head and all, under `language_model`, as LLaVA's checkpoints keep it."""
    return with_towers(c, *towers, **{"old": "", "new": "language_model.", "head": "language_model.lm_head", **options})


def each_part(stack: Stack, change: Callable[[Part], Part]) -> Stack:
    """The same stack with every part of its layers changed."""
    layers = (replace(layer, parts=tuple(map(change, layer.parts))) for layer in stack.layers)
    return replace(stack, layers=tuple(layers))
