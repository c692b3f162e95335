"""The Byte Latent Transformer (arXiv:2412.09871): bytes to patches, a transformer over patches, patches to bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import head_shape
from calculator.families.layers import pre_norm, self_attention
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    AtPatches,
    Elsewhere,
    Embedding,
    Frozen,
    HashEmbedding,
    Head,
    Linear,
    Norm,
    Part,
    PatchAttention,
    Residual,
)


def transformer_layer(c: Config, window: int | None) -> tuple[Part, ...]:
    inner = c.get("intermediate_size") or int(8 * c.hidden_size / 3)
    attention = self_attention(c, window=window, bias=False)
    return pre_norm(c, attention, MLP("mlp", c.hidden_size, inner), kind="").parts


def named(prefix: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple(replace(p, name=f"{prefix}.{p.name}") for p in parts)


def between(c: Config, name: str, index: int, patch: int, **options: Any) -> tuple[Part, ...]:
    """The index-th cross-attention of the local encoder or decoder."""
    heads, kv_heads, _ = head_shape(c)
    place = f"{name}.cross_attn_layers.{index}"
    attention = PatchAttention(place, c.hidden_size, heads, kv_heads, patch, c.cross_attn_k, **options)
    return (attention, Residual(f"{place}.residual", c.hidden_size))


def local_encoder(c: Config, patch: int, window: int | None) -> tuple[Part, ...]:
    """Layers over bytes; after the last, or each, patches gather their bytes."""
    name, count, width = "model.local_encoder", c.num_hidden_layers, c.hidden_size
    parts: tuple[Part, ...] = ()
    projection = Linear(f"{name}.patch_embedding_projection", width, width * c.cross_attn_k, component="mlp")
    every = c.flag("cross_attn_all_layers")
    for i in range(times(count)):
        parts += named(f"{name}.layers.{i}", transformer_layer(c, window))
        if every or i == count - 1:
            here: Part = AtPatches(projection.name, projection, patch)
            if i < count - 1:  # one projection, which the layers share
                here = Elsewhere(
                    f"{projection.name}.{i}", AtPatches("", replace(projection, name=f"{projection.name}.{i}"), patch)
                )
            parts += (here,)
            parts += between(c, name, i if every else 0, patch)
    return parts


def local_decoder(c: Config, patch: int, window: int | None) -> tuple[Part, ...]:
    """Bytes read their patch, before the first layer or each."""
    name, width = "model.local_decoder", c.hidden_size
    projection = Linear(
        f"{name}.patch_embedding_projection", c.hidden_size_global, width * c.cross_attn_k, component="mlp"
    )
    parts: tuple[Part, ...] = (AtPatches(projection.name, projection, patch),)
    for i in range(times(c.num_hidden_layers)):
        if i == 0 or c.flag("cross_attn_all_layers"):
            parts += between(c, name, i, patch, to_bytes=True)
        parts += named(f"{name}.layers.{i}", transformer_layer(c, window))
    return parts


def patcher(c: Config) -> tuple[Part, ...]:
    """The small model of bytes whose entropy ends a patch; it is trained before."""
    name, width = "model.patcher", c.hidden_size
    parts: tuple[Part, ...] = (Embedding(f"{name}.embed_tokens", c.vocab_size, width),)
    for i in range(times(c.num_hidden_layers)):
        parts += named(f"{name}.layers.{i}", transformer_layer(c, c.get("sliding_window")))
    parts += (Norm(f"{name}.norm", width), Linear(f"{name}.lm_head", width, c.vocab_size, component="head"))
    return tuple(Frozen(p.name, p) for p in parts)


@family("blt")
def blt(c: Config) -> Blueprint:
    encoder, decoder, middle = (c.section(f"{name}_config") for name in ("encoder", "decoder", "global"))
    patch: int = c.get("patch_size") or 1
    if patch < 1:
        raise ConfigError(f"patch_size in {c.where} is {patch}; it must be at least 1.")
    window = c.get("local_attention_window_len")
    sizes = c.get("encoder_hash_byte_group_size") or (3, 4, 5, 6, 7, 8)
    tables = c.encoder_hash_byte_group_nb_functions * len(sizes)
    rows = c.encoder_hash_byte_group_vocab * tables
    inside = encoder.hidden_size * c.cross_attn_k
    tied = c.flag("tie_word_embeddings")  # a tied table is saved as the head
    before: tuple[Part, ...] = (
        Embedding("lm_head" if tied else "model.local_encoder.embed_tokens", encoder.vocab_size, encoder.hidden_size),
        HashEmbedding("model.encoder_hash_tok_embedding", rows, encoder.hidden_size, tables),
    )
    if c.flag("patch_in_forward"):
        before = (*patcher(c.section("patcher_config")), *before)
    before += local_encoder(encoder, patch, window)
    if inside != middle.hidden_size:
        projection = Linear("model.global_transformer.token_embedding_projection", inside, middle.hidden_size)
        before += (AtPatches(projection.name, projection, patch),)
    parts = tuple(AtPatches(p.name, p, patch) for p in transformer_layer(middle, None))
    layer = Layer("full attention over patches + mlp", parts)
    text = Stack(
        "model.global_transformer.layers",
        middle.hidden_size,
        (layer,) * times(middle.num_hidden_layers),
        before=before,
        after=(
            *local_decoder(decoder, patch, window),
            Norm("model.local_decoder.norm", decoder.hidden_size),
            Head("lm_head", c.vocab_size, decoder.hidden_size, tied=tied),
        ),
    )
    note = (
        f"Tokens are bytes. Patches are taken to be {patch} bytes long (patch_size); where entropy ends them, their "
        "number depends on the text. A single decode step is one that ends a patch; a longer generation ends one "
        f"every {patch} bytes."
    )
    return Blueprint(text, c.vocab_size, context=encoder.get("max_position_embeddings"), notes=(note,))
