"""Language models that read and write images as tokens of a learned codebook (VQGAN, arXiv:2012.09841)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2

from calculator.config import Config
from calculator.families.fields import changed, head_shape
from calculator.families.layers import gated_mlp, layer_norm, plain_mlp, self_attention, whole_heads
from calculator.families.models import decoder, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import convolution, encoder_layer, square
from calculator.families.towers.vision import siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Biases, Embedding, Linear, Names, Norm, Part, Residual


def residual_block(name: str, inputs: int, outputs: int) -> tuple[Part, ...]:
    """Two convolutions, and one of 1×1 around them where the channels change."""
    shortcut = (square(f"{name}.nin_shortcut", inputs, outputs, 1),) if inputs != outputs else ()
    return (
        layer_norm(f"{name}.norm1", inputs),
        square(f"{name}.conv1", inputs, outputs, 3),
        layer_norm(f"{name}.norm2", outputs),
        square(f"{name}.conv2", outputs, outputs, 3),
        *shortcut,
    )


def attention_block(name: str, channels: int) -> tuple[Part, ...]:
    """Attention among the places of the map, its projections 1×1 convolutions."""
    projections = (square(f"{name}.{n}", channels, channels, 1) for n in ("q", "k", "v", "proj_out"))
    return (layer_norm(f"{name}.norm", channels), *projections)


def middle(name: str, channels: int, attends: bool = True) -> tuple[Part, ...]:
    return (
        *residual_block(f"{name}.block_1", channels, channels),
        *(attention_block(f"{name}.attn_1", channels) if attends else ()),
        *residual_block(f"{name}.block_2", channels, channels),
    )


def vq_encoder(c: Config, root: str, attends: Callable[[int], bool], middle_attends: bool = True) -> tuple[Part, ...]:
    """Levels of residual blocks, each but the last halving the map; `attends` says which level has attention."""
    base, factors = c.base_channels, list(c.channel_multiplier)
    parts: list[Part] = [square(f"{root}.conv_in", c.in_channels, base, 3)]
    channels = base
    for level, factor in enumerate(factors):
        name = f"{root}.down.{level}"
        for i in range(times(c.num_res_blocks)):
            parts += residual_block(f"{name}.block.{i}", channels, base * factor)
            channels = base * factor
            parts += attention_block(f"{name}.attn.{i}", channels) if attends(level) else ()
        if level != len(factors) - 1:
            parts.append(square(f"{name}.downsample.conv", channels, channels, 3))
    parts += middle(f"{root}.mid", channels, middle_attends)
    outputs = c.latent_channels * (2 if c.flag("double_latent") else 1)
    return (*parts, layer_norm(f"{root}.norm_out", channels), square(f"{root}.conv_out", channels, outputs, 3))


def vq_decoder(c: Config, root: str) -> tuple[Part, ...]:
    """The encoder's mirror, one block more a level."""
    base, factors = c.base_channels, list(c.channel_multiplier)
    channels = base * factors[-1]
    parts: list[Part] = [square(f"{root}.conv_in", c.latent_channels, channels, 3), *middle(f"{root}.mid", channels)]
    last = len(factors) - 1
    for place, level in enumerate(reversed(range(len(factors)))):
        name = f"{root}.up.{place}"
        for i in range(times(c.num_res_blocks + 1)):
            parts += residual_block(f"{name}.block.{i}", channels, base * factors[level])
            channels = base * factors[level]
            parts += attention_block(f"{name}.attn.{i}", channels) if level == last else ()
        if level:
            parts.append(square(f"{name}.upsample.conv", channels, channels, 3))
    norm = layer_norm(f"{root}.norm_out", channels)
    return (*parts, norm, square(f"{root}.conv_out", channels, c.out_channels, 3))


def vq_model(c: Config, root: str, encoder: tuple[Part, ...], after: tuple[Part, ...] = ()) -> Stack:
    parts = (
        *encoder,
        Embedding(f"{root}.quantize.embedding", c.num_embeddings, c.embed_dim),
        square(f"{root}.quant_conv", c.latent_channels, c.embed_dim, 1),
        square(f"{root}.post_quant_conv", c.embed_dim, c.latent_channels, 1),
    )
    return Stack(root, c.base_channels, (), before=parts, after=after, tower="vision")


@family("chameleon")
def chameleon(c: Config) -> Blueprint:
    """Llama with a LayerNorm on each head's queries and keys (arXiv:2405.09818); with swin_norm, norms after each half
    instead of before."""
    width: int = c.hidden_size
    heads, kv_heads, size = head_shape(c)
    norms = tuple(
        Norm(f"self_attn.{name}", size, "layer", True, groups=count, weight_shape=(count, size))
        for name, count in (("q_norm", heads), ("k_norm", kv_heads))
    )
    first, second = Norm("input_layernorm", width), Norm("post_attention_layernorm", width)
    attention, mlp = self_attention(c), gated_mlp(c)
    adds = (Residual("mixer_residual", width), Residual("channel_residual", width))
    after = c.flag("swin_norm")
    parts = (
        (*norms, attention, first, adds[0], mlp, second, adds[1])
        if after
        else (first, *norms, attention, adds[0], second, mlp, adds[1])
    )
    vq = c.section("vq_config")
    places = vq.get("attn_resolutions") or ()
    vanilla = vq.attn_type == "vanilla"

    def attends(level: int) -> bool:
        return vanilla and vq.resolution // 2**level in places

    root = "model.vqmodel"
    tower = vq_model(vq, root, vq_encoder(vq, f"{root}.encoder", attends, vanilla))
    return replace(decoder(c, Layer("full attention", parts)), towers=(tower,))


@family("janus")
def janus(c: Config) -> Blueprint:
    """A SigLIP tower to read images, a codebook to write them (arXiv:2501.17811)."""
    vision, vq = c.section("vision_config"), c.section("vq_config")
    root = "model.vqmodel"
    last = len(vq.channel_multiplier) - 1
    written = (
        *vq_decoder(vq, f"{root}.decoder"),
        Embedding("model.generation_embeddings", vq.num_embeddings, vq.embed_dim),
        Linear("model.generation_aligner.fc1", vq.embed_dim, vq.projection_dim, True),
        *hidden_layers("model.generation_aligner", vq.projection_dim, vq.num_hidden_layers),
        Linear("model.generation_head.proj_out", vq.image_token_embed_dim, vq.projection_dim, True),
        Linear("model.generation_head.vision_head", vq.projection_dim, vq.num_embeddings, True),
    )
    coder = vq_model(vq, root, vq_encoder(vq, f"{root}.encoder", lambda level: level == last), written)
    return with_towers(c, janus_vision(vision), coder)


def hidden_layers(name: str, width: int, depth: int) -> tuple[Part, ...]:
    return tuple(Linear(f"{name}.hidden_layers.{i}", width, width, True) for i in range(times(depth - 1)))


def janus_vision(c: Config) -> Stack:
    """SigLIP with other names, and perhaps norms on queries and keys."""
    width: int = c.hidden_size
    attention = whole_heads(c, names=Names(out="projection_layer"), biases=Biases(c.flag("attention_bias"), True))
    norms: tuple[Part, ...] = ()
    if c.flag("use_qk_norm"):
        norms = tuple(layer_norm(f"self_attn.{name}", width) for name in ("q_norm", "k_norm"))
    mlp = plain_mlp(c, "mlp", int(width * c.mlp_ratio))
    block = encoder_layer(c, norms=("layer_norm1", "layer_norm2"), attention=attention, mlp=mlp)
    aligner = (
        Linear("model.aligner.fc1", width, c.projection_dim, True),
        *hidden_layers("model.aligner", c.projection_dim, c.depth),
    )
    whole = changed(c, intermediate_size=mlp.intermediate)
    stack = siglip(whole, "model.vision_model", aligner)
    return replace(stack, layers=(replace(block, parts=(*norms, *block.parts)),) * times(c.num_hidden_layers))


Normed = Callable[[str, int], tuple[Part, ...]]


def group_norm(name: str, channels: int) -> tuple[Part, ...]:
    return (layer_norm(name, channels),)


def spatial_norm(c: Config) -> Normed:
    """A norm whose scale and shift two 1×1 convolutions read from the codebook's entry (MoVQ, arXiv:2209.09002)."""

    def normed(name: str, channels: int) -> tuple[Part, ...]:
        convolutions = (square(f"{name}.{n}", c.embed_dim, channels, 1) for n in ("conv_y", "conv_b"))
        return (*group_norm(f"{name}.norm_layer", channels), *convolutions)

    return normed


def normed_block(name: str, inputs: int, outputs: int, normed: Normed) -> tuple[Part, ...]:
    first, *rest = residual_block(name, inputs, outputs)
    convolutions = [part for part in (first, *rest) if not isinstance(part, Norm)]
    return (*normed(f"{name}.norm1", inputs), *normed(f"{name}.norm2", outputs), *convolutions)


def emu_attention(name: str, norm: str, c: Config, channels: int, normed: Normed) -> tuple[Part, ...]:
    """Its width is the config's, whatever the level's."""
    projections = (Linear(f"{name}.{n}", c.hidden_size, c.hidden_size, True) for n in EMU_PROJECTIONS)
    return (*normed(norm, channels), *projections)


EMU_PROJECTIONS = ("k_proj", "v_proj", "q_proj", "out_proj")


def emu_middle(name: str, c: Config, channels: int, normed: Normed) -> tuple[Part, ...]:
    return (
        *normed_block(f"{name}.block_1", channels, channels, normed),
        *emu_attention(f"{name}.attn_1", f"{name}.attn_norm", c, channels, normed),
        *normed_block(f"{name}.block_2", channels, channels, normed),
    )


def emu_level(name: str, c: Config, level: int, inputs: int, blocks: int, normed: Normed) -> tuple[Part, ...]:
    channels = c.base_channels * c.channel_multiplier[level]
    parts: list[Part] = []
    for i in range(times(blocks)):
        parts += normed_block(f"{name}.block.{i}", channels if i else inputs, channels, normed)
        if level in (c.get("attn_resolutions") or ()):
            parts += emu_attention(f"{name}.attn.{i}", f"{name}.attn_norms.{i}", c, channels, normed)
    return tuple(parts)


def emu_time(name: str, channels: int, depth: int, steps: int, kernel: int) -> tuple[Part, ...]:
    """Residual blocks over time (their norms are batch norms) and convolutions that halve or double it."""
    parts: list[Part] = []
    for i in range(times(depth)):
        block = f"{name}.time_res_stack.{i}"
        for n in ("1", "2"):
            parts += (
                *group_norm(f"{block}.norm{n}", channels),
                convolution(f"{block}.conv{n}.conv", *(channels,) * 2, 3, 3, 3),
            )
    parts += (
        convolution(f"{name}.time_conv.{i}.conv.conv", channels, channels, kernel, 3, 3) for i in range(times(steps))
    )
    return tuple(parts)


def emu_coder(c: Config) -> Stack:
    """Emu 3's codebook for images and videos (arXiv:2409.18869)."""
    factors, base, blocks = list(c.channel_multiplier), c.base_channels, c.num_res_blocks
    top, steps, last = base * factors[-1], int(log2(c.temporal_downsample_factor)), len(factors) - 1
    latent = c.latent_channels * (2 if c.flag("double_latent") else 1)
    encoder, down, up = "vqmodel.encoder", "vqmodel.encoder.down_block.down", "vqmodel.decoder.up_block.up"
    decoder_root, spatial = "vqmodel.decoder", spatial_norm(c)
    parts: list[Part] = [square(f"{encoder}.conv_in", c.in_channels, base, 3)]
    for level, factor in enumerate(factors):
        inputs = base * (factors[level - 1] if level else 1)
        parts += emu_level(f"{down}.{level}", c, level, inputs, blocks, group_norm)
        if level != last:
            parts.append(square(f"{down}.{level}.downsample.conv", base * factor, base * factor, 3))
    parts += (
        *emu_middle(f"{encoder}.middle_block", c, top, group_norm),
        *group_norm(f"{encoder}.norm_out", top),
        square(f"{encoder}.conv_out", top, latent, 3),
        *emu_time(encoder, latent, blocks, steps, 4),
        Embedding("vqmodel.quantize.embedding", c.codebook_size, c.embed_dim),
        convolution("vqmodel.quant_conv.conv", c.embed_dim, c.latent_channels, 3, 1, 1),
        convolution("vqmodel.post_quant_conv.conv", c.latent_channels, c.embed_dim, 3, 1, 1),
        *emu_time(decoder_root, c.latent_channels, blocks, steps, 3),
        square(f"{decoder_root}.conv_in", c.latent_channels, top, 3),
        *emu_middle(f"{decoder_root}.middle_block", c, top, spatial),
    )
    for level in reversed(range(len(factors))):
        inputs = base * factors[min(level + 1, last)]
        parts += emu_level(f"{up}.{level}", c, level, inputs, blocks + 1, spatial)
        if level:
            parts.append(square(f"{up}.{level}.upsample.conv", base * factors[level], base * factors[level], 3))
    parts += (
        *spatial(f"{decoder_root}.norm_out", base * factors[0]),
        square(f"{decoder_root}.conv_out", base * factors[0], c.out_channels, 3),
    )
    return Stack("vqmodel", base, (), before=tuple(parts), tower="vision")


@family("emu3")
def emu3(c: Config) -> Blueprint:
    tower = emu_coder(c.section("vq_config"))
    return with_towers(c, tower, text="emu3_text_model", old="", new="text_model.", head="text_model.lm_head")
