"""Decoders with a mechanism of their own, or whose layers differ in size."""

from __future__ import annotations

import math
from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped, head_shape, rotary_size
from calculator.families.layers import gated_mlp, plain_norm, pre_norm, self_attention
from calculator.families.models import blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    DifferentialAttention,
    DynamicMask,
    Elsewhere,
    Embedding,
    Gate,
    Head,
    HeadNorms,
    Linear,
    Names,
    Norm,
    Part,
    Residual,
    RetrievalExperts,
    Sees,
    VectorWeights,
    WithoutGradient,
)


@family("doge")
def doge(c: Config) -> Blueprint:
    """A mask computed from the values, learned weights on both residuals and, with is_moe, retrieved experts beside the
    MLP. (Keys that the mask drops once there are more than keep_window_size are still computed with.)"""
    width, window = c.hidden_size, c.get("sliding_window")
    attention = self_attention(c, window=window, norms=HeadNorms("head"))
    layer = pre_norm(c, attention, gated_mlp(c), dropout=dropped(c, "hidden_dropout"))
    norm, mixer, add, between, mlp, last = layer.parts
    mask = DynamicMask(
        "self_attn", attention.kv_heads, attention.head_dim, window=window, bias=c.flag("attention_bias")
    )
    experts: tuple[Part, ...] = ()
    if c.flag("is_moe"):
        count: int = c.num_experts
        experts = (RetrievalExperts("mlp", width, count, math.isqrt(count), c.num_experts_per_tok),)
    names = ("input_residual", "post_attention_residual")
    scales = VectorWeights("", tuple((name, (width,)) for name in names), component="norm")
    parts = (norm, mixer, mask, add, between, mlp, *experts, last, scales)
    return decoder(c, Layer(f"{layer.kind} + {'mlp and experts' if experts else 'mlp'}", parts))


@family("hrm_text")
def hrm_text(c: Config) -> Blueprint:
    """Two stacks of layers run in turns (arXiv:2506.21734): in each of H_cycles, the low one L_cycles times, then the
    high one. Every run has keys and values of its own; L_bp_cycles says how many low runs of a cycle get a gradient."""
    width: int = c.hidden_size
    count: int = c.num_hidden_layers if c.get("num_layers_per_stack") is None else c.num_layers_per_stack
    if not (count and c.H_cycles and c.L_cycles):
        raise ConfigError(f"Layers, H_cycles and L_cycles in {c.where} must each be at least 1.")
    attention = self_attention(
        c, name="attn", names=Names(fused="gqkv_proj"), gate=Gate(), biases=Biases(out=c.flag("attention_bias"))
    )
    attention = replace(attention, kv_heads=attention.heads)
    mlp = gated_mlp(c, fused="gate_up_proj", bias=False)
    block = pre_norm(c, attention, mlp, norm=plain_norm).parts
    # Weights are packed in checkpoints; biases, which no published one has, would be written apart.
    if c.flag("attention_bias"):
        names = ("gate_proj.bias", "q_proj.bias", "k_proj.bias", "v_proj.bias")
        inner = attention.heads * attention.head_dim
        block = (*block, VectorWeights("self_attn", tuple((name, (inner,)) for name in names)))
    if c.flag("mlp_bias"):
        sizes = (("gate_proj.bias", mlp.intermediate), ("up_proj.bias", mlp.intermediate), ("down_proj.bias", width))
        block = (*block, VectorWeights("mlp", tuple((name, (size,)) for name, size in sizes), component="mlp"))
    added = Residual("state_residual", width)
    final = plain_norm("final_norm", width)
    whole = [
        ((added,) if i == 0 else ()) + block + ((final,) if i == count - 1 else ())
        for i in range(times(count))
    ]  # fmt: skip
    low, high = "full attention, low", "full attention, high"

    def rerun(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(Elsewhere(p.name, p) for p in parts)

    stated = c.get("L_bp_cycles")
    differentiated = [2] if stated is None else list(stated)
    differentiated = [1] * times(c.H_cycles - len(differentiated)) + differentiated
    layers = []
    for cycle in range(times(c.H_cycles)):
        for i in range(times(c.L_cycles)):
            for parts in whole:
                if i < c.L_cycles - differentiated[cycle]:
                    parts = tuple(WithoutGradient(p.name, p) for p in parts)
                layers.append(Layer(low, parts if cycle == i == 0 else rerun(parts)))
        layers += [Layer(high, rerun(parts)) for parts in whole]
    # The layers' path is that of the low stack, whose first run holds it; the high stack's tensors are listed last.
    held = [replace(p, name=f"model.H_module.layers.{i}.{p.name}") for i in range(times(count)) for p in block]
    text = language_model(
        c,
        layers,
        path="model.L_module.layers",
        before=(VectorWeights("model", (("z_L_init", (width,)),), component="embedding"),),
    )
    after = (*(Elsewhere(p.name, p, held=True) for p in held), *text.after[1:])
    return blueprint(c, replace(text, after=after))


@family("cpmant")
def cpmant(c: Config) -> Blueprint:
    """A learned prompt before every sequence, positions and segments as biases of the scores. The head is stored though
    it is a part of the embedding."""
    width, heads, dropout = c.hidden_size, c.num_attention_heads, dropped(c, "dropout_p")
    attention = Attention(
        "self_att.self_attention",
        width,
        heads,
        heads,
        c.dim_head,
        names=Names(query="project_q", key="project_k", value="project_v", out="attention_out"),
        dropout=dropout,
    )
    mlp = MLP("ffn.ffn", width, c.dim_ff, gate="w_in.w_0", up="w_in.w_1", down="w_out")
    names = ("self_att.layernorm_before_attention", "ffn.layernorm_before_ffn")
    layer = pre_norm(c, attention, mlp, names=names, dropout=dropout)
    biases = (c.segment_types**2 + c.position_bias_num_buckets, heads)
    before = (
        Embedding("cpmant.input_embedding", c.vocab_size + c.prompt_types * c.prompt_length, width),
        Embedding("cpmant.segment_embedding", c.segment_types, width),
        VectorWeights("cpmant.position_bias", (("relative_attention_bias", biases),)),
    )
    after = (Norm("cpmant.encoder.output_layernorm", width), Head("lm_head", c.vocab_size, width))
    layers = (layer,) * times(c.num_hidden_layers)
    return blueprint(c, Stack("cpmant.encoder.layers", width, layers, before, after, prompt=c.prompt_length))


@family("deci")
def deci(c: Config) -> Blueprint:
    """Llama whose layers differ in their number of key-value heads (DeciLM-6B and 7B)."""
    counts = c.num_key_value_heads_per_layer
    if not isinstance(counts, list) or len(counts) != c.num_hidden_layers:
        raise ConfigError(
            f"num_key_value_heads_per_layer in {c.where} must be a list with one entry for each of the "
            f"{c.num_hidden_layers} layers (num_hidden_layers)."
        )
    mixers = [replace(self_attention(c), kv_heads=kv_heads) for kv_heads in counts]
    return decoder(c, [pre_norm(c, mixer, gated_mlp(c)) for mixer in mixers])


def searched_width(multiple: float, hidden: int) -> int:
    """The MLP width of a Nemotron-NAS block: two thirds of `multiple` times hidden, up to the next multiple of 256."""
    return -(-int(2 * multiple * hidden / 3) // 256) * 256


@family("nemotron-nas")
def nemotron_nas(c: Config) -> Blueprint:
    """Llama after a search that shrank or removed attention or MLP in single layers (Puzzle, arXiv:2411.19146)."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    layers = []
    for block in c.block_configs:
        attention, ffn = block["attention"], block["ffn"]
        parts: list[Part] = []
        words = []
        if not attention.get("no_op"):
            if attention.get("replace_with_linear"):
                mixer: Part = Linear(
                    "self_attn.linear_attn", width, width, c.flag("attention_bias"), component="attention"
                )
            else:
                group = attention["n_heads_in_group"]
                mixer = replace(self_attention(c), kv_heads=heads // group, sees=Sees(attention.get("window_length")))
            parts += [Norm("input_layernorm", width), mixer, Residual("mixer_residual", width)]
            words.append("linear" if attention.get("replace_with_linear") else "full attention")
        if not ffn.get("no_op"):
            if ffn.get("replace_with_linear"):
                channel: Part = Linear("mlp.linear_mlp", width, width, c.flag("mlp_bias"), component="mlp")
            else:
                channel = MLP("mlp", width, searched_width(ffn["ffn_mult"], width), bias=c.flag("mlp_bias"))
            parts += [Norm("post_attention_layernorm", width), channel, Residual("channel_residual", width)]
            words.append("linear" if ffn.get("replace_with_linear") else "mlp")
        layers.append(Layer(" + ".join(words) or "nothing", tuple(parts)))
    return decoder(c, layers)


@family("apertus", "apertus1p5_text")
def apertus(c: Config) -> Blueprint:
    """A plain MLP whose activation (xIELU, arXiv:2411.13010) has two learned scalars. Apertus 1.5's head has no rows
    for the tokens of images and sound, which it reads and does not write."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False)
    layer = pre_norm(
        c, self_attention(c, norms=HeadNorms("head")), mlp, names=("attention_layernorm", "feedforward_layernorm")
    )
    *first, add = layer.parts
    scalars = VectorWeights("mlp.act_fn", (("alpha_p", (1,)), ("alpha_n", (1,))), component="mlp")
    layer = replace(layer, parts=(*first, scalars, add))
    built = decoder(c, layer)
    rows = c.get("output_vocab_size")
    if rows is None:
        return built
    head = Head("lm_head", rows, c.hidden_size, c.flag("tie_word_embeddings"))
    return replace(built, text=replace(built.text, after=(*built.text.after[:-1], head)))


@family("diffllama")
def diffllama(c: Config) -> Blueprint:
    """Llama with differential attention."""
    heads, kv_heads, head_dim = head_shape(c)
    if kv_heads % 2:
        raise ConfigError(f"num_key_value_heads in {c.where} is {kv_heads}; differential attention pairs them up.")
    attention = DifferentialAttention(
        "self_attn",
        c.hidden_size,
        heads,
        kv_heads,
        head_dim,
        bias=c.flag("attention_bias"),
        rotary=rotary_size(c, head_dim),
    )
    return decoder(c, pre_norm(c, attention, gated_mlp(c, bias=False)))
