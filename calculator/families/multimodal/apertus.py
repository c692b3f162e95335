"""Apertus 1.5: a language model whose vocabulary has codes of images and of sound, and the encoders that make them."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import layer_norm
from calculator.families.models import with_towers
from calculator.families.multimodal.codebooks import attention_block, middle, residual_block
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import Shapes, held, square
from calculator.limits import times
from calculator.model import Stack
from calculator.parts import Linear, Part


def image_codes(c: Config, root: str) -> Stack:
    """The encoder of EMU 3.5's VQGAN: stages of residual blocks, with attention where the map has a listed side, and a
    codebook that a product scores."""
    base, factors, encoder = c.base_channels, list(c.channel_multiplier), f"{root}.encoder"
    channels = base
    parts: list[Part] = [square(f"{encoder}.conv_in", c.in_channels, base, 3)]
    for stage, factor in enumerate(factors):
        name = f"{encoder}.stages.{stage}"
        attends = c.resolution // 2**stage in c.attn_resolutions
        for i in range(times(c.num_res_blocks)):
            parts += residual_block(f"{name}.layers.{i}.resnet", channels, base * factor)
            channels = base * factor
            parts += attention_block(f"{name}.layers.{i}.attention", channels) if attends else ()
        if stage != len(factors) - 1:
            parts.append(square(f"{name}.downsample.conv", channels, channels, 3))
    parts += [
        *middle(f"{encoder}.mid", channels),
        layer_norm(f"{encoder}.norm_out", channels),
        square(f"{encoder}.conv_out", channels, c.latent_channels, 3),
        square(f"{root}.quant_conv", c.latent_channels, c.embed_dim, 1),
        Linear(f"{root}.quantize.embedding", c.embed_dim, c.codebook_size),
    ]
    return Stack(root, base, (), before=tuple(parts), tower="vision")


def normed(c: Config, name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    """A convolution whose kernel is a direction and a length, or which a norm follows."""
    if c.norm_type == "weight_norm":
        yield f"{name}.conv.parametrizations.weight.original0", (outputs, 1, 1)
        yield f"{name}.conv.parametrizations.weight.original1", (outputs, inputs, kernel)
    else:
        yield f"{name}.conv.weight", (outputs, inputs, kernel)
        yield f"{name}.norm.weight", (outputs,)
        yield f"{name}.norm.bias", (outputs,)
    yield f"{name}.conv.bias", (outputs,)


def seanet(c: Config) -> Shapes:
    """EnCodec's encoder (arXiv:2210.13438): residual blocks and a convolution for each ratio, then an LSTM; activations
    take indices too."""
    width, index = c.num_filters, 0
    yield from normed(c, "0", width, c.audio_channels, c.kernel_size)
    for ratio in reversed(c.upsampling_ratios):
        for _ in range(times(c.num_residual_layers)):
            index += 1
            inner = width // c.compress
            yield from normed(c, f"{index}.block.1", inner, width, c.residual_kernel_size)
            yield from normed(c, f"{index}.block.3", width, inner, 1)
            if c.flag("use_conv_shortcut"):
                yield from normed(c, f"{index}.shortcut", width, width, 1)
        index += 2
        yield from normed(c, f"{index}", 2 * width, width, 2 * ratio)
        width *= 2
    for layer in range(times(c.num_lstm_layers)):
        for side in ("ih", "hh"):
            yield f"{index + 1}.lstm.weight_{side}_l{layer}", (4 * width, width)
            yield f"{index + 1}.lstm.bias_{side}_l{layer}", (4 * width,)
    yield from normed(c, f"{index + 3}", c.hidden_size, width, c.last_kernel_size)


def sound_codes(c: Config, root: str) -> Stack:
    """WavTokenizer's encoder (arXiv:2408.16532) and its one codebook, which was learned without gradients."""
    book = (c.codebook_size, c.codebook_dim)
    tables = (("inited", (1,)), ("cluster_size", book[:1]), ("embed", book), ("embed_avg", book))
    parts = (
        held(f"{root}.encoder.layers", seanet(c)),
        held(f"{root}.quantizer.codebook", tables, role="buffer"),
    )
    return Stack(root, c.hidden_size, (), before=parts, tower="audio")


@family("apertus1p5")
def apertus1p5(c: Config) -> Blueprint:
    """Images and sound become tokens of the vocabulary; the tokenizers are kept in 32 bit (transformers,
    modeling_apertus1p5.py)."""
    towers = (
        image_codes(c.section("vision_config"), "model.vision_tokenizer"),
        sound_codes(c.section("audio_config"), "model.audio_tokenizer"),
    )
    return with_towers(c, *towers, text="apertus1p5_text")
