"""Learned queries, Q-Formers and perceivers that read a tower's patches before the language model does."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.models import HELD, beside, decoder, tied_inside, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import unread_encoder
from calculator.families.towers.pieces import patches, vectors
from calculator.families.towers.vision import clip, siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    CrossAttention,
    Embedding,
    Linear,
    Names,
    Norm,
    Part,
    Positions,
    Residual,
)


@family("aria")
def aria(c: Config) -> Blueprint:
    """Learned queries read the patches through one layer of cross-attention (arXiv:2410.05993)."""
    vision = Config(c.section("vision_config").raw, "idefics3_vision", where=f"vision_config of {c.where}")
    raw = dict(c.section("text_config").raw)
    if raw.get("model_type") == "aria_moe_lm":
        # The authors' own code keeps the experts' width beside one that it does not use.
        c = Config(
            {**c.raw, "text_config": {**raw, "intermediate_size": raw.get("moe_intermediate_size")}},
            c.model_type,
            where=c.where,
        )
    width, outputs, root = vision.hidden_size, c.section("text_config").hidden_size, "multi_modal_projector"
    named = c.get("projector_patch_to_query_dict") or {"1225": 128, "4900": 256}
    # Saved files state the largest of them apart, and that one counts.
    queries = c.get("max_value_projector_patch_to_query_dict") or max(named.values())
    across = f"{root}.cross_attn"
    projector: tuple[Part, ...] = (
        vectors(root, query=(queries, width)),
        *(Linear(f"{across}.{name}_proj", width, width) for name in "qkv"),
        vectors(f"{across}.multihead_attn", in_proj_weight=(3 * width, width), in_proj_bias=(3 * width,)),
        Linear(f"{across}.multihead_attn.out_proj", width, width, True),
        Linear(f"{across}.linear", width, width, True),
        layer_norm(f"{across}.layer_norm", width),
        layer_norm(f"{across}.layer_norm_kv", width),
        layer_norm(f"{root}.layer_norm", width),
        Linear(f"{root}.feed_forward.linear_in", width, outputs),
        Linear(f"{root}.feed_forward.linear_out", outputs, outputs),
    )
    tower = siglip(vision, "vision_tower", projector)
    return beside(c, tower, text="aria_text")


@family("kosmos-2")
def kosmos_2(c: Config) -> Blueprint:
    """LayerNorms inside each half too (arXiv:2306.14824), sinusoidal positions, CLIP's tower, latents that read it."""
    text, vision = c.section("text_config"), c.section("vision_config")
    width: int = text.hidden_size
    attention = whole_heads(text, names=Names(out="out_proj"), dropout=bool(text.get("attention_dropout")))
    dropout = bool(text.get("dropout"))
    parts: tuple[Part, ...] = (
        layer_norm("self_attn_layer_norm", width),
        attention,
        layer_norm("self_attn.inner_attn_ln", width),
        Residual("mixer_residual", width, dropout),
        layer_norm("final_layer_norm", width),
        plain_mlp(text, "ffn", text.ffn_dim),
        layer_norm("ffn.ffn_layernorm", text.ffn_dim),
        Residual("channel_residual", width, dropout),
    )
    # A whole model inside another: either flag ties.
    text = text.read_as(tie_word_embeddings=text.flag("tie_word_embeddings") or tied_inside(c, text))
    built = decoder(
        text,
        Layer("full attention", (*parts, *unread_encoder(text, attention))),
        path="text_model.model.layers",
        embedding="text_model.model.embed_tokens",
        final="text_model.model.layer_norm",
        head="text_model.lm_head",
        norm=layer_norm,
    )
    root = "image_to_text_projection"
    projector = (
        Linear(f"{root}.dense", vision.hidden_size, width, True),
        vectors(root, latent_query=(c.latent_query_num, width)),
        replace(attention, name=f"{root}.x_attn"),
    )
    return replace(built, towers=(clip(vision, "vision_model.model", projector),), notes=(*built.notes, HELD))


def blip_vision(c: Config) -> Stack:
    """EVA-CLIP: a class token, learned positions, one packed projection."""
    width, root = c.hidden_size, "vision_model"
    stack = siglip(c, root)
    attention = whole_heads(c, names=Names(out="projection", fused="qkv"), biases=Biases(c.flag("qkv_bias"), True))
    block = stack.layers[0]
    parts = tuple(attention if p.name == "self_attn" else p for p in block.parts)
    places = (1, (c.image_size // c.patch_size) ** 2 + 1, width)
    before = (
        vectors(f"{root}.embeddings", class_embedding=(1, 1, width), position_embedding=places),
        patches(c, f"{root}.embeddings.patch_embedding", bias=True),
    )
    return replace(stack, layers=(replace(block, parts=parts),) * times(c.num_hidden_layers), before=before)


def qformer(c: Config, source: int, queries: int, after: tuple[Part, ...], *, reads_text: bool) -> Stack:
    """BERT's layers, every cross_attention_frequency-th with cross-attention to the image (arXiv:2301.12597); one that
    reads text has BERT's embeddings too, and MLPs of their own for it."""
    width: int = c.hidden_size

    def mlp(suffix: str) -> tuple[Part, ...]:
        return (
            Linear(f"intermediate{suffix}.dense", width, c.intermediate_size, True, component="mlp"),
            Linear(f"output{suffix}.dense", c.intermediate_size, width, True, component="mlp"),
            layer_norm(f"output{suffix}.LayerNorm", width),
        )

    names = Names("attention.query", "attention.key", "attention.value", "output.dense")
    own = whole_heads(c, "attention", names=names)
    across = CrossAttention(
        "crossattention",
        width,
        c.num_attention_heads,
        c.num_attention_heads,
        width // c.num_attention_heads,
        source,
        names=Names(query="attention.query", key="attention.key", value="attention.value", out="output.dense"),
        biases=Biases(out=True, qkv=True),
    )

    def layer(i: int) -> Layer:
        crossing: tuple[Part, ...] = (across, layer_norm("crossattention.output.LayerNorm", width))
        parts = (
            own,
            layer_norm("attention.output.LayerNorm", width),
            Residual("mixer_residual", width),
            *(crossing if i % c.cross_attention_frequency == 0 else ()),
            *(mlp("") if reads_text or c.flag("use_qformer_text_input") else ()),
            *mlp("_query"),
        )
        return Layer("q-former", parts)

    words: tuple[Part, ...] = (
        Embedding("qformer.embeddings.word_embeddings", c.vocab_size, width),
        Positions("qformer.embeddings.position_embeddings", c.max_position_embeddings, width),
    )
    norm = layer_norm("qformer.embeddings.layernorm" if reads_text else "qformer.layernorm", width)
    return Stack(
        "qformer.encoder.layer",
        width,
        tuple(layer(i) for i in range(times(c.num_hidden_layers))),
        before=(vectors("", query_tokens=(1, queries, width)), *(words if reads_text else ()), norm),
        after=after,
        tower="vision",
    )


@family("blip-2", "instructblip", "instructblipvideo")
def blip_2(c: Config) -> Blueprint:
    vision, reader, text = (c.section(name) for name in ("vision_config", "qformer_config", "text_config"))
    projection = Linear("language_projection", reader.hidden_size, text.hidden_size, True)
    reads_text = c.model_type != "blip-2"
    tower = qformer(reader, vision.hidden_size, c.num_query_tokens, (projection,), reads_text=reads_text)
    return beside(c, blip_vision(vision), tower, own_ties=True)


def idefics2_perceiver(c: Config) -> Stack:
    """A few latents that attend to the patches (arXiv:2103.03206)."""
    width, root = c.hidden_size, "model.connector.perceiver_resampler"
    attention = Attention("self_attn", width, c.resampler_n_heads, c.num_key_value_heads, c.resampler_head_dim)
    parts = (
        Norm("input_latents_norm", width),
        Norm("input_context_norm", width),
        attention,
        Residual("mixer_residual", width),
        Norm("post_attention_layernorm", width),
        MLP("mlp", width, 4 * width),
        Residual("channel_residual", width),
    )
    latents = vectors(root, latents=(c.resampler_n_latents, width))
    layers = (Layer("perceiver", parts),) * times(c.resampler_depth)
    return Stack(f"{root}.layers", width, layers, (latents,), (Norm(f"{root}.norm", width),), "vision")


@family("idefics2")
def idefics2(c: Config) -> Blueprint:
    """A gated projector, and a perceiver that reads the patches (arXiv:2405.02246)."""
    vision, text, perceiver = (c.section(name) for name in ("vision_config", "text_config", "perceiver_config"))
    width, root, outputs = vision.hidden_size, "model.connector.modality_projection", text.hidden_size
    projector = (
        Linear(f"{root}.gate_proj", width, text.intermediate_size),
        Linear(f"{root}.up_proj", width, text.intermediate_size),
        Linear(f"{root}.down_proj", text.intermediate_size, outputs),
    )
    towers = (siglip(vision, "model.vision_model", projector), idefics2_perceiver(perceiver))
    return with_towers(c, *towers, new="model.text_model.")
