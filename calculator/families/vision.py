"""Vision-language models: a language model of another family with a vision tower beside it."""

from __future__ import annotations

from math import prod

from calculator.config import Config
from calculator.families.common import FAMILIES, Blueprint, context_length, family
from calculator.model import Layer, Stack
from calculator.parts import MLP, Norm, PatchEmbedding, PatchMerger, Positions, Residual, VisionAttention


def language_part(c: Config, name: str) -> Blueprint:
    """The blueprint of `text_config`, read by the family `name`, with the top level's answer on tied embeddings."""
    text = c.section("text_config", name)
    tied = c.get("tie_word_embeddings") if c.has_stated("tie_word_embeddings") else text.get("tie_word_embeddings")
    text.values_["tie_word_embeddings"] = bool(tied)
    return FAMILIES[name](text)


def qwen3_tower(c: Config) -> Stack:
    """Qwen3-VL's tower: 3-D patches, learned positions, pre-norm blocks, a merger and one more per deepstack index."""
    width: int = c.hidden_size
    heads = c.first("num_heads", "num_attention_heads")
    temporal, patch = c.temporal_patch_size, c.patch_size
    shape = (width, c.in_channels, temporal, patch, patch)
    block = Layer(
        "vision",
        (
            Norm("norm1", width, "layer", True), VisionAttention("attn", width, heads, width // heads), Residual("mixer_residual", width),
            Norm("norm2", width, "layer", True),
            MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="linear_fc1", down="linear_fc2"),
            Residual("channel_residual", width),
        ),
    )  # fmt: skip
    merge = c.spatial_merge_size**2
    root = "model.visual"
    deep = [
        PatchMerger(f"{root}.deepstack_merger_list.{i}", width, merge, c.out_hidden_size, norm_after=True)
        for i, _ in enumerate(c.get("deepstack_visual_indexes") or ())
    ]
    return Stack(
        f"{root}.blocks", width, (block,) * c.first("depth", "num_hidden_layers"),
        before=(
            PatchEmbedding(f"{root}.patch_embed.proj", prod(shape[1:]), width, shape),
            Positions(f"{root}.pos_embed", c.num_position_embeddings, width),
        ),
        after=(PatchMerger(f"{root}.merger", width, merge, c.out_hidden_size), *deep),
        tower="vision", causal=False,
    )  # fmt: skip


@family("qwen3_vl")
def qwen3_vl(c: Config) -> Blueprint:
    return with_tower(c, "qwen3")


@family("qwen3_vl_moe")
def qwen3_vl_moe(c: Config) -> Blueprint:
    return with_tower(c, "qwen3_moe")


def with_tower(c: Config, text: str) -> Blueprint:
    inner = language_part(c, text)
    return Blueprint(
        inner.text, inner.vocabulary, (qwen3_tower(c.section("vision_config")),), inner.context or context_length(c),
        (*inner.notes, "The vision tower's weights are held; its FLOPs are zero, because the workload has no images."),
    )  # fmt: skip
