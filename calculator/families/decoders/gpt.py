"""GPT-2's kind: LayerNorm with biases, plain MLPs, learned or sinusoidal or ALiBi positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import attention_kind, dropped
from calculator.families.layers import additions, layer_norm, plain_mlp, pre_norm, whole_heads
from calculator.families.models import GPT2_PATHS, blueprint, decoder, language_model
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import unread_encoder
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Biases, Embedding, Head, Idle, Linear, Names, Norm, Part, Positions, Sees, VectorWeights

FAIRSEQ_NORMS = ("self_attn_layer_norm", "final_layer_norm")


def gpt_layer(c: Config, attention: Part, mlp: Part, names: tuple[str, str], dropout: str, **more: Any) -> Layer:
    """Pre-norm halves with LayerNorms; `dropout` is the field of its probability."""
    return pre_norm(c, attention, mlp, norm=layer_norm, names=names, dropout=dropped(c, dropout), **more)


def gpt2_model(c: Config, layers: Layer | list[Layer]) -> Blueprint:
    """GPT-2's embeddings, learned positions and final norm around its layers."""
    positions = Positions("transformer.wpe", c.max_position_embeddings, c.hidden_size)
    return decoder(c, layers, **GPT2_PATHS, norm=layer_norm, before=(positions,))


@family("gpt2", "gpt-sw3", "gpt_bigcode")
def gpt2(c: Config) -> Blueprint:
    """GPT-2, and with one key-value head SantaCoder and StarCoder."""
    width: int = c.hidden_size
    attention = whole_heads(c, "attn", names=Names(out="c_proj", fused="c_attn"), dropout=dropped(c, "attn_pdrop"))
    if c.model_type == "gpt_bigcode" and c.flag("multi_query"):
        attention = replace(attention, kv_heads=1)
    mlp = plain_mlp(c, "mlp", c.get("n_inner") or 4 * width, up="c_fc", down="c_proj")
    layer = gpt_layer(c, attention, mlp, ("ln_1", "ln_2"), "resid_pdrop")
    if c.model_type != "gpt_bigcode" and c.flag("add_cross_attention"):
        # Stored for use under an encoder; as a decoder alone the model does not run it.
        shapes = (
            ("crossattention.c_attn", (2 * width, width)),
            ("crossattention.q_attn", (width, width)),
            ("crossattention.c_proj", (width, width)),
        )
        norm = VectorWeights("ln_cross_attn", (("weight", (width,)), ("bias", (width,))), component="norm")
        layer = replace(layer, parts=(*layer.parts, norm, Idle("", shapes, bias=True)))
    return gpt2_model(c, layer)


@family("gpt_neo")
def gpt_neo(c: Config) -> Blueprint:
    """GPT-2 whose layers alternate between the whole past and a window."""
    types = c.get("attention_layers")
    if types is None:
        pairs = c.get("attention_types") or [[["global", "local"], c.num_hidden_layers // 2]]
        types = [kind for kinds, repeats in pairs for _ in range(times(repeats)) for kind in kinds]
    mlp = plain_mlp(c, "mlp", c.get("intermediate_size") or 4 * c.hidden_size, up="c_fc", down="c_proj")

    def layer(kind: str) -> Layer:
        window, drop = c.window_size if kind == "local" else None, dropped(c, "attention_dropout")
        names, biases = Names(out="out_proj"), Biases(out=True)
        attention = whole_heads(c, "attn.attention", sees=Sees(window), names=names, biases=biases, dropout=drop)
        return gpt_layer(c, attention, mlp, ("ln_1", "ln_2"), "resid_dropout", kind=f"{kind} attention")

    return gpt2_model(c, [layer(t) for t in types])


@family("openai-gpt")
def openai_gpt(c: Config) -> Blueprint:
    """The first GPT: norms after each addition, none at the end."""
    width: int = c.hidden_size
    attention = whole_heads(c, "attn", names=Names(out="c_proj", fused="c_attn"), dropout=dropped(c, "attn_pdrop"))
    mlp = plain_mlp(c, "mlp", 4 * width, up="c_fc", down="c_proj")
    adds = additions(width, dropped(c, "resid_pdrop"))
    parts = (attention, adds[0], layer_norm("ln_1", width), mlp, adds[1], layer_norm("ln_2", width))
    text = language_model(
        c,
        [Layer("full attention", parts)] * times(c.num_hidden_layers),
        path="transformer.h",
        embedding="transformer.tokens_embed",
        before=(Positions("transformer.positions_embed", c.max_position_embeddings, width),),
    )
    return blueprint(c, replace(text, after=text.after[1:]))


@family("opt")
def opt(c: Config) -> Blueprint:
    """OPT (arXiv:2205.01068); its 350m normalises after each half, and embeds in fewer features."""
    width, before_halves = c.hidden_size, c.flag("do_layer_norm_before")
    bias, affine = c.flag("enable_bias"), c.flag("layer_norm_elementwise_affine")
    attention = whole_heads(c, bias=bias, names=Names(out="out_proj"), dropout=dropped(c, "attention_dropout"))
    mlp = plain_mlp(c, "", c.ffn_dim, bias=bias)
    halves: list[Part] = []
    for name, part, add in zip(FAIRSEQ_NORMS, (attention, mlp), additions(width, dropped(c, "dropout")), strict=True):
        norm = Norm(name, width, "layer", True, affine=affine)
        halves += [norm, part, add] if before_halves else [part, add, norm]
    embedded: int = width if c.get("word_embed_proj_dim") is None else c.word_embed_proj_dim
    root = "model.decoder"
    before: list[Part] = [Embedding(f"{root}.embed_tokens", c.vocab_size, embedded)]
    after: list[Part] = []
    # Positions are stored with an offset of 2 (fairseq's padding index).
    positions = Positions(f"{root}.embed_positions", c.max_position_embeddings + 2, width)
    if before_halves and not c.flag("_remove_final_layer_norm"):
        after.append(Norm(f"{root}.final_layer_norm", width, "layer", True, affine=affine))
    if embedded != width:
        before.append(Linear(f"{root}.project_in", embedded, width))
        after.append(Linear(f"{root}.project_out", width, embedded, component="head"))
    after.append(Head("lm_head", c.vocab_size, embedded, tied=c.flag("tie_word_embeddings")))
    layers = (Layer(attention_kind(None), tuple(halves)),) * times(c.num_hidden_layers)
    return blueprint(c, Stack(f"{root}.layers", width, layers, (*before, positions), tuple(after)))


@family("bloom")
def bloom(c: Config) -> Blueprint:
    """ALiBi positions, and a norm on the embeddings (arXiv:2211.05100)."""
    drop = dropped(c, "attention_dropout")
    attention = whole_heads(c, "self_attention", names=Names(out="dense", fused="query_key_value"), dropout=drop)
    attention = replace(attention, sees=Sees(alibi=True))
    mlp = plain_mlp(c, "mlp", 4 * c.hidden_size, up="dense_h_to_4h", down="dense_4h_to_h")
    return decoder(
        c,
        pre_norm(c, attention, mlp, norm=layer_norm, dropout=dropped(c, "hidden_dropout")),
        **(GPT2_PATHS | {"embedding": "transformer.word_embeddings"}),
        norm=layer_norm,
        before=(layer_norm("transformer.word_embeddings_layernorm", c.hidden_size),),
    )


@family("ctrl")
def ctrl(c: Config) -> Blueprint:
    """Sinusoidal positions, a head with a bias (arXiv:1909.05858)."""
    attention = whole_heads(c, "multi_head_attention", names=Names(query="Wq", key="Wk", value="Wv", out="dense"))
    layer = gpt_layer(
        c, attention, plain_mlp(c, "ffn", c.dff, up="0", down="2"), ("layernorm1", "layernorm2"), "resid_pdrop"
    )
    paths: dict[str, Any] = {"path": "transformer.h", "embedding": "transformer.w", "final": "transformer.layernorm"}
    return decoder(c, layer, **paths, norm=layer_norm, head_bias=True)


@family("biogpt")
def biogpt(c: Config) -> Blueprint:
    """GPT-2's blocks under fairseq's names, whose positions are stored with an offset of 2."""
    attention = whole_heads(c, names=Names(out="out_proj"), dropout=dropped(c, "attention_probs_dropout_prob"))
    return decoder(
        c,
        gpt_layer(c, attention, plain_mlp(c, ""), FAIRSEQ_NORMS, "hidden_dropout_prob"),
        path="biogpt.layers",
        embedding="biogpt.embed_tokens",
        final="biogpt.layer_norm",
        head="output_projection",
        norm=layer_norm,
        before=(Positions("biogpt.embed_positions", c.max_position_embeddings + 2, c.hidden_size),),
    )


@family("xglm")
def xglm(c: Config) -> Blueprint:
    """Sinusoidal positions, which are computed and not stored."""
    attention = whole_heads(c, names=Names(out="out_proj"), dropout=dropped(c, "attention_dropout"))
    layer = gpt_layer(c, attention, plain_mlp(c, "", c.ffn_dim), FAIRSEQ_NORMS, "dropout")
    layer = replace(layer, parts=(*layer.parts, *unread_encoder(c, attention)))
    return decoder(c, layer, final="model.layer_norm", norm=layer_norm)
