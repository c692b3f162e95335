"""Ovis (arXiv:2405.20797): each patch becomes a distribution over a vocabulary of images, and reads its embedding."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.layers import layer_norm
from calculator.families.models import with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.images import aimv2, own_aimv2
from calculator.parts import Embedding, Linear


@family("ovis2")
def ovis2(c: Config) -> Blueprint:
    """Each patch becomes a distribution over a visual vocabulary, and reads its embedding (arXiv:2405.20797)."""
    vision, root = c.section("vision_config"), "model.vision_tower"
    words = vision.vocab_size - vision.num_visual_indicator_tokens
    tower = aimv2(vision, f"{root}.transformer")
    after = (
        *tower.after,
        Linear(f"{root}.head_linear", vision.hidden_size * vision.hidden_stride**2, words),
        layer_norm(f"{root}.head_norm", words),
        Embedding("model.visual_embeddings_table", vision.vocab_size, c.hidden_size),
    )
    return with_towers(c, replace(tower, after=after))


INDICATORS = 5  # of an image's start, end, rows and columns, which no patch becomes (modeling_ovis.py)


@family("ovis")
def ovis(c: Config) -> Blueprint:
    """Ovis 2 as its authors' own code (modeling_ovis.py) spells it."""
    text, tokenizer = c.section("llm_config"), c.section("visual_tokenizer_config")
    vision, root = tokenizer.section("backbone_config"), "visual_tokenizer"
    words = tokenizer.vocab_size - INDICATORS
    tower = own_aimv2(vision, f"{root}.backbone")
    after = (
        *tower.after,
        Linear(f"{root}.head.0", vision.hidden_size * tokenizer.hidden_stride**2, words),
        layer_norm(f"{root}.head.1", words),
        Embedding("vte", tokenizer.vocab_size, text.hidden_size),
    )
    return with_towers(
        c, replace(tower, after=after), old="", new="llm.", head="llm.lm_head", field="llm_config", own_ties=True
    )
