"""More readers that several families share: renaming a language model inside another, prediction layers, rotary shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from calculator.config import Config
from calculator.families.common import Blueprint, context_length, gated_mlp, pre_norm, rotary_size
from calculator.families.vision import language_part
from calculator.model import Layer, Stack
from calculator.parts import Part


def moved(stack: Stack, old: str, new: str) -> Stack:
    """The same stack with the prefix `old` of its tensor names replaced by `new`."""

    def renamed(name: str) -> str:
        return new + name.removeprefix(old) if name.startswith(old) else name

    def ends(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(replace(p, name=renamed(p.name)) for p in parts)

    return replace(stack, path=renamed(stack.path), before=ends(stack.before), after=ends(stack.after))


def partly_rotated(c: Config, head_dim: int, otherwise: float) -> int:
    """Rotated elements of each head, where the type rotates the share `otherwise` unless the config says more."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    stated = c.get("partial_rotary_factor") or (isinstance(rope, dict) and rope.get("partial_rotary_factor"))
    return rotary_size(c, head_dim) if stated else int(head_dim * otherwise)


def prediction_notes(c: Config, *names: str) -> tuple[str, ...]:
    """What to tell the reader about multi-token-prediction layers, which no count includes."""
    found = next((c.get(n) for n in (*names, "num_nextn_predict_layers") if c.get(n)), 0)
    return (f"The checkpoint also holds {found} multi-token-prediction layer(s), which are not counted.",) if found else ()


def dense_or_sparse(c: Config, first_dense: int) -> list[bool]:
    """Whether each layer is a mixture: mlp_layer_types where listed, otherwise all from layer `first_dense` on."""
    listed = c.get("mlp_layer_types")
    count: int = c.num_hidden_layers
    return [t == "sparse" for t in listed] if listed else [i >= first_dense for i in range(count)]


def mixed_layers(c: Config, mixer: Part | Callable[[int], Part], experts: Part, sparse: Iterable[bool], *,
                 mixer_kind: str = "full attention", dense: Part | None = None) -> list[Layer]:  # fmt: skip
    """Pre-norm layers whose channel mixer is the MLP or the experts."""
    mlp = dense or gated_mlp(c)
    return [
        pre_norm(c, mixer(i) if callable(mixer) else mixer, experts if mixed else mlp,
                 kind=f"{mixer_kind} + {'experts' if mixed else 'mlp'}")
        for i, mixed in enumerate(sparse)
    ]  # fmt: skip


HELD = "The towers' weights are held; their FLOPs are zero, because the workload has no images or sound."


def with_towers(c: Config, text: str, towers: tuple[Stack, ...], *, old: str = "model.", new: str = "model.language_model.",
                head: str = "lm_head") -> Blueprint:  # fmt: skip
    """The language model in `text_config`, read by the family `text`, beside its towers."""
    inner = language_part(c, text)
    stack = moved(moved(inner.text, old, new), "lm_head", head)
    notes = (*inner.notes, HELD) if towers else inner.notes
    return Blueprint(stack, inner.vocabulary, towers, inner.context or context_length(c), notes)
