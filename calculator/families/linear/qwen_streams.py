"""Qwen4-Exp: gated delta nets and indexed attention between gated residual streams, with embeddings of n-grams."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import head_shape, layer_types, partly_rotated
from calculator.families.layers import self_attention
from calculator.families.linear.qwen import split_delta_net
from calculator.families.mixtures.mixtral import qwen_experts
from calculator.families.models import decoder
from calculator.families.prediction import prediction_notes
from calculator.families.registry import Blueprint, family
from calculator.limits import times
from calculator.model import Layer
from calculator.numbers.primes import primes_from
from calculator.parts import Gate, GatedResidual, HeadNorms, MeanBlockIndexer, NGramEmbedding, Part, Sees


def ngrams(c: Config, place: int) -> NGramEmbedding:
    """The `place`-th layer with n-grams: each of its heads has a table of as many rows as the next larger prime."""
    heads: int = (c.ngram_size - 1) * c.heads_per_ngram
    size = c.get("ple_embed_dim") or c.hidden_size
    if heads < 1 or size % heads:
        raise ConfigError(
            f"ple_embed_dim {size} in {c.where} does not divide into (ngram_size - 1) x heads_per_ngram = {heads}."
        )
    if c.split_ngram_parts < 1 or c.make_ngram_vocab_size_divisible_by < 1:
        raise ConfigError(f"split_ngram_parts and make_ngram_vocab_size_divisible_by in {c.where} must be at least 1.")
    rows = sum(primes_from(c.ngram_vocab_size_base, times((place + 1) * heads))[place * heads :])
    multiple: int = c.make_ngram_vocab_size_divisible_by
    padded = -(-rows // multiple) * multiple
    piece = -(-padded // times(c.split_ngram_parts))
    pieces = tuple(min(piece, padded - start) for start in range(0, padded, piece))
    return NGramEmbedding(
        "ple",
        c.hidden_size,
        c.hc_count,
        pieces,
        heads,
        size,
        c.ngram_size,
        c.ple_conv_kernel_size,
    )


@family("qwen4_exp_text")
def qwen4_exp_text(c: Config) -> Blueprint:
    """Three gated delta nets to one attention over indexed tokens; no norms but those of the streams. A
    state is kept in 32 bit (transformers, modeling_qwen4_exp.py)."""
    width, streams, rank = c.hidden_size, c.hc_count, c.hc_lowrank
    period = c.get("full_attention_interval") or 4
    types = layer_types(c, lambda i: "linear_attention" if (i + 1) % period else "indexed_attention")
    placed = sorted(set(c.get("ple_layer_ids") or ()))  # counted from 1
    experts = qwen_experts(c, shared=True)

    def mixer(kind: str) -> tuple[Part, ...]:
        if kind == "linear_attention":
            return (replace(split_delta_net(c), state_width=4),)
        rotary = partly_rotated(c, head_shape(c)[2], 1)
        indexer = MeanBlockIndexer(
            "self_attn.indexer",
            width,
            c.indexer_n_heads,
            c.indexer_head_dim,
            c.indexer_compress_ratio,
            rotary=rotary,
        )
        attention = self_attention(
            c, norms=HeadNorms("head"), gate=Gate(), rotary=rotary, sees=Sees(selected=c.indexer_budget)
        )
        return (indexer, attention)

    def layer(index: int) -> Layer:
        linear = types[index] == "linear_attention"
        before: tuple[Part, ...] = (ngrams(c, placed.index(index + 1)),) if index + 1 in placed else ()
        parts = (
            *before,
            GatedResidual("attn_hyper_connection", width, streams, rank),
            *mixer(types[index]),
            GatedResidual("mlp_hyper_connection", width, streams, rank),
            experts,
        )
        kind = "linear attention" if linear else "indexed attention"
        return Layer(f"{'n-grams + ' if before else ''}{kind} + experts", parts)

    built = decoder(c, [layer(i) for i in range(len(types))], notes=prediction_notes(c, "mtp_num_hidden_layers"))
    mixing = GatedResidual("model.hyper_connection_mixer", width, streams, rank, closing=True)
    return replace(built, text=replace(built.text, after=(mixing, *built.text.after[1:])))
