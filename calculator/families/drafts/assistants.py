"""Drafts that are model types of their own in transformers: Gemma 4's and Muse Glimmer's assistants."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.drafts.eagle import drafted
from calculator.families.fields import layer_types, restated, windows
from calculator.families.layers import gated_mlp, pre_norm, self_attention
from calculator.families.registry import FAMILIES, Blueprint, family
from calculator.parts import HeadNorms, Linear, Norm, VectorWeights


@family("gemma4_assistant", "gemma4_unified_assistant")
def gemma4_assistant(c: Config) -> Blueprint:
    """A small Gemma 4 between two projections, whose layers all read keys and values that the target has cached
    (transformers, modeling_gemma4_assistant.py)."""
    text = c.section("text_config", "gemma4_text")
    if not text.get("num_kv_shared_layers"):
        text = restated(text, num_kv_shared_layers=text.num_hidden_layers)
    text = restated(text, tie_word_embeddings=c.flag("tie_word_embeddings"))
    built = FAMILIES[text.model_type](text)
    width, outside = text.hidden_size, c.backbone_hidden_size
    into = Linear("pre_projection", 2 * outside, width, component="mlp")
    out = Linear("post_projection", width, outside, component="mlp")
    after = [*built.text.after, out]
    if c.flag("use_ordered_embeddings"):
        after.append(Linear("masked_embedding.centroids", width, c.num_centroids, component="head"))
        after.append(VectorWeights("masked_embedding", (("token_ordering", (text.vocab_size,)),), "head", "buffer"))
    before = (*built.text.before, into)
    shares = ("keys", "values")
    return drafted(text, "Gemma 4's assistant", built.text.layers, before, after, shares=shares, path=built.text.path)


@family("muse_glimmer_assistant")
def muse_glimmer_assistant(c: Config) -> Blueprint:
    """DFlash under other names: the context is projected in an encoder, embedding and head are the target's."""
    width: int = c.hidden_size
    read = len(c.get("target_layer_ids") or (1, 13, 25, 37, 49))
    seen = windows(c, layer_types(c, lambda i: "sliding_attention"))
    layers = [
        pre_norm(c, self_attention(c, window=w, norms=HeadNorms("head"), bias=False), gated_mlp(c, bias=False))
        for w in seen
    ]
    before = [Linear("encoder.fc", read * width, width, component="mlp"), Norm("encoder.output_norm_enc", width)]
    shares = ("embedding", "head")
    return drafted(c, "Muse Glimmer's assistant", layers, before, [Norm("norm", width)], shares=shares)
