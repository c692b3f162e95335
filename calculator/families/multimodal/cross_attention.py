"""Language models with gated layers that attend to the image between their own: IDEFICS and Llama 3.2 Vision."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped
from calculator.families.layers import gated_mlp, layer_norm, plain_mlp, pre_norm, self_attention, whole_heads
from calculator.families.models import HELD, beside, blueprint, decoder, language_model, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import encoder_layer, patches, vectors
from calculator.families.towers.vision import clip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    CrossAttention,
    Elsewhere,
    Embedding,
    Head,
    HeadNorms,
    Linear,
    Names,
    Norm,
    Part,
    Residual,
)


def crossing_layers(c: Config, source: int) -> Stack:
    """What reads the image, before every cross_layer_interval-th layer. A text alone passes it by."""
    width, heads = c.hidden_size, c.num_attention_heads
    size = width // heads
    normed: tuple[Part, ...] = ()
    if c.flag("qk_layer_norms"):
        normed = tuple(Norm(f"cross_attn.{name}", size, groups=heads) for name in ("q_layer_norm", "k_layer_norm"))
    shape = (1, 1, width) if c.alpha_type == "vector" else (1,)
    parts = (
        Norm("input_layernorm", width),
        CrossAttention("cross_attn", width, heads, heads, size, source, names=Names(out="o_proj")),
        *normed,
        Residual("mixer_residual", width),
        Norm("post_attention_layernorm", width),
        gated_mlp(c, bias=False),
        vectors("", alpha_cross_attn=shape, alpha_dense=shape),
        Residual("channel_residual", width),
    )
    if c.cross_layer_interval < 1:
        raise ConfigError(f"cross_layer_interval in {c.where} is {c.cross_layer_interval}; it must be at least 1.")
    count = c.num_hidden_layers // c.cross_layer_interval
    return Stack(
        "model.gated_cross_attn_layers", width, (Layer("cross-attention", parts),) * times(count), tower="vision"
    )


def resampler(c: Config, width: int) -> Stack:
    """A few latents that attend to the patches (arXiv:2103.03206)."""
    root, heads, size = "model.perceiver_resampler", c.resampler_n_heads, c.resampler_head_dim
    normed: tuple[Part, ...] = ()
    if c.flag("qk_layer_norms_perceiver"):
        names = ("q_layer_norm", "k_layer_norm")
        normed = tuple(Norm(f"0.{name}", size, "layer", True, groups=heads) for name in names)
    parts = (
        layer_norm("0.context_layer_norm", width),
        layer_norm("0.latents_layer_norm", width),
        *normed,
        Attention("0", width, heads, heads, size, names=Names(out="output_proj")),
        Residual("mixer_residual", width),
        layer_norm("1.ln", width),
        MLP("1", width, 4 * width, gated=False, up="fc", down="c_proj"),
        Residual("channel_residual", width),
    )
    return Stack(
        f"{root}.blocks",
        width,
        (Layer("perceiver", parts),) * times(c.resampler_depth),
        before=(vectors(root, latents=(c.resampler_n_latents, width)),),
        after=(layer_norm(f"{root}.layer_norm", width),),
        tower="vision",
    )


@family("idefics")
def idefics(c: Config) -> Blueprint:
    vision, width, extra = c.section("vision_config"), c.hidden_size, c.additional_vocab_size
    attention = self_attention(c, biases=Biases(qkv=False, out=False), dropout=dropped(c, "dropout"))
    mlp = gated_mlp(c, bias=False)
    built = decoder(c, pre_norm(c, attention, mlp, dropout=dropped(c, "dropout")))
    if extra:
        rows, shape, more = c.vocab_size + extra, (c.vocab_size, width), (extra, width)
        embedded = (("weight", shape), ("additional_embedding.weight", more))
        read = (("weight", shape), ("additional_fc.weight", more))
        head = Head("lm_head", rows, width, c.flag("tie_word_embeddings"), tables=read)
        before = (Embedding("model.embed_tokens", rows, width, tables=embedded),)
        built = replace(built, text=replace(built.text, before=before, after=(built.text.after[0], head)))
    towers = [clip(vision, "model.vision_model"), crossing_layers(c, vision.hidden_size)]
    if c.flag("use_resampler"):
        towers.insert(1, resampler(c.section("perceiver_config"), vision.hidden_size))
    return replace(built, towers=tuple(towers), notes=(*built.notes, HELD))


NOTE = "The layers that attend to an image are held; without one they are skipped, and keep no cache."
EXTRA_ROWS = 8  # of the embedding, for the image's own token


def held(*parts: Part) -> tuple[Part, ...]:
    """Parts whose tensors are held and that do not run."""
    return tuple(Elsewhere(part.name, part, held=True) for part in parts)


@family("mllama_text_model")
def mllama_text(c: Config) -> Blueprint:
    """Llama 3 with gated layers of cross-attention between its own; a text alone passes those by."""
    width: int = c.hidden_size
    crossing = c.get("cross_attention_layers")
    crossing = [3, 8, 13, 18, 23, 28, 33, 38] if crossing is None else crossing
    own = pre_norm(c, self_attention(c), gated_mlp(c))
    attention = self_attention(c, name="cross_attn", norms=HeadNorms("head"), rotates=False)
    gates = vectors("", cross_attn_attn_gate=(1,), cross_attn_mlp_gate=(1,))
    norms = (Norm("input_layernorm", width), Norm("post_attention_layernorm", width))
    across = Layer("cross-attention, without an image idle", held(norms[0], attention, norms[1], gated_mlp(c), gates))
    layers = [across if i in crossing else own for i in range(times(c.num_hidden_layers))]
    # The embedding has more rows than the head, which is therefore never tied.
    text = language_model(c, layers, tied=False)
    text = replace(text, before=(Embedding("model.embed_tokens", c.vocab_size + EXTRA_ROWS, width),))
    return blueprint(c, text, notes=(NOTE,))


@family("mllama")
def mllama(c: Config) -> Blueprint:
    """The class that generates from text alone, which AutoModelForCausalLM builds, is the language model by itself."""
    stated = c.get("architectures") or ["MllamaForCausalLM"]
    towers = () if "MllamaForCausalLM" in stated else mllama_vision(c)
    if not towers:
        return with_towers(c, text="mllama_text_model", new="model.")
    return beside(c, *towers, text="mllama_text_model")


def mllama_vision(whole: Config) -> tuple[Stack, ...]:
    """Tiles with their own positions, and a second, gated encoder over all tiles together."""
    c, width = whole.section("vision_config", "mllama_vision_model"), whole.section("text_config").hidden_size
    size, root, tiles = c.hidden_size, "vision_model", c.max_num_tiles
    ratios = len(c.get("supported_aspect_ratios") or range(8)) + 1
    positions = (c.image_size // c.patch_size) ** 2 + 1
    attention = whole_heads(c, bias=False)
    norms = ("input_layernorm", "post_attention_layernorm")
    block = encoder_layer(c, norms=norms, attention=attention, mlp=plain_mlp(c))
    gated = replace(block, parts=(*block.parts, vectors("", gate_attn=(1,), gate_ffn=(1,))))

    def tile_embedding(name: str, features: int) -> Embedding:
        return Embedding(f"{root}.{name}", ratios, tiles * features)

    before = (
        patches(c, f"{root}.patch_embedding", bias=False),
        vectors(root, class_embedding=(size,)),
        vectors(f"{root}.gated_positional_embedding", embedding=(positions, size), gate=(1,)),
        tile_embedding("gated_positional_embedding.tile_embedding", positions * size),
        tile_embedding("pre_tile_positional_embedding.embedding", size),
        vectors(f"{root}.pre_tile_positional_embedding", gate=(1,)),
        layer_norm(f"{root}.layernorm_pre", size),
    )
    after = (
        layer_norm(f"{root}.layernorm_post", size),
        tile_embedding("post_tile_positional_embedding.embedding", size),
        vectors(f"{root}.post_tile_positional_embedding", gate=(1,)),
    )
    projector = Linear("multi_modal_projector", c.vision_output_dim, width, True)
    local, globally = (block,) * times(c.num_hidden_layers), (gated,) * times(c.num_global_layers)
    return (
        Stack(f"{root}.transformer.layers", size, local, before, after, "vision"),
        Stack(f"{root}.global_transformer.layers", size, globally, (), (projector,), "vision"),
    )
