"""Drafts without attention: Medusa's heads (arXiv:2401.10774) and IBM's MLP speculators (arXiv:2404.19124)."""

from __future__ import annotations

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.drafts.eagle import drafted
from calculator.families.drafts.registry import draft
from calculator.families.fields import restated
from calculator.families.registry import Blueprint
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Activation, Elsewhere, Embedding, Head, Linear, Norm, Part, Residual


@draft(r"^medusa", "Medusa")
def medusa(c: Config) -> Blueprint:
    """Each head is one or more residual layers and a matrix of its own over the vocabulary. The authors' files state
    medusa_num_heads and take the sizes from their base model; vLLM's state the sizes and num_heads."""
    original = c.get("medusa_num_heads") is not None
    _check_sizes(c)
    width, vocabulary = c.hidden_size, c.vocab_size
    heads: int = c.medusa_num_heads if original else c.num_heads
    deep: int = (c.medusa_num_layers if c.get("medusa_num_layers") else 1) if original else c.num_hidden_layers
    rows: int = c.truncated_vocab_size if c.get("truncated_vocab_size") else vocabulary
    # vLLM's modules have a bias only where the config says so, the authors' ResBlock always.
    biased = c.flag("medusa_fc_bias") if not original else True
    blocks: list[Part] = []
    for i in range(times(deep)):
        blocks += [
            Linear(f"{i}.linear", width, width, biased, component="mlp"),
            Activation(f"{i}.act", width, component="mlp"),
            Residual(f"{i}.residual", width),
        ]
    layer = Layer("medusa head", (*blocks, Head(str(deep), rows, width)))
    return drafted(c, "Medusa", [layer] * times(heads), [], [])


def _check_sizes(c: Config) -> None:
    """Raises:
    ConfigError: the config states no sizes, and its base model is not bundled.
    """
    if c.get("hidden_size") is None or c.get("vocab_size") is None:
        base = c.get("base_model_name_or_path")
        named = f"; its base model {base!r} is not bundled here" if base else ""
        raise ConfigError(
            f"This Medusa draft's config states no hidden_size or vocab_size{named}; add both, as the base model has "
            "them."
        )


@draft(r"^mlp_?speculator", "MLP speculator")
def mlp_speculator(c: Config) -> Blueprint:
    """A stage for each token ahead: the token's embedding is added to the projected state, normed, and read by a head.
    With tie_weights all stages share their tensors, but for the first one's projection."""
    inputs, vocabulary = c.emb_dim, c.vocab_size
    inner: int = c.inner_dim or inputs
    stages: int = c.n_predict
    tied = c.flag("tie_weights")

    def stage(i: int) -> Layer:
        parts: list[Part] = [
            Embedding("emb", vocabulary, inner),
            Linear("proj", inner if i else inputs, inner, component="mlp"),
            Norm("ln", inner, bias=True),
            Activation("activation", inner, component="mlp"),
            Head("head", vocabulary, inner),
        ]
        if tied and i:
            # The second stage's projection is the first of its shape.
            kept = ("proj",) if i == 1 else ()
            parts = [p if p.name in kept or isinstance(p, Activation) else Elsewhere(p.name, p) for p in parts]
        return Layer(f"stage {i + 1}", tuple(parts))

    sized = restated(c, hidden_size=inner)
    return drafted(sized, "MLP speculator", [stage(i) for i in range(times(stages))], [], [])
