"""What-ifs that the app offers beside a model: uneven routing, and a dense model's MLPs as experts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from calculator.errors import ConfigError
from calculator.model import Model, Stack
from calculator.parts import MLP, Experts, Part


@dataclass(frozen=True)
class Balance:
    """How evenly a router loads its experts.

    Attributes:
        loads: each expert's share of the routed tokens, largest first; they add up to 1.
        imbalance: the largest load over the mean: what the slowest of one-expert devices waits for.
        dropped: share of routed tokens beyond the experts' capacity.
        padding: share of the experts' capacity that stays empty.
    """

    loads: tuple[float, ...]
    imbalance: float
    dropped: float
    padding: float


def balance(experts: int, skew: float, capacity_factor: float | None = None) -> Balance:
    """Loads that fall off as 1/rank^skew (Zipf's law); skew 0 is even.

    Args:
        capacity_factor: an expert takes at most this multiple of the mean load; None: as much as comes.
    """
    weights = [1 / rank**skew for rank in range(1, experts + 1)]
    whole = sum(weights)
    loads = tuple(w / whole for w in weights)
    if capacity_factor is None:
        return Balance(loads, loads[0] * experts, 0.0, 0.0)
    room = capacity_factor / experts
    dropped = sum(max(0.0, load - room) for load in loads)
    return Balance(loads, loads[0] * experts, dropped, 1 - (1 - dropped) / capacity_factor)


def as_mixture(model: Model, experts: int, top_k: int, intermediate: int) -> Model:
    """A dense model whose every MLP is `experts` MLPs of width `intermediate`, of which a token visits `top_k`.

    Raises:
        ConfigError: a token cannot visit more experts than there are, or the model has no MLP of its own to replace.
    """
    if top_k > experts:
        raise ConfigError(f"A token cannot visit {top_k} of {experts} experts; choose at most {experts} per token.")

    def mixed(stack: Stack) -> Stack:
        layers = (
            replace(layer, parts=tuple(_mixed(p, experts, top_k, intermediate) for p in layer.parts))
            for layer in stack.layers
        )
        return replace(stack, layers=tuple(layers))

    text, encoder = mixed(model.text), mixed(model.encoder) if model.encoder else None
    if text == model.text:
        raise ConfigError(f"{model.name} has no MLP that could become experts.")
    return model.with_layers(text.layers, encoder=encoder, name=f"{model.name} as {experts} experts")


def _mixed(part: Part, experts: int, top_k: int, intermediate: int) -> Part:
    if not isinstance(part, MLP):
        return part
    return Experts(part.name or "mlp", part.hidden, intermediate, experts, top_k, gated=part.gated)


def mlp_width(model: Model) -> int | None:
    """The width of the first MLP, None where the model has none."""
    parts = (p for layer in model.text.layers for p in layer.parts)
    return next((p.intermediate for p in parts if isinstance(p, MLP)), None)
