"""Sizes that a config does not state: which of its type's defaults were taken, and which fields stand there under a
name that the type does not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError

NAMES = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_decoder_layers", "decoder_layers"),
    "width": ("hidden_size", "n_embd", "d_model", "dim", "model_dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "key-value heads": (
        *("num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_head_kv", "n_kv_head", "multi_query_group_num"),
        "num_query_groups",
    ),
    "head size": ("head_dim", "kv_channels", "attention_head_dim", "d_head"),
    "MLP": (
        *("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "d_ff", "mlp_hidden_size", "hidden_dim"),
        *("decoder_ffn_dim", "ffn_hidden_dim"),
    ),
    "vocabulary": ("vocab_size", "n_vocab", "padded_vocab_size"),
    "experts": (
        *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts", "n_experts"),
        "num_routed_experts",
    ),
    "experts a token": (
        *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "n_experts_per_tok", "moe_k"),
        *("experts_per_token", "num_activated_experts", "moe_router_topk"),
    ),
}
"""What types call their sizes."""

MAIN = ("layers", "width", "heads", "vocabulary", "MLP", "experts")
"""The sizes that an estimate tells of where a default stands for them."""

DRAFT = "the draft's config"
PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder", "encoder", "config.json", DRAFT)
NESTED = (
    "text_config",
    "llm_config",
    "language_config",
    "language_model",
    "model_config",
    "transformer_config",
    "model",
)


def assumed_sizes(c: Config) -> tuple[str, ...]:
    """What to tell the reader about sizes that the language model's config does not state.

    Raises:
        ConfigError: it states one under a name that its type does not read.
    """
    found: dict[str, dict[str, Any]] = {}
    for where, role, name, value in _assumed(c):
        raw = _section(c.raw, where)
        _check_spelling(c, where, (role, name, value), raw)
        if role in MAIN and _size(value):
            found.setdefault(where, {})[name] = value
    return tuple(_note(c, where, sizes) for where, sizes in found.items())


def _assumed(c: Config) -> Iterator[tuple[str, str, str, Any]]:
    """(section, size, field, default) of every size that was read and is not stated, in the order of NAMES."""
    roles = {name: role for role, names in NAMES.items() for name in names}
    order = list(roles)
    listed = [(where, name, value) for (where, name), value in c.assumed.items() if name in roles]
    for where, name, value in sorted(listed, key=lambda entry: order.index(entry[1])):
        if all(part in PARTS for part in where.split(" of ")):
            yield where, roles[name], name, value


def _section(raw: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    for part in reversed(where.split(" of ")[:-1]):
        inner = raw.get(part)
        raw = inner if isinstance(inner, Mapping) else {}
    return raw


def _check_spelling(c: Config, where: str, taken: tuple[str, str, Any], raw: Mapping[str, Any]) -> None:
    """The size under another name, unless what is taken instead is the same."""
    role, name, value = taken
    if value is None:
        value = _derived(role, raw)
    unread = [n for n in NAMES[role] if n != name and (where, n) not in c.read]
    other = next((n for n in unread if _size(raw.get(n)) and raw[n] != value), None)
    if other is not None:
        raise ConfigError(
            f"{where} states {other} {raw[other]:,}, which a model of type {c.model_type!r} does not read, and no "
            f"{name}, which it does; rename the field to {name}, or state the model_type that the file is of."
        )
    if role in ("layers", "width"):
        _check_place(c, where, role, name)


def _derived(role: str, raw: Mapping[str, Any]) -> Any:
    """What most types take where they state neither the size nor a default."""
    heads = next((raw[n] for n in NAMES["heads"] if _size(raw.get(n))), None)
    width = next((raw[n] for n in NAMES["width"] if _size(raw.get(n))), None)
    if role == "key-value heads":
        return heads
    return width // heads if role == "head size" and heads and width else None


def _check_place(c: Config, where: str, role: str, name: str) -> None:
    """The same sizes a section deeper, or at the top although the type reads them in a section."""
    if where == "config.json":
        for place in NESTED:
            inner = c.raw.get(place)
            if isinstance(inner, Mapping) and any(_size(inner.get(n)) for n in NAMES[role]):
                raise ConfigError(
                    f"The sizes of this config stand in {place}, where a model of type {c.model_type!r} does not read "
                    f"them: it reads {name} at the top; move the fields of {place} there, or state the model_type of "
                    "the whole."
                )
        return
    field = where.split(" of ")[0]
    if not c.raw.get(field) and any(_size(c.raw.get(n)) for n in NAMES[role]):
        raise ConfigError(
            f"The sizes of this config stand at the top, but a model of type {c.model_type!r} reads {name} in {field}; "
            f"move the language model's fields into {field}, with its model_type."
        )


def _size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _note(c: Config, where: str, sizes: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} {value:,}" for name, value in sizes.items())
    subject = "The config" if where == "config.json" else where.replace("config.json", "the config")
    return f"{subject[:1].upper()}{subject[1:]} does not state all sizes: the defaults of its type are taken ({said})."
