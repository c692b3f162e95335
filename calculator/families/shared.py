"""More readers that several families share: one model inside another, prediction layers, rotary shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.common import FAMILIES, Blueprint, context_length, gated_mlp, pre_norm, rotary_size
from calculator.model import Layer, Stack
from calculator.parts import MLP, Norm, Part, Residual


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


def partly_rotated(c: Config, head_dim: int, otherwise: float) -> int:
    """Rotated elements of each head, where the type rotates the share `otherwise` unless the config says more."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    stated = c.get("partial_rotary_factor") or (isinstance(rope, dict) and rope.get("partial_rotary_factor"))
    return rotary_size(c, head_dim) if stated else int(head_dim * otherwise)


def prediction_notes(c: Config, *names: str) -> tuple[str, ...]:
    """What to tell the reader about multi-token-prediction layers whose tensors are not known here."""
    found = next((c.get(n) for n in (*names, "num_nextn_predict_layers") if c.get(n)), 0)
    text = (
        f"The config states {found} multi-token-prediction layer(s); what the checkpoint holds of them is not counted."
    )
    return (text,) if found else ()


def dense_or_sparse(c: Config, first_dense: int) -> list[bool]:
    """Whether each layer is a mixture: mlp_layer_types where listed, otherwise all from layer `first_dense` on."""
    listed = c.get("mlp_layer_types")
    count: int = c.num_hidden_layers
    return [t == "sparse" for t in listed] if listed else [i >= first_dense for i in range(count)]


def mixed_layers(
    c: Config,
    mixer: Part | Callable[[int], Part],
    experts: Part,
    sparse: Iterable[bool],
    *,
    mixer_kind: str = "full attention",
    dense: Part | None = None,
) -> list[Layer]:
    """Pre-norm layers whose channel mixer is the MLP or the experts."""
    mlp = dense or gated_mlp(c)
    return [
        pre_norm(
            c,
            mixer(i) if callable(mixer) else mixer,
            experts if mixed else mlp,
            kind=f"{mixer_kind} + {'experts' if mixed else 'mlp'}",
        )
        for i, mixed in enumerate(sparse)
    ]


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
    text.values_["tie_word_embeddings"] = text.flag("tie_word_embeddings") if own_ties else tied_inside(c, text)
    return FAMILIES[name](text)


def with_towers(
    c: Config,
    text: str,
    towers: tuple[Stack, ...],
    *,
    old: str = "model.",
    new: str = "model.language_model.",
    head: str = "lm_head",
    field: str = "text_config",
    own_ties: bool = False,
) -> Blueprint:
    """The language model in `text_config`, read by the family `text`, beside its towers."""
    inner = language_part(c, text, field, own_ties)

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


def renamed(c: Config, **names: str) -> Config:
    """The config with fields of older types under today's names: renamed(c, hidden_size="n_embd")."""
    usual = {new: c.get(old) for new, old in names.items() if c.get(old) is not None}
    return Config({**c.values_, **usual}, c.model_type, where=c.where)


def parallel_layer(
    kind: str, norms: tuple[Part, ...], mixer: Part, channel: Part, width: int, dropout: bool = False
) -> Layer:
    """Attention and MLP side by side, both added to the residual stream they read."""
    adds = [Residual(name, width, dropout) for name in ("mixer_residual", "channel_residual")]
    if len(norms) == 1 and isinstance(channel, MLP):
        channel = replace(channel, shares_input=True)
    norms = (*norms[:1], *(replace(n, shares_input=True) for n in norms[1:] if isinstance(n, Norm)))
    return Layer(kind, (*norms, mixer, channel, *adds), parallel=(mixer.name, channel.name))


def post_norm(c: Config, mixer: Part, channel: Part, *, kind: str) -> Layer:
    """Norms after each half instead of before (OLMo 2, EXAONE 4)."""
    width: int = c.hidden_size
    return Layer(
        kind,
        (
            mixer,
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            channel,
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
