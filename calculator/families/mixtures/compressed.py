"""DeepSeek-V4: a compressed past, several residual streams, and experts chosen by token in the first layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped
from calculator.families.layers import MIXTRAL_NAMES, mixture
from calculator.families.models import blueprint, language_model
from calculator.families.prediction import inside, stated
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    CompressedAttention,
    Correction,
    Embedding,
    Head,
    HyperConnection,
    Linear,
    Norm,
    Part,
    SharedMLP,
    Storage,
    VectorWeights,
)

SPARSE, HEAVY, SLIDING = "compressed_sparse_attention", "heavily_compressed_attention", "sliding_attention"
BY_RATIO = {0: SLIDING, 4: SPARSE, 128: HEAVY}


def attention_types(c: Config) -> list[str]:
    """layer_types, or compress_ratios spelled out, or the type's pattern. Entries beyond the last layer are those of
    prediction layers."""
    count: int = c.num_hidden_layers
    listed, ratios = c.get("layer_types"), c.get("compress_ratios")
    if listed is None and ratios is not None:
        unknown = set(ratios) - BY_RATIO.keys()
        if unknown:
            raise ConfigError(f"compress_ratios in {c.where} has {sorted(unknown)}; each entry must be 0, 4 or 128.")
        listed = [BY_RATIO[r] for r in ratios]
    if listed is None:
        listed = [HEAVY] * 2 + [SPARSE if i % 2 else HEAVY for i in range(times(count - 2))]
    return [str(t) for t in listed[:count]]


def compressed_attention(c: Config, kind: str) -> CompressedAttention:
    rates = c.get("compress_rates") or c.default_compress_rates
    named = {SPARSE: c.get("compress_rate_csa"), HEAVY: c.get("compress_rate_hca")}
    rotary = c.get("qk_rope_head_dim") or int(c.head_dim * (c.get("partial_rotary_factor") or 0.125))
    attention = CompressedAttention(
        "attn",
        c.hidden_size,
        c.num_attention_heads,
        c.head_dim,
        c.q_lora_rank,
        c.sliding_window,
        c.o_groups,
        c.o_lora_rank,
        rotary,
        ratio=0 if kind == SLIDING else named[kind] or rates[kind],
        dropout=dropped(c, "attention_dropout"),
    )
    if kind != SPARSE:
        return attention
    return replace(
        attention, overlap=True, index_heads=c.index_n_heads, index_dim=c.index_head_dim, selected=c.index_topk
    )


@family("deepseek_v4")
def deepseek_v4(c: Config) -> Blueprint:
    width, streams, iterations = c.hidden_size, c.hc_mult, c.hc_sinkhorn_iters
    hashed = c.get("num_hash_layers")
    hashed = c.default_num_hash_layers if hashed is None else hashed
    listed = c.get("mlp_layer_types")
    by_token = [t == "hash_moe" for t in listed] if listed else [i < hashed for i in range(times(c.num_hidden_layers))]
    experts = mixture(
        c,
        "ffn",
        experts=c.n_routed_experts,
        stored=Storage(names=MIXTRAL_NAMES),
        correction=Correction("gate.bias"),
        # One, whatever n_shared_experts says (transformers, modeling_deepseek_v4.py).
        shared=SharedMLP(c.moe_intermediate_size, bias=c.flag("mlp_bias"), names=MIXTRAL_NAMES),
    )
    table = VectorWeights(
        "ffn", (("gate.tid2eid", (c.vocab_size, c.num_experts_per_tok)),), component="router", role="buffer"
    )

    def layer(kind: str, hash_layer: bool) -> Layer:
        channel: tuple[Part, ...] = (table, replace(experts, correction=None)) if hash_layer else (experts,)
        parts = (
            HyperConnection("hc_attn", width, streams, iterations),
            Norm("attn_norm", width),
            compressed_attention(c, kind),
            HyperConnection("hc_ffn", width, streams, iterations),
            Norm("ffn_norm", width),
            *channel,
        )
        return Layer(f"{kind.replace('_', ' ')} + experts{' by token' if hash_layer else ''}", parts)

    kinds = list(zip(attention_types(c), by_token, strict=False))
    made = {kind: layer(*kind) for kind in dict.fromkeys(kinds)}
    layers = [made[kind] for kind in kinds]
    text = language_model(c, layers, path="layers", embedding="embed", final="norm", head="head")
    text = replace(text, after=(HyperConnection("hc_head", width, streams, closing=True), *text.after))
    return blueprint(c, text, apart=_predicting(c, layer))


def _predicting(c: Config, layer: Callable[[str, bool], Layer]) -> tuple[Stack, ...]:
    """The prediction layers as the checkpoint has them (vllm/model_executor/models/deepseek_v4_mtp.py): a projection of
    the embedding and one of the streams, a layer, and the way out of the streams. Their kinds of attention go on after
    those of the layers. Checkpoints with experts in FP8, the base models', hold copies of the embedding and the head
    beside them, the others do not: the Hub's counts close so."""
    width: int = c.hidden_size
    count, first = stated(c), c.num_hidden_layers
    ratios = (c.get("compress_ratios") or [])[first:]
    copies = c.get("expert_dtype") == "fp8"
    embedding: tuple[Part, ...] = (Embedding("emb.tok_emb", c.vocab_size, width),) if copies else ()
    head: tuple[Part, ...] = (Head("head", c.vocab_size, width),) if copies else ()

    def parts(i: int) -> tuple[Part, ...]:
        kind = BY_RATIO.get(ratios[i], SLIDING) if i < len(ratios) else SLIDING
        front = (
            Norm("enorm", width),
            Norm("hnorm", width),
            Linear("e_proj", width, width),
            Linear("h_proj", width, width),
        )
        closing = HyperConnection("hc_head", width, c.hc_mult, closing=True)
        return (*embedding, *front, *layer(kind, False).parts, Norm("norm", width), closing, *head)

    return tuple(Stack("", width, (), before=inside(f"mtp.{i}", parts(i))) for i in range(times(count)))


@family("deepseek_ref")
def deepseek_ref(c: Config) -> Blueprint:
    """The same model under the type that SGLang's FP8 conversions state."""
    return deepseek_v4(Config(c.raw, "deepseek_v4", where=c.where, like=c))
