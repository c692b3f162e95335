"""Drafts that propose a block of tokens at once, by diffusion: DFlash (arXiv:2602.06036)."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.drafts.eagle import drafted, listed_layers
from calculator.families.drafts.registry import borrowed, draft
from calculator.families.registry import Blueprint
from calculator.parts import Embedding, Head, Linear, Norm, Part


@draft(r"^dflash", "DFlash")
def dflash(c: Config) -> Blueprint:
    """Layers of Qwen 3's kind whose keys and values are made of the target's hidden states too; without a list one of
    the target's layers is read for each of its own. Embedding and head are the target's, and speculators save copies,
    the head with the draft's vocabulary."""
    width, saved = c.hidden_size, "speculators_model_type" in c
    read = listed_layers(c, "target_layer_ids", "aux_hidden_state_layer_ids") or c.num_hidden_layers
    before: list[Part] = [
        Embedding("embed_tokens", c.vocab_size, width, tied=not saved),
        Linear("fc", read * width, width, component="mlp"),
        Norm("hidden_norm", width),
    ]
    rows: int = c.draft_vocab_size if saved and c.get("draft_vocab_size") else c.vocab_size
    after: list[Part] = [Norm("norm", width), Head("lm_head", rows, width, tied=not saved)]
    return drafted(c, "DFlash", borrowed(c).text.layers, before, after)
