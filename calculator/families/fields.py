"""Readers of the usual fields: heads, rotary shares, windows, kinds of layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.limits import times


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
        return [default(i) for i in range(times(count))]
    if not isinstance(listed, list) or len(listed) != count:
        raise ConfigError(
            f"layer_types in {c.where} must be a list with one entry for each of the {count} layers "
            f"(num_hidden_layers); "
            f"it has {len(listed) if isinstance(listed, list) else 'no'} entries."
        )
    return [str(t) for t in listed]


def every(period: int, otherwise: str = "sliding_attention") -> Callable[[int], str]:
    """The pattern that has full attention in each layer whose place is a multiple of `period`."""
    return lambda i: otherwise if (i + 1) % period else "full_attention"


def attention_kind(window: int | None) -> str:
    return "full attention" if window is None else "sliding attention"


def label_count(c: Config) -> int:
    """Classes that a classification head tells apart; two where the config names none."""
    count: int = c.num_labels if c.get("num_labels") else len(c.get("id2label") or (0, 1))
    return count


def context_length(c: Config) -> int | None:
    """The longest sequence the config allows, None where nothing bounds it."""
    names = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len")
    for name in names:
        value = c.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def partly_rotated(c: Config, head_dim: int, otherwise: float) -> int:
    """Rotated elements of each head, where the type rotates the share `otherwise` unless the config says more."""
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    stated = c.get("partial_rotary_factor") or (isinstance(rope, dict) and rope.get("partial_rotary_factor"))
    return rotary_size(c, head_dim) if stated else int(head_dim * otherwise)


def dense_or_sparse(c: Config, first_dense: int) -> list[bool]:
    """Whether each layer is a mixture: mlp_layer_types where listed, otherwise all from layer `first_dense` on."""
    listed = c.get("mlp_layer_types")
    count: int = c.num_hidden_layers
    return [t == "sparse" for t in listed] if listed else [i >= first_dense for i in range(times(count))]


def renamed(c: Config, **names: str) -> Config:
    """The config with fields of older types under today's names: renamed(c, hidden_size="n_embd")."""
    usual = {new: c.get(old) for new, old in names.items() if c.get(old) is not None}
    return c.with_values(**usual)


def changed(c: Config, **fields: Any) -> Config:
    """The config with other values of some fields."""
    return c.with_values(**fields)


def restated(c: Config, **fields: Any) -> Config:
    """The config as if the file stated these fields so."""
    return Config({**c.raw, **fields}, c.model_type, where=c.where, like=c)
