"""Encoders of the newer kind: ModernBERT, EuroBERT, and BERT with rotary positions (Nomic, GTE, Jina, MPNet's bias)."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.encoders.common import Heads, Parts, bert_attention, bert_layer, embeddings, encoder, lm_head
from calculator.families.encoders.roberta import roberta_heads
from calculator.families.fields import dropped, head_shape, label_count, layer_types, renamed, windows
from calculator.families.layers import gated_mlp, layer_norm, plain_mlp, pre_norm, self_attention, unbiased_norm
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import (
    MLP,
    Activation,
    Attention,
    Biases,
    Embedding,
    Head,
    Linear,
    Names,
    Norm,
    Part,
    Positioned,
    RelativeBias,
    Sees,
)


def modernbert_heads(c: Config, causal: bool) -> Heads:
    """A projection and a norm below every head; the decoder's classifier reads all tokens."""
    width, norm_bias = c.hidden_size, c.flag("norm_bias")

    def transform(name: str) -> Parts:
        return (
            Linear(f"{name}.dense", width, width, c.flag("classifier_bias"), component="head"),
            Activation(f"{name}.activation", width),
            Norm(f"{name}.norm", width, "layer", norm_bias),
        )

    bias = c.flag("classifier_bias") if causal else True
    labels = Linear("classifier", width, label_count(c), bias, component="head")
    one = Linear("classifier", width, 1, component="head", bias=True)
    each = (*transform("head"), labels)
    tied = c.flag("tie_word_embeddings")
    decoder = Head("decoder", c.vocab_size, width, tied=tied, bias=c.flag("decoder_bias"))
    lm = (Positioned("transform", transform("lm_head" if causal else "head")), decoder)
    own: dict[str, Parts] = {
        "sequence": each if causal else (Positioned("pooled", each, pooled=True),),
        "token": each,
        "answer": each,
        "choice": (Positioned("pooled", (*transform("head"), one), pooled=True),),
    }
    return Heads("model", lm, pooler="", own=own)


@family("modernbert", "modernbert-decoder")
def modernbert(c: Config) -> Blueprint:
    """ModernBERT (arXiv:2412.13663) and Ettin's decoders (arXiv:2507.11412): local attention between every third
    layer's global one, gated MLPs, no norm before the first layer's attention."""
    causal = c.model_type == "modernbert-decoder"
    width: int = c.hidden_size
    heads, _, head_dim = head_shape(c)
    bias, norm = c.flag("attention_bias"), layer_norm if c.flag("norm_bias") else unbiased_norm
    period = c.get("global_attn_every_n_layers") or 1
    types = layer_types(c, lambda i: "sliding_attention" if i % period else "full_attention")
    half = c.local_attention // 2
    # The encoder's tokens see half the window to either side, and themselves; the decoder's see half of it.
    local = c.read_as(sliding_window=half if causal else 2 * half + 1)
    mlp = MLP("mlp", width, c.intermediate_size, fused="Wi", down="Wo", bias=c.flag("mlp_bias"))

    def layer(index: int, window: int | None) -> Layer:
        attention = Attention(
            "attn",
            width,
            heads,
            heads,
            head_dim,
            sees=Sees(window=window),
            names=Names(out="Wo", fused=None if causal else "Wqkv"),
            biases=Biases(qkv=bias, out=bias),
            rotary=head_dim,
            dropout=dropped(c, "attention_dropout"),
        )
        built = pre_norm(
            c,
            attention,
            mlp,
            norm=norm,
            names=("attn_norm", "mlp_norm"),
            dropout=dropped(c, "attention_dropout"),
        )
        return built if index else replace(built, parts=built.parts[1:])

    layers = [layer(i, w) for i, w in enumerate(windows(local, types))]
    before = (
        Embedding("embeddings.tok_embeddings", c.vocab_size, width),
        norm("embeddings.norm", width),
    )
    final = norm("final_norm", width)
    return encoder(c, layers, before, modernbert_heads(c, causal), path="layers", after=(final,), causal=causal)


@family("eurobert")
def eurobert(c: Config) -> Blueprint:
    """EuroBERT (arXiv:2503.05500): Llama's layers, in both directions."""
    width: int = c.hidden_size
    layer = pre_norm(c, self_attention(c), gated_mlp(c))
    classes = (
        Linear("dense", width, width, True, component="head"),
        Activation("activation", width),
        Linear("classifier", width, label_count(c), True, component="head"),
    )
    # "late" averages the classes of all tokens, the other ways pool a token first.
    late = (c.get("classifier_pooling") or "late") == "late"
    head = Head("lm_head", c.vocab_size, width, tied=c.flag("tie_word_embeddings"), bias=c.flag("mlp_bias"))
    own: dict[str, Parts] = {"sequence": classes if late else (Positioned("pooled", classes, pooled=True),)}
    heads = Heads("model", (head,), pooler="", own=own)
    before = (Embedding("embed_tokens", c.vocab_size, width),)
    return encoder(c, layer, before, heads, path="layers", after=(Norm("norm", width),), causal=False)


def rotary_layer(c: Config, mixer: str, norms: tuple[str, str], mlp: MLP, *, fused: str, out: str, bias: bool) -> Layer:
    """BERT's layer with packed projections and rotary positions."""
    head_dim = c.head_dim if c.get("head_dim") is not None else c.hidden_size // c.num_attention_heads
    attention = bert_attention(
        c, mixer, head_dim=head_dim, names=Names(fused=fused, out=out), biases=Biases(bias, bias), rotary=head_dim
    )
    return bert_layer(c, mixer=attention, channel=mlp, norms=norms)


@family("nomic_bert")
def nomic_bert(c: Config) -> Blueprint:
    """Nomic Embed (arXiv:2402.01613): no biases, gated MLPs, a norm between the embeddings and the layers. Its own
    configs have GPT-2's field names."""
    c = renamed(
        c,
        hidden_size="n_embd",
        num_attention_heads="n_head",
        num_hidden_layers="n_layer",
        intermediate_size="n_inner",
        max_position_embeddings="n_positions",
    )
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gate="fc12", up="fc11", down="fc2")
    layer = rotary_layer(c, "attn", ("norm1", "norm2"), mlp, fused="Wqkv", out="out_proj", bias=False)
    before = [*embeddings(c, positions=0, norm=False), layer_norm("emb_ln", c.hidden_size)]
    heads = Heads("nomic_bert", lm_head(c, norm="transform.layer_norm"), pooled=frozenset(("sequence",)))
    return encoder(c, layer, before, heads, path="encoder.layers", causal=False)


@family("gte")
def gte(c: Config) -> Blueprint:
    """GTE (arXiv:2407.19669): gated MLPs of which only the last projection has a bias."""
    width: int = c.hidden_size
    mlp = MLP("mlp", width, c.intermediate_size, fused="up_gate_proj", down_bias=True)
    layer = rotary_layer(c, "attention", ("attn_ln", "mlp_ln"), mlp, fused="qkv_proj", out="o_proj", bias=True)
    before = embeddings(c, positions=0, types=c.type_vocab_size > 0)
    lm = lm_head(c, "lm_head", dense="dense", norm="norm", bias=None)
    return encoder(c, layer, before, Heads("gte", lm, pooled=frozenset(("sequence",))), causal=False)


@family("new")
def new(c: Config) -> Blueprint:
    """GTE as its authors' own code calls it (modeling.py of Alibaba-NLP/new-impl)."""
    return gte(Config(c.raw, "gte", where=c.where, like=c))


@family("jina_embeddings_v3")
def jina_embeddings_v3(c: Config) -> Blueprint:
    """Jina Embeddings v3 (arXiv:2409.10173): XLM-RoBERTa with rotary positions."""
    mlp = plain_mlp(c)
    layer = rotary_layer(c, "mixer", ("norm1", "norm2"), mlp, fused="Wqkv", out="out_proj", bias=True)
    before = [*embeddings(c, positions=0, norm=False), layer_norm("emb_ln", c.hidden_size)]
    return encoder(
        c, layer, before, roberta_heads(c, pooled=frozenset(("model",))), path="encoder.layers", causal=False
    )


@family("mpnet")
def mpnet(c: Config) -> Blueprint:
    """MPNet (arXiv:2004.09297): a learned bias for each distance, shared by the layers."""
    attention = bert_attention(c, names=Names(query="attn.q", key="attn.k", value="attn.v", out="attn.o"))
    layer = bert_layer(c, mixer=attention, norms=("attention.LayerNorm", "output.LayerNorm"))
    buckets: int = c.relative_attention_num_buckets
    before: list[Part] = [
        *embeddings(c, types=False),
        RelativeBias("encoder.relative_attention_bias", buckets, c.num_attention_heads),
    ]
    heads = roberta_heads(c, root="mpnet")
    # The padding token is the second, whatever the config says.
    return encoder(c, layer, before, heads, causal=False, context=c.max_position_embeddings - 2)
