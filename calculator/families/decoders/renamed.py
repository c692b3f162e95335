"""Decoders whose modelling code is on the Hub beside their weights, not in transformers."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.common import (
    Blueprint,
    decoder,
    dropped,
    family,
    gated_mlp,
    head_shape,
    pre_norm,
    self_attention,
)
from calculator.families.decoders.llama import phi3
from calculator.families.shared import HELD, renamed
from calculator.families.towers.images import clip
from calculator.parts import MLP, Experts, Linear, Norm, Part, VectorWeights


def tied_unless_stated(c: Config) -> bool:
    """Whether the head is the embedding, where the configuration class says so unless the file does not."""
    return c.get("tie_word_embeddings") is None or c.flag("tie_word_embeddings")


@family("minicpm")
def minicpm(c: Config) -> Blueprint:
    """Llama with scaled residuals (arXiv:2404.06395); in MiniCPM-MoE, experts in every layer."""
    channel: Part = gated_mlp(c, bias=False)
    if c.get("num_experts"):
        names, taken = ("w1", "w3", "w2"), c.num_experts_per_tok
        channel = Experts("mlp", c.hidden_size, c.intermediate_size, c.num_experts, taken, names=names)
    kind = f"full attention{' + experts' if isinstance(channel, Experts) else ''}"
    # MiniCPM4 and 4.1 choose blocks of tokens once there are more than dense_len of them (InfLLM v2).
    told = "Sparse attention over long contexts (sparse_config) is priced as full attention."
    layer = pre_norm(c, self_attention(c), channel, kind=kind)
    return decoder(c, layer, tied=tied_unless_stated(c), notes=(told,) if c.get("sparse_config") else ())


@family("orion")
def orion(c: Config) -> Blueprint:
    """Llama with LayerNorm (arXiv:2401.12246)."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention", norm="layer", bias=True)
    return decoder(c, layer, norm="layer", norm_bias=True)


@family("deci")
def deci(c: Config) -> Blueprint:
    """Llama whose layers differ in their number of key-value heads (DeciLM-6B and 7B)."""
    counts = c.num_key_value_heads_per_layer
    if not isinstance(counts, list) or len(counts) != c.num_hidden_layers:
        raise ConfigError(
            f"num_key_value_heads_per_layer in {c.where} must be a list with one entry for each of the "
            f"{c.num_hidden_layers} layers (num_hidden_layers)."
        )
    mixers = [replace(self_attention(c), kv_heads=kv_heads) for kv_heads in counts]
    return decoder(c, [pre_norm(c, mixer, gated_mlp(c), kind="full attention") for mixer in mixers])


@family("exaone")
def exaone(c: Config) -> Blueprint:
    """Llama under the names of EXAONE 3.0 and 3.5 (arXiv:2412.04862)."""
    c = renamed(c, num_hidden_layers="num_layers")
    attention = self_attention(
        c, name="attn.attention", out="out_proj", qkv_bias=False, out_bias=False, rotary=head_shape(c)[2]
    )
    inner: int = 4 * c.hidden_size if c.get("intermediate_size") is None else c.intermediate_size
    mlp = MLP("mlp", c.hidden_size, inner, gate="c_fc_0", up="c_fc_1", down="c_proj")
    return decoder(
        c,
        pre_norm(c, attention, mlp, kind="full attention", names=("ln_1", "ln_2"), dropout=dropped(c, "resid_dropout")),
        path="transformer.h",
        embedding="transformer.wte",
        final="transformer.ln_f",
        tied=tied_unless_stated(c),
    )


@family("telechat")
def telechat(c: Config) -> Blueprint:
    """Llama with keys and values in one projection and biases on what each half adds to the residual stream (TeleChat
    and TeleChat2, arXiv:2401.03804)."""
    c = renamed(c, num_hidden_layers="n_layer", num_attention_heads="n_head", max_position_embeddings="seq_length")
    width: int = c.hidden_size
    attention = self_attention(
        c,
        name="self_attention",
        query="query",
        fused_kv="key_value",
        out="dense",
        qkv_bias=False,
        out_bias=True,
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, down_bias=True)
    first = (Norm("transformer.word_embeddings_layernorm", width),) if c.flag("embed_layernorm") else ()
    return decoder(
        c,
        pre_norm(c, attention, mlp, kind="full attention", dropout=dropped(c, "hidden_dropout")),
        path="transformer.h",
        embedding="transformer.word_embeddings",
        final="transformer.ln_f",
        before=first,
    )


@family("phi3small")
def phi3small(c: Config) -> Blueprint:
    """LayerNorm and biases; every other layer's attention is sparse in blocks (arXiv:2404.14219, section 2)."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        fused="query_key_value",
        out="dense",
        qkv_bias=True,
        out_bias=True,
        dropout=dropped(c, "attention_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.ff_intermediate_size, bias=True, fused="up_proj")
    drop = dropped(c, "ffn_dropout_prob")
    layer = pre_norm(c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=drop)
    period = c.get("dense_attention_every_n_layers") or 1
    told = (
        f"Only every {period}th layer attends to all tokens; the others, whose attention is sparse in blocks, are "
        "priced as if they did too."
    )
    return decoder(
        c,
        layer,
        final="model.final_layernorm",
        norm="layer",
        norm_bias=True,
        tied=tied_unless_stated(c),
        notes=(told,) if period > 1 else (),
    )


# The vision tower that the code of Phi-3-vision and 3.5-vision fixes, whatever the config says.
CLIP_LARGE_336 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 336,
    "patch_size": 14,
}


@family("phi3_v")
def phi3_v(c: Config) -> Blueprint:
    """Phi-3 with CLIP (arXiv:2103.00020): four neighbouring patches become one token through two projections."""
    inner = phi3(c)
    vision, width = Config(CLIP_LARGE_336, "clip_vision_model"), c.hidden_size
    root = "model.vision_embed_tokens"
    tower, merged = f"{root}.img_processor.vision_model", 4 * vision.hidden_size
    separators = (("glb_GN", (1, 1, merged)), ("sub_GN", (1, 1, 1, merged)))
    projector: tuple[Part, ...] = (
        VectorWeights(root, separators),
        Linear(f"{root}.img_projection.0", merged, width, True),
        Linear(f"{root}.img_projection.2", width, width, True),
    )
    return replace(inner, towers=(clip(vision, tower, projector),), notes=(*inner.notes, HELD))
