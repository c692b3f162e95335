"""RWKV: attention as a recurrence, without a cache that grows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.layers import layer_norm
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.model import Layer
from calculator.parts import ChannelMix, MatrixTimeMix, Norm, Part, Residual, TimeMix


def blocks(c: Config, mixer: Part, channel: Part, **options: Any) -> Blueprint:
    """Pre-norm blocks with LayerNorms; the first holds one more, over the embedding."""
    width: int = c.hidden_size
    layer = Layer(
        "time mix + channel mix",
        (
            Norm("ln1", width, "layer", bias=True),
            mixer,
            Residual("mixer_residual", width),
            Norm("ln2", width, "layer", bias=True),
            channel,
            Residual("channel_residual", width),
        ),
    )
    built = decoder(
        c,
        layer,
        path="rwkv.blocks",
        embedding="rwkv.embeddings",
        final="rwkv.ln_out",
        head="head",
        norm=layer_norm,
        before=(Norm("rwkv.blocks.0.pre_ln", width, "layer", bias=True),),
        **options,
    )
    return replace(built, context=None)  # context_length is what it was trained on; a recurrence has no bound


@family("rwkv")
def rwkv(c: Config) -> Blueprint:
    """RWKV-4 (arXiv:2305.13048)."""
    width: int = c.hidden_size
    return blocks(
        c,
        TimeMix("attention", width, c.get("attention_hidden_size") or width),
        ChannelMix("feed_forward", width, c.get("intermediate_size") or 4 * width),
    )


@family("rwkv5", "rwkv6")
def rwkv5(c: Config) -> Blueprint:
    """RWKV-5 and RWKV-6 as their remote code on the Hub builds them: Eagle has 13·d²·L + 14·d·L + 4·d + 2·d·V
    parameters, Finch below 7B 13·d²·L + 464·d·L + 4·d + 2·d·V (arXiv:2404.05892)."""
    width: int = c.hidden_size
    later = c.model_type == "rwkv6"
    wide = 2 if width == 4096 else 1  # the 7B doubles both ranks
    mixer = MatrixTimeMix(
        "attention",
        width,
        c.get("attention_hidden_size") or width,
        c.get("head_size") or 64,
        mix_rank=32 * wide if later else None,
        decay_rank=64 * wide if later else None,
    )
    channel = ChannelMix("feed_forward", width, c.get("intermediate_size") or int(width * 3.5) // 32 * 32)
    if later:
        channel = replace(channel, mix=("time_maa_k", "time_maa_r"))
    # The checkpoints hold a head, which the paper counts, whatever tie_word_embeddings says.
    return blocks(c, mixer, channel, tied=False)
