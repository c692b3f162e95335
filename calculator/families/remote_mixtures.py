"""Mixtures of experts whose modelling code is published beside their weights, under names that transformers lacks."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.common import Blueprint, decoder, family, self_attention
from calculator.families.shared import renamed
from calculator.families.sparse import aria_text, sandwiched
from calculator.parts import (
    Experts,
)


@family("grok-1")
def grok_1(c: Config) -> Blueprint:
    """Grok-1 (xAI, 2024): four norms a layer around attention and experts, no MLP without them."""
    names = ("pre_attn_norm", "post_attn_norm", "pre_moe_norm", "post_moe_norm")
    experts = Experts(
        "moe_block",
        c.hidden_size,
        c.intermediate_size,
        c.num_experts,
        c.num_experts_per_tok,
        names=("linear", "linear_v", "linear_1"),
    )
    layer = sandwiched(c, names, (self_attention(c, name="attn"),), experts, "full attention + experts")
    return decoder(c, layer)


@family("aria_moe_lm")
def aria_moe_lm(c: Config) -> Blueprint:
    """Aria's language model as its first files call it; intermediate_size there is no expert's width."""
    return aria_text(renamed(Config(c.raw, "aria_text", where=c.where), intermediate_size="moe_intermediate_size"))
