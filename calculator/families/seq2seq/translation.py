"""Translators: Marian, M2M-100 and NLLB, with sinusoidal positions and no norm on the embeddings."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import mixture, plain_mlp
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import Style, built, encoder_decoder, layer_of
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Router, Storage


@family("marian")
def marian(c: Config) -> Blueprint:
    """Norms after each half, none on the embeddings, sinusoidal positions; source and target may have vocabularies of
    their own."""
    shared, tied = c.flag("share_encoder_decoder_embeddings"), c.flag("tie_word_embeddings")
    alone = built(c, "decoder") == "decoder"
    targets: int = c.get("decoder_vocab_size") or c.vocab_size
    return encoder_decoder(
        c,
        Style(embedding_norm=False, offset=0),
        classes="Marian",
        whole="MTModel",
        vocabularies=(c.vocab_size, targets),
        shared=shared,
        # A head of its own has the source's rows, unless the target has its own embedding beside the source's.
        logits=targets if (tied if alone else not shared) else c.vocab_size,
    )


@family("m2m_100")
def m2m_100(c: Config) -> Blueprint:
    """Norms before each half; sinusoidal positions, computed and not stored (arXiv:2010.11125)."""
    return encoder_decoder(c, Style(pre=True, embedding_norm=False, offset=None, logits_bias=False))


@family("nllb-moe")
def nllb_moe(c: Config) -> Blueprint:
    """M2M-100 whose every n-th MLP is a mixture, two experts a token (arXiv:2207.04672)."""
    style = Style(pre=True, embedding_norm=False, offset=None, logits_bias=False, cross="cross_attention", last="ff")

    def layers(side: str) -> list[Layer]:
        every, inner = c.get(f"{side}_sparse_step") or 0, getattr(c, f"{side}_ffn_dim")
        dense = plain_mlp(c, "ffn", inner)
        experts = mixture(
            c,
            "ffn",
            intermediate=inner,
            top_k=2,
            gated=False,
            bias=True,
            router=Router("router.classifier", bias=c.flag("router_bias")),
            stored=Storage(each="expert_*", names=("", "fc1", "fc2")),
        )
        mixed = [bool(every) and (i + 1) % every == 0 for i in range(times(getattr(c, f"{side}_layers")))]
        return [layer_of(c, side, style, channel=experts if m else dense) for m in mixed]

    return encoder_decoder(c, style, encoder=layers("encoder"), decoder=layers("decoder"))
