"""Mixtures of experts beside grouped-query attention, the same in every layer."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.fields import (
    dense_or_sparse,
    dropped,
    head_shape,
    layer_types,
    partly_rotated,
    renamed,
    windows,
)
from calculator.families.layers import (
    gated_mlp,
    mixed_layers,
    mixture,
    post_norm,
    pre_norm,
    self_attention,
    unbiased_norm,
)
from calculator.families.mixtures.latent import deepseek_experts
from calculator.families.mixtures.mixtral import olmoe_experts
from calculator.families.models import decoder
from calculator.families.prediction import further_layers, prediction_notes, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    Correction,
    Experts,
    HeadNorms,
    Names,
    Part,
    Router,
    SharedMLP,
    Storage,
)


@family("dots1")
def dots1(c: Config) -> Blueprint:
    last = c.get("max_window_layers") or 0
    sliding = c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "sliding_attention" if sliding and i >= last else "full_attention")
    kept = windows(c, types)
    layers = mixed_layers(
        c,
        lambda i: self_attention(c, window=kept[i], norms=HeadNorms("head")),
        deepseek_experts(c, correction=True),
        dense_or_sparse(c, c.first_k_dense_replace),
    )
    return decoder(c, layers)


@family("solar_open")
def solar_open(c: Config) -> Blueprint:
    """Every layer is a mixture; rotary positions over the whole head unless the config says otherwise."""
    layer = pre_norm(
        c, self_attention(c, biases=Biases(c.flag("attention_bias"))), deepseek_experts(c, correction=True)
    )
    return decoder(c, layer)


@family("hy_v3")
def hy_v3(c: Config) -> Blueprint:
    experts = mixture(
        c,
        router=Router("router.gate"),
        shared=SharedMLP(c.num_shared_experts * c.moe_intermediate_size, name="shared_mlp", bias=c.flag("mlp_bias")),
        correction=Correction("expert_bias"),
    )
    attention = self_attention(c, norms=HeadNorms("head"))
    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, 1))
    (predicted,) = mixed_layers(c, attention, experts, [True])
    apart = further_layers(c, predicted, stated(c), final="final_layernorm")
    return decoder(c, layers, apart=apart)


@family("hunyuan_v1_moe")
def hunyuan_v1_moe(c: Config) -> Blueprint:
    """Experts and one shared MLP in every layer; sizes may be listed layer by layer."""

    def of(value: int | list[int], i: int) -> int:
        return value[i] if isinstance(value, list) else value

    attention = self_attention(c, norms=HeadNorms("head", names=("query_layernorm", "key_layernorm")))
    layers = [
        pre_norm(
            c,
            attention,
            mixture(
                c,
                intermediate=c.intermediate_size,
                experts=of(c.listed("num_experts"), i),
                top_k=of(c.listed("moe_topk"), i),
                router=Router("gate.wg"),
                shared=SharedMLP(c.intermediate_size, name="shared_mlp"),
            ),
        )
        for i in range(times(c.num_hidden_layers))
    ]
    return decoder(c, layers)


def ernie_experts(c: Config, width: int, count: int, routers: int = 1) -> Experts:
    """Experts beside shared ones; the score biases of all `routers` of a layer are one tensor."""
    return mixture(
        c,
        intermediate=width,
        experts=count,
        top_k=c.moe_k,
        shared=SharedMLP(c.moe_num_shared_experts * width, bias=c.flag("use_bias")),
        correction=Correction("moe_statics.e_score_correction_bias", role="vector", shape=(routers, count)),
    )


@family("ernie4_5_moe")
def ernie4_5_moe(c: Config) -> Blueprint:
    bias, interval, count = c.flag("use_bias"), c.moe_layer_interval, c.num_hidden_layers
    last = count - 1 if c.moe_layer_end_index == -1 else c.moe_layer_end_index
    sparse = [(i + 1) % interval == 0 and c.moe_layer_start_index <= i <= last for i in range(times(count))]
    experts = ernie_experts(c, c.moe_intermediate_size, c.moe_num_experts)
    layers = mixed_layers(c, self_attention(c, bias=bias), experts, sparse, dense=gated_mlp(c, bias=bias))
    return decoder(c, layers, head_bias=bias, notes=prediction_notes(c))


def granite_experts(c: Config) -> Experts:
    """Two packed tensors, and a router inside a router."""
    return mixture(
        c,
        "block_sparse_moe",
        intermediate=c.intermediate_size,
        experts=c.num_local_experts,
        router=Router("router.layer"),
        stored=Storage("packed", prefix="", names=("", "", "output_linear.weight"), packed="input_linear.weight"),
    )


def granite_mlp(c: Config) -> MLP:
    """The shared MLP that runs beside the experts, or alone."""
    return MLP("shared_mlp", c.hidden_size, c.shared_intermediate_size, fused="input_linear", down="output_linear")


def granite_layer(c: Config, mixer: Part, kind: str, experts: Experts | None = None) -> Layer:
    """norm, mixer, add; norm, experts and shared MLP (each if the config has it), add."""
    channels: list[Part] = []
    if c.get("num_local_experts"):
        channels.append(experts or granite_experts(c))
    if c.get("shared_intermediate_size"):
        channels.append(granite_mlp(c))
    return pre_norm(c, mixer, channels, kind=f"{kind} + {'experts' if isinstance(channels[0], Experts) else 'mlp'}")


@family("granitemoe", "granitemoeshared")
def granitemoe(c: Config) -> Blueprint:
    layer = granite_layer(c, self_attention(c), "full attention")
    return decoder(c, layer)


@family("bailing_moe", "bailing_moe_v2")
def bailing_moe(c: Config) -> Blueprint:
    """Ling and Ring (Ant): one packed projection, a norm for each head, DeepSeek's router."""
    bias, head_dim = c.flag("use_bias"), head_shape(c)[2]
    attention = self_attention(
        c,
        name="attention",
        names=Names(out="dense", fused="query_key_value"),
        biases=Biases(qkv=c.flag("use_qkv_bias"), out=bias),
        norms=HeadNorms("head" if c.flag("use_qk_norm") else None, names=("query_layernorm", "key_layernorm")),
        rotary=partly_rotated(c, head_dim, 1),
        dropout=dropped(c, "attention_dropout"),
    )
    width = c.get("moe_shared_expert_intermediate_size") or c.moe_intermediate_size
    experts = mixture(
        c,
        shared=SharedMLP((c.get("num_shared_experts") or 0) * width),
        correction=Correction("gate.expert_bias", role="vector") if c.flag("moe_router_enable_expert_bias") else None,
    )
    sparse = dense_or_sparse(c, c.get("first_k_dense_replace") or 0)
    layers = mixed_layers(c, attention, experts, sparse, dense=gated_mlp(c, bias=bias))
    return decoder(c, layers, embedding="model.word_embeddings", notes=prediction_notes(c))


@family("sarvam_moe")
def sarvam_moe(c: Config) -> Blueprint:
    """Sarvam 30B: the layers of GLM-4.5 under Ling's names, every head rotated whole."""
    attention = self_attention(
        c,
        name="attention",
        names=Names(fused="query_key_value", out="dense"),
        biases=Biases(c.flag("attention_bias")),
        norms=HeadNorms("head" if c.flag("use_qk_norm") else None, ("query_layernorm", "key_layernorm")),
    )
    experts = mixture(
        c,
        experts=c.n_routed_experts,
        shared=SharedMLP((c.get("n_shared_experts") or 0) * c.moe_intermediate_size),
        correction=Correction("gate.expert_bias"),
    )
    layers = mixed_layers(c, attention, experts, dense_or_sparse(c, c.first_k_dense_replace))
    return decoder(c, layers, embedding="model.word_embeddings", notes=prediction_notes(c))


@family("deepseek")
def deepseek_moe(c: Config) -> Blueprint:
    """DeepSeekMoE 16B (arXiv:2401.06066): the experts of DeepSeek-V2 beside plain attention."""
    first, period = c.get("first_k_dense_replace") or 0, c.get("moe_layer_freq") or 1
    sparse = [i >= first and i % period == 0 for i in range(times(c.num_hidden_layers))]
    layers = mixed_layers(c, self_attention(c), deepseek_experts(c, correction=False), sparse)
    return decoder(c, layers)


@family("aria_moe_lm")
def aria_moe_lm(c: Config) -> Blueprint:
    """Aria's language model as its first files call it; intermediate_size there is no expert's width."""
    return aria_text(
        renamed(Config(c.raw, "aria_text", where=c.where, like=c), intermediate_size="moe_intermediate_size")
    )


@family("aria_text")
def aria_text(c: Config) -> Blueprint:
    """Llama's layers with packed experts and shared ones (arXiv:2410.05993)."""
    experts = mixture(
        c,
        intermediate=c.intermediate_size,
        experts=c.moe_num_experts,
        top_k=c.moe_topk,
        router=Router("router"),
        stored=Storage("packed", names=("", "", "fc2.weight"), packed="fc1.weight"),
        shared=SharedMLP(c.moe_num_shared_experts * c.intermediate_size, bias=c.flag("mlp_bias")),
    )
    return decoder(c, pre_norm(c, self_attention(c), experts))


@family("flex_olmo")
def flex_olmo(c: Config) -> Blueprint:
    """OLMoE's experts in OLMo 2's layers, which have their norms after each half (arXiv:2507.07024)."""
    mixer = self_attention(c, norms=HeadNorms("full"))
    return decoder(c, post_norm(c, mixer, olmoe_experts(c)))


@family("dbrx")
def dbrx(c: Config) -> Blueprint:
    """DBRX (Databricks, 2024): LayerNorm without bias, packed q, k and v, experts stacked in three matrices."""
    attention, ffn = c.section("attn_config"), c.section("ffn_config")
    c = renamed(c, num_attention_heads="n_heads", hidden_size="d_model", num_hidden_layers="n_layers")
    width: int = c.hidden_size
    head_dim = width // c.num_attention_heads
    mixer = Attention(
        "norm_attn_norm.attn",
        width,
        c.num_attention_heads,
        attention.kv_n_heads,
        head_dim,
        names=Names(out="out_proj", fused="Wqkv"),
        rotary=head_dim,
        dropout=bool(attention.get("attn_pdrop")),
    )
    experts = mixture(
        c,
        "ffn",
        intermediate=ffn.ffn_hidden_size,
        experts=ffn.moe_num_experts,
        top_k=ffn.moe_top_k,
        router=Router("router.layer"),
        stored=Storage("stacked", prefix="experts.mlp", names=("w1", "v1", "w2")),
    )
    layer = pre_norm(
        c,
        mixer,
        experts,
        norm=unbiased_norm,
        names=("norm_attn_norm.norm_1", "norm_attn_norm.norm_2"),
        dropout=bool(c.get("resid_pdrop")),
    )
    return decoder(
        c, layer, path="transformer.blocks", embedding="transformer.wte", final="transformer.norm_f", norm=unbiased_norm
    )
