"""DeepSeek-V2 and V3 and the models built like them: latent attention and fine-grained experts with shared ones."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import changed, dropped
from calculator.families.layers import gated_mlp, mixture, pre_norm
from calculator.families.models import decoder, each_part
from calculator.families.prediction import further_layers, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.parts import Correction, Experts, LatentAttention, Part, SharedMLP, Storage


def latent_attention(c: Config) -> LatentAttention:
    return LatentAttention(
        "self_attn",
        c.hidden_size,
        c.num_attention_heads,
        c.kv_lora_rank,
        c.qk_rope_head_dim,
        c.qk_nope_head_dim,
        c.v_head_dim,
        c.get("q_lora_rank"),
        bias=c.flag("attention_bias"),
        dropout=dropped(c, "attention_dropout"),
    )


def deepseek_experts(c: Config, *, correction: bool) -> Experts:
    shared = (c.get("n_shared_experts") or 0) * c.moe_intermediate_size
    return mixture(
        c,
        experts=c.first("n_routed_experts", "num_local_experts", "num_experts"),
        shared=SharedMLP(shared, bias=c.flag("mlp_bias")),
        correction=Correction() if correction else None,
    )


def deepseek(c: Config, *, correction: bool) -> Blueprint:
    """The first first_k_dense_replace layers have an MLP, the others experts."""
    attention = latent_attention(c)
    dense = pre_norm(c, attention, gated_mlp(c), kind="latent attention + mlp")
    mixed = pre_norm(c, attention, deepseek_experts(c, correction=correction), kind="latent attention + experts")
    count, first = c.num_hidden_layers, c.get("first_k_dense_replace") or 0
    layers = [dense if i < first else mixed for i in range(times(count))]
    return decoder(c, layers, apart=further_layers(c, mixed, stated(c), copies=True))


@family("deepseek_v2")
def deepseek_v2(c: Config) -> Blueprint:
    return deepseek(c, correction=False)


def packed(part: Part) -> Part:
    """Each layer's experts in one tensor."""
    return replace(part, stored=Storage("packed")) if isinstance(part, Experts) else part


@family("mistral4")
def mistral4(c: Config) -> Blueprint:
    """DeepSeek-V2's layers with each layer's experts packed into one tensor, and no score bias."""
    built = deepseek(c, correction=False)
    return replace(built, text=each_part(built.text, packed))


@family("deepseek_v3", "kimi_k2", "sarvam_mla")
def deepseek_v3(c: Config) -> Blueprint:
    return deepseek(c, correction=True)


@family("youtu", "minicpm3")
def youtu(c: Config) -> Blueprint:
    """Latent attention before one MLP."""
    value_dim = c.get("v_head_dim") or c.hidden_size // c.num_attention_heads  # MiniCPM3 states none
    c = changed(c, v_head_dim=value_dim)
    return decoder(c, pre_norm(c, latent_attention(c), gated_mlp(c), kind="latent attention + mlp"))
