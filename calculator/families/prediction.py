"""Multi-token-prediction layers (DeepSeek-V3, arXiv:2412.19437, section 2.2): what a checkpoint holds beside the model.

Each joins the next token's embedding with the last hidden state, both normalised, and passes them through one more
layer. Their tensor names and sizes are those of published checkpoints whose totals they account for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from calculator.config import Config
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Embedding, Head, Linear, Norm, Part, Residual


def stated(c: Config, *names: str) -> int:
    """How many prediction layers the config states, under the first of these names or the usual one."""
    return next((getattr(c, n) for n in (*names, "num_nextn_predict_layers") if c.get(n)), 0)


def inside(prefix: str, parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts with their names inside `prefix`."""
    return tuple(replace(p, name=f"{prefix}.{p.name}") for p in parts if not isinstance(p, Residual))


def joined(c: Config, norms: tuple[str, str] = ("enorm", "hnorm"), projection: str = "eh_proj") -> tuple[Part, ...]:
    """A norm for the embedding, one for the hidden state, and the projection of both."""
    width: int = c.hidden_size
    return (*(Norm(name, width) for name in norms), Linear(projection, 2 * width, width))


def further_layers(
    c: Config, layer: Layer, count: int, *, copies: bool = False, final: str = "shared_head.norm"
) -> tuple[Stack, ...]:
    """DeepSeek's layout: layers that go on after the last one, with copies of the embedding and the head where
    `copies`."""
    width: int = c.hidden_size
    embedding: tuple[Part, ...] = (Embedding("embed_tokens", c.vocab_size, width),) if copies else ()
    head: tuple[Part, ...] = (Head("shared_head.head", c.vocab_size, width),) if copies else ()
    parts = (*embedding, *joined(c), *layer.parts, Norm(final, width), *head)
    first: int = c.num_hidden_layers
    return tuple(Stack("", width, (), before=inside(f"model.layers.{first + i}", parts)) for i in range(times(count)))


def layers_of_their_own(c: Config, layer: Layer, count: int) -> tuple[Stack, ...]:
    """Qwen's layout: layers under "mtp", one projection in front of them and one norm after them."""
    if not count:
        return ()
    width: int = c.hidden_size
    front = joined(c, ("pre_fc_norm_embedding", "pre_fc_norm_hidden"), "fc")
    layers = tuple(p for i in range(times(count)) for p in inside(f"layers.{i}", layer.parts))
    return (Stack("", width, (), before=inside("mtp", (*front, *layers, Norm("norm", width)))),)


def prediction_notes(c: Config, *names: str) -> tuple[str, ...]:
    """What to tell the reader about multi-token-prediction layers whose tensors are not known here."""
    found = next((c.get(n) for n in (*names, "num_nextn_predict_layers") if c.get(n)), 0)
    text = (
        f"The config states {found} multi-token-prediction layer(s); what the checkpoint holds of them is not counted."
    )
    return (text,) if found else ()
