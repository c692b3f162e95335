"""DeepSeek's experts in GLM-4.5 and later (Zhipu, Z.ai), and the indexer before latent attention."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.decoders.norms import glm_attention
from calculator.families.fields import dense_or_sparse, dropped
from calculator.families.layers import gated_mlp, mixed_layers
from calculator.families.mixtures.latent import deepseek_experts, latent_attention
from calculator.families.models import decoder
from calculator.families.prediction import further_layers, prediction_notes, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import HeadNorms, Indexer, Part


@family("glm4_moe", "glm4v_moe_text")
def glm4_moe(c: Config) -> Blueprint:
    attention = glm_attention(c, norms=HeadNorms("head" if c.flag("use_qk_norm") else None))
    experts = deepseek_experts(c, correction=True)
    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, c.first_k_dense_replace))
    # So do GLM-4.5, GLM-4.5-Air and GLM-4.7; GLM-4.6 leaves out the copies of embedding and head.
    (predicted,) = mixed_layers(c, attention, experts, [True])
    return decoder(c, layers, apart=further_layers(c, predicted, stated(c), copies=True))


@family("glm4_moe_lite")
def glm4_moe_lite(c: Config) -> Blueprint:
    sparse = dense_or_sparse(c, 1)
    layers = mixed_layers(
        c, latent_attention(c), deepseek_experts(c, correction=True), sparse, mixer_kind="latent attention"
    )
    return decoder(c, layers, notes=prediction_notes(c))


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
    return [max(i - offset + 1, 0) % period == 0 for i in range(times(c.num_hidden_layers))]


@family("glm_moe_dsa", "deepseek_v32")
def sparse_latent(c: Config) -> Blueprint:
    """DeepSeek-V3's layers with an indexer before the attention (DeepSeek-V3.2, arXiv:2512.02556)."""
    attention = replace(latent_attention(c), selected=c.index_topk, dropout=dropped(c, "attention_dropout"))
    index: tuple[Part, ...] = (indexer(c),)
    sparse = dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    # Neither type reads the mlp_bias that its config declares.
    experts = deepseek_experts(c, correction=True)
    experts = replace(experts, shared=replace(experts.shared, bias=False))
    dense = gated_mlp(c, bias=False)

    def chosen(layer: Layer, indexed: bool) -> Layer:
        norm, *rest = layer.parts
        kind = layer.kind.replace("full", "sparse latent" if indexed else "sparse latent (shared choice)")
        return Layer(kind, (norm, *(index if indexed else ()), *rest))

    pairs = list(zip(mixed_layers(c, attention, experts, sparse, dense=dense), indexed_layers(c), strict=True))
    made = {pair: chosen(*pair) for pair in dict.fromkeys(pairs)}
    layers = [made[pair] for pair in pairs]
    (predicted,) = mixed_layers(c, attention, experts, [True])
    # DeepSeek-V3.2 repeats the embedding and the head, GLM-5 does not.
    copies = c.model_type == "deepseek_v32"
    return decoder(c, layers, apart=further_layers(c, chosen(predicted, True), stated(c), copies=copies))
