"""What families share: the registry, the readers of common fields, and the usual ways a layer is put together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Embedding, Head, Linear, Norm, Part, Residual


@dataclass(frozen=True)
class Blueprint:
    """What a family builds from a config: the language model, its towers, and what to tell the reader."""

    text: Stack
    vocabulary: int
    towers: tuple[Stack, ...] = ()
    context: int | None = None
    notes: tuple[str, ...] = ()
    encoder: Stack | None = None
    encoder_length: int | None = None
    apart: tuple[Stack, ...] = ()


Family = Callable[[Config], Blueprint]
FAMILIES: dict[str, Family] = {}


def family(*model_types: str) -> Callable[[Family], Family]:
    """Register a function as the reader of these model types."""

    def register(function: Family) -> Family:
        for model_type in model_types:
            if model_type in FAMILIES:
                raise RuntimeError(f"two families for model type {model_type!r}")
            FAMILIES[model_type] = lambda c: layer_by_layer(c, function)
        return function

    return register


def layer_by_layer(c: Config, function: Family) -> Blueprint:
    """What the family builds, with the fields that `per_layer_config` changes for single layers: transformers 5 writes
    Gemma 4's larger heads in the full-attention layers that way."""
    overrides = c.get("per_layer_config")
    if not overrides:
        return function(c)
    built = function(c)
    layers = list(built.text.layers)
    for changes in {json.dumps(changes, sort_keys=True): changes for changes in overrides.values()}.values():
        other = function(Config({**c.raw, **changes}, c.model_type, where=c.where)).text.layers
        for index in (int(i) for i, found in overrides.items() if found == changes):
            if not 0 <= index < len(layers):
                raise ConfigError(f"per_layer_config in {c.where} has layer {index}; there are {len(layers)} layers.")
            layers[index] = other[index]
    return replace(built, text=replace(built.text, layers=tuple(layers)))


def head_shape(c: Config) -> tuple[int, int, int]:
    """Query heads, key-value heads, and the size of a head."""
    heads: int = c.num_attention_heads
    if heads < 1:
        raise ConfigError(f"num_attention_heads in {c.where} is {heads}; it must be at least 1.")
    kv_heads = c.get("num_key_value_heads")
    if kv_heads is not None and (c.num_key_value_heads < 1 or heads % c.num_key_value_heads):
        raise ConfigError(
            f"num_key_value_heads in {c.where} is {kv_heads}; it must divide the {heads} attention heads."
        )
    if c.get("head_dim") is None and c.hidden_size < heads:
        raise ConfigError(
            f"hidden_size {c.hidden_size} in {c.where} has no room for {heads} attention heads; state head_dim."
        )
    # Rounded down, as transformers does (GLM-4.5's own defaults, 4096 features and 96 heads, do not divide).
    head_dim = c.head_dim if c.get("head_dim") is not None else c.hidden_size // heads
    return heads, heads if kv_heads is None else c.num_key_value_heads, head_dim


def dropped(c: Config, *names: str) -> bool:
    """Whether any of these dropout probabilities is above zero."""
    return any(isinstance(p, int | float) and p > 0 for p in map(c.get, names))


def rotary_size(c: Config, head_dim: int) -> int:
    """Rotated elements of each head."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    nested = rope.get("partial_rotary_factor") if isinstance(rope, dict) else None
    share = nested or c.get("partial_rotary_factor") or c.get("rotary_pct") or 1
    return int(head_dim * share) if isinstance(share, int | float) else head_dim


def self_attention(c: Config, *, window: int | None = None, name: str = "self_attn", **changes: Any) -> Attention:
    """Grouped-query attention by the usual field names, with whatever the family changes."""
    heads, kv_heads, head_dim = head_shape(c)
    options: dict[str, Any] = {
        "qkv_bias": c.flag("attention_bias"),
        "out_bias": c.flag("attention_bias"),
        "rotary": rotary_size(c, head_dim),
        "dropout": dropped(c, "attention_dropout"),
    }
    return Attention(name, c.hidden_size, heads, kv_heads, head_dim, window=window, **{**options, **changes})


def gated_mlp(c: Config, *, name: str = "mlp", **changes: Any) -> MLP:
    """The gated MLP by the usual field names."""
    return MLP(name, c.hidden_size, c.intermediate_size, **{"bias": c.flag("mlp_bias"), **changes})


def pre_norm(
    c: Config,
    mixer: Part,
    channel: Part,
    *,
    kind: str,
    norm: str = "rms",
    bias: bool = False,
    names: tuple[str, str] = ("input_layernorm", "post_attention_layernorm"),
    dropout: bool = False,
) -> Layer:
    """norm, token mixer, add; norm, channel mixer, add."""
    width: int = c.hidden_size
    return Layer(
        kind,
        (
            Norm(names[0], width, norm, bias),
            mixer,
            Residual("mixer_residual", width, dropout),
            Norm(names[1], width, norm, bias),
            channel,
            Residual("channel_residual", width, dropout),
        ),
    )


def windows(c: Config, types: Sequence[str]) -> list[int | None]:
    """The window of each layer, by its entry in `layer_types`.

    Raises:
        ConfigError: an entry is neither full nor sliding attention.
    """
    for entry in types:
        if entry not in ("full_attention", "sliding_attention"):
            raise ConfigError(
                f"layer_types in {c.where} has {entry!r}; a {c.model_type} layer is full_attention or "
                "sliding_attention."
            )
    return [c.sliding_window if t == "sliding_attention" else None for t in types]


def layer_types(c: Config, default: Callable[[int], str]) -> list[str]:
    """`layer_types`, or the pattern that the type derives when the config does not list it.

    Raises:
        ConfigError: the list is not one entry per layer.
    """
    listed = c.get("layer_types")
    count: int = c.num_hidden_layers
    if listed is None:
        return [default(i) for i in range(count)]
    if not isinstance(listed, list) or len(listed) != count:
        raise ConfigError(
            f"layer_types in {c.where} must be a list with one entry for each of the {count} layers "
            f"(num_hidden_layers); "
            f"it has {len(listed) if isinstance(listed, list) else 'no'} entries."
        )
    return [str(t) for t in listed]


def attention_kind(window: int | None) -> str:
    return "full attention" if window is None else "sliding attention"


def language_model(
    c: Config,
    layers: Sequence[Layer],
    *,
    path: str = "model.layers",
    embedding: str = "model.embed_tokens",
    final: str = "model.norm",
    head: str = "lm_head",
    norm: str = "rms",
    norm_bias: bool = False,
    head_bias: bool = False,
    before: tuple[Part, ...] = (),
    tied: bool | None = None,
) -> Stack:
    """Token embedding, layers, final norm, head."""
    width: int = c.hidden_size
    if width < 1 or c.vocab_size < 1:
        raise ConfigError(f"hidden_size {width} and vocab_size {c.vocab_size} in {c.where} must be at least 1.")
    share = c.flag("tie_word_embeddings") if tied is None else tied
    last = classifier(c)
    return Stack(
        path,
        width,
        tuple(layers),
        before=(Embedding(embedding, c.vocab_size, width), *before),
        after=(
            Norm(final, width, norm, norm_bias),
            last or Head(head, c.vocab_size, width, tied=share, bias=head_bias),
        ),
    )


def classifier(c: Config) -> Linear | None:
    """The score head of a ...ForSequenceClassification checkpoint (a reward model), None for a language model."""
    if not any(str(a).endswith("ForSequenceClassification") for a in c.get("architectures") or ()):
        return None
    return Linear("score", c.hidden_size, label_count(c), component="head")


def label_count(c: Config) -> int:
    """Classes that a classification head tells apart; two where the config names none."""
    count: int = c.num_labels if c.get("num_labels") else len(c.get("id2label") or (0, 1))
    return count


def decoder(c: Config, layers: Layer | Sequence[Layer], *, notes: tuple[str, ...] = (), **options: Any) -> Blueprint:
    """A decoder of one kind of layer, or of the layers listed; the options are those of `language_model`."""
    listed = [layers] * c.num_hidden_layers if isinstance(layers, Layer) else layers
    return blueprint(c, language_model(c, listed, **options), notes=notes)


def blueprint(c: Config, text: Stack, **more: Any) -> Blueprint:
    """A language model with the context length that the config states."""
    return Blueprint(text, c.vocab_size, context=context_length(c), **more)


def context_length(c: Config) -> int | None:
    """The longest sequence the config allows, None where nothing bounds it."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len")
    for name in names:
        value = c.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
