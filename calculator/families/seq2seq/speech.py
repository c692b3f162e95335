"""Decoders after encoders of sound, whose tokens convolutions make of a spectrogram or a waveform; and TrOCR's decoder,
whose encoder is another model."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.fields import context_length, dropped, rotary_size
from calculator.families.layers import unbiased_norm
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import Style, built, encoder_decoder, step
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    AudioConvolution,
    Biases,
    CrossAttention,
    Embedding,
    EncoderOutput,
    Head,
    Names,
    Norm,
    Part,
)
from calculator.parts.base import check


@family("whisper")
def whisper(c: Config) -> Blueprint:
    """Two convolutions over a spectrogram of 30 seconds, padded to that length, so that the encoder always has as many
    tokens as positions; no bias in the projection of keys (arXiv:2212.04356)."""
    width, bins, length = c.d_model, c.num_mel_bins, c.max_source_positions
    style = Style(pre=True, embedding_norm=False, offset=0, logits_bias=False, key_bias=False, head="proj_out")
    hears = (
        AudioConvolution("conv1", bins, width, 3, stride=1, stretch=2, first=True),
        AudioConvolution("conv2", width, width, 3, stride=2),
    )
    lengths = (length, c.max_target_positions)
    return encoder_decoder(c, style, classes="Whisper", lengths=lengths, hears=hears, encoder_length=length)


@family("speech_to_text")
def speech_to_text(c: Config) -> Blueprint:
    """Gated convolutions, each of which halves the frames; sinusoidal positions, not stored (arXiv:2010.05171)."""
    kernels, middle = c.conv_kernel_sizes, c.conv_channels
    last = c.num_conv_layers - 1
    check(
        isinstance(kernels, list) and len(kernels) == last + 1,
        f"conv_kernel_sizes in {c.where} must have one entry for each of the {last + 1} num_conv_layers.",
    )
    hears = tuple(
        AudioConvolution(
            f"conv.conv_layers.{i}",
            middle // 2 if i else c.input_feat_per_channel * c.input_channels,
            2 * c.d_model if i == last else middle,
            kernel,
            stride=2,
            stretch=2 ** (last - i),
            gated=True,
            first=not i,
        )
        for i, kernel in enumerate(kernels)
    )
    style = Style(pre=True, embedding_norm=False, offset=None, logits_bias=False)
    lengths = (c.max_source_positions, c.max_target_positions)
    return encoder_decoder(c, style, lengths=lengths, hears=hears)


@family("trocr")
def trocr(c: Config) -> Blueprint:
    """BART's decoder alone; under an image encoder it is part of a vision-encoder-decoder (arXiv:2109.10282)."""
    learned, norm = c.flag("use_learned_position_embeddings"), c.flag("layernorm_embedding")
    style = Style(embedding_norm=norm, offset=2 if learned else None, head="output_projection")
    return encoder_decoder(c, style, alone=True)


@family("moonshine")
def moonshine(c: Config) -> Blueprint:
    """Three convolutions over the waveform itself, rotary positions, a gated MLP in the decoder alone
    (arXiv:2410.15608)."""
    width: int = c.hidden_size
    what = built(c)
    prefix = "" if what == "headless" else "model."
    bias, drop = c.flag("attention_bias"), dropped(c, "attention_dropout")

    def norm(name: str) -> Norm:
        return unbiased_norm(name, width)

    def layer(side: str) -> Layer:
        # The decoder's layers have the encoder's heads, whatever the file says of its own: building the encoder's
        # attention overwrites those fields (transformers, modeling_moonshine.py).
        heads: int = c.encoder_num_attention_heads
        kv_heads: int = c.first("encoder_num_key_value_heads", "encoder_num_attention_heads")
        head_dim: int = c.get("head_dim") or width // heads
        share = c.get("rope_parameters") or {}
        rotary = rotary_size(c, head_dim) if share.get("partial_rotary_factor") else int(head_dim * 0.9)
        attention = Attention(
            "self_attn", width, heads, kv_heads, head_dim, biases=Biases(qkv=bias), rotary=rotary, dropout=drop
        )
        parts: tuple[Part, ...] = step(norm("input_layernorm"), attention, "mixer", pre=True, dropout=False)
        if side == "decoder":
            across = CrossAttention(
                "encoder_attn",
                width,
                heads,
                kv_heads,
                head_dim,
                width,
                names=Names(out="o_proj"),
                biases=Biases(qkv=bias),
                dropout=drop,
            )
            parts += step(norm("post_attention_layernorm"), across, "cross", pre=True, dropout=False)
        gated = "fc1" if side == "decoder" else None
        mlp = MLP("mlp", width, c.intermediate_size, gated=bool(gated), fused=gated, bias=True, up="fc1", down="fc2")
        last = "final_layernorm" if side == "decoder" else "post_attention_layernorm"
        parts += step(norm(last), mlp, "channel", pre=True, dropout=False)
        return Layer(f"full attention{' + cross-attention' if side == 'decoder' else ''}", parts)

    # Without padding: S tokens of the last, 2·S + 1 positions of the second, 6·S + 7 of the first.
    root = f"{prefix}encoder"
    hears = (
        AudioConvolution(
            f"{root}.conv1",
            1,
            width,
            127,
            stride=64,
            stretch=6,
            more=7,
            bias=False,
            first=True,
            norm=f"{root}.groupnorm",
        ),
        AudioConvolution(f"{root}.conv2", width, 2 * width, 7, stride=3, stretch=2, more=1),
        AudioConvolution(f"{root}.conv3", 2 * width, width, 3, stride=2),
    )
    tied = c.flag("tie_word_embeddings")
    head = (Head("proj_out", c.vocab_size, width, tied=tied),) if what == "both" else ()
    text = Stack(
        f"{prefix}decoder.layers",
        width,
        (layer("decoder"),) * times(c.decoder_num_hidden_layers),
        (Embedding(f"{prefix}decoder.embed_tokens", c.vocab_size, width),),
        (norm(f"{prefix}decoder.norm"), *head),
    )
    encoder = Stack(
        f"{root}.layers",
        width,
        (layer("encoder"),) * times(c.encoder_num_hidden_layers),
        hears,
        (norm(f"{root}.layer_norm"), EncoderOutput("encoder_output", width)),
        causal=False,
    )
    return Blueprint(text, c.vocab_size, context=context_length(c), encoder=encoder, reads_class=True)
