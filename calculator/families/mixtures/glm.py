"""GLM-4, 4.5, 4.7 and 5 (Zhipu, Z.ai)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    blueprint,
    dropped,
    family,
    gated_mlp,
    head_shape,
    language_model,
    pre_norm,
    self_attention,
)
from calculator.families.mixtures.latent import deepseek_experts, latent_attention
from calculator.families.prediction import further_layers, stated
from calculator.families.shared import dense_or_sparse, mixed_layers, partly_rotated, prediction_notes
from calculator.model import Layer
from calculator.parts import Attention, Indexer, Norm, Part, Residual


def glm_attention(c: Config, **changes: Any) -> Attention:
    """Half of each head is rotated; the output projection has no bias."""
    rotary = partly_rotated(c, head_shape(c)[2], 0.5)
    # GLM-4V's dense model always has biases on q, k and v.
    bias = c.model_type == "glm4v_text" or c.flag("attention_bias")
    return self_attention(c, qkv_bias=bias, out_bias=False, rotary=rotary, **changes)


@family("glm")
def glm(c: Config) -> Blueprint:
    layer = pre_norm(c, glm_attention(c), gated_mlp(c, fused="gate_up_proj", bias=False), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("glm4", "glm4v_text", "glm_ocr_text")
def glm4(c: Config) -> Blueprint:
    """A second norm after each half."""
    width: int = c.hidden_size
    layer = Layer(
        "full attention",
        (
            Norm("input_layernorm", width),
            glm_attention(c),
            Norm("post_self_attn_layernorm", width),
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            gated_mlp(c, fused="gate_up_proj", bias=False),
            Norm("post_mlp_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("glm4_moe", "glm4v_moe_text")
def glm4_moe(c: Config) -> Blueprint:
    attention = glm_attention(c, head_norm="head" if c.flag("use_qk_norm") else None)
    experts = deepseek_experts(c, correction=True)
    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, c.first_k_dense_replace))
    # So do GLM-4.5, GLM-4.5-Air and GLM-4.7; GLM-4.6 leaves out the copies of embedding and head.
    (predicted,) = mixed_layers(c, attention, experts, [True])
    return blueprint(c, language_model(c, layers), apart=further_layers(c, predicted, stated(c), copies=True))


@family("glm4_moe_lite")
def glm4_moe_lite(c: Config) -> Blueprint:
    sparse = dense_or_sparse(c, 1)
    layers = mixed_layers(
        c, latent_attention(c), deepseek_experts(c, correction=True), sparse, mixer_kind="latent attention"
    )
    return blueprint(c, language_model(c, layers), notes=prediction_notes(c))


def indexer(c: Config) -> Indexer:
    return Indexer(
        "self_attn.indexer", c.hidden_size, c.q_lora_rank, c.index_n_heads, c.index_head_dim, c.qk_rope_head_dim
    )


def indexed_layers(c: Config) -> list[bool]:
    """Whether each layer runs its own indexer; the others reuse the choice of the last one that did (GLM-5.2)."""
    types = c.get("indexer_types") or c.get("index_topk_pattern")
    if types:
        return [t in ("full", "F") for t in types]
    period, offset = max(c.get("index_topk_freq") or 1, 1), c.get("index_skip_topk_offset") or 0
    return [max(i - offset + 1, 0) % period == 0 for i in range(c.num_hidden_layers)]


@family("glm_moe_dsa", "deepseek_v32")
def sparse_latent(c: Config) -> Blueprint:
    """DeepSeek-V3's layers with an indexer before the attention (DeepSeek-V3.2, arXiv:2512.02556)."""
    attention = replace(latent_attention(c), selected=c.index_topk, dropout=dropped(c, "attention_dropout"))
    index: tuple[Part, ...] = (indexer(c),)
    sparse = dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    # Neither type reads the mlp_bias that its config declares.
    experts = replace(deepseek_experts(c, correction=True), shared_bias=False)
    dense = gated_mlp(c, bias=False)

    def chosen(layer: Layer, indexed: bool) -> Layer:
        norm, *rest = layer.parts
        kind = layer.kind.replace("full", "sparse latent" if indexed else "sparse latent (shared choice)")
        return Layer(kind, (norm, *(index if indexed else ()), *rest))

    pairs = zip(mixed_layers(c, attention, experts, sparse, dense=dense), indexed_layers(c), strict=True)
    layers = [chosen(layer, indexed) for layer, indexed in pairs]
    (predicted,) = mixed_layers(c, attention, experts, [True])
    # DeepSeek-V3.2 repeats the embedding and the head, GLM-5 does not.
    copies = c.model_type == "deepseek_v32"
    return blueprint(
        c, language_model(c, layers), apart=further_layers(c, chosen(predicted, True), stated(c), copies=copies)
    )
