"""Models of codes of sound: Moshi, Kyutai's speech to text, Sesame's CSM."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod

from calculator.config import Config
from calculator.families.decoders.llama import llama
from calculator.families.fields import changed, head_shape
from calculator.families.layers import gated_mlp, layer_norm, pre_norm, self_attention
from calculator.families.models import HELD, decoder, moved
from calculator.families.multimodal.listening import untied
from calculator.families.registry import Blueprint, family
from calculator.families.towers.pieces import Shapes, conv, convolution, held, linears, projections
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Embedding, Linear, Names, Norm, Part, Residual


def helium(c: Config, *, vocabulary: int, embedding: str, tied: bool) -> Blueprint:
    """The language model of Moshi (arXiv:2410.00037): full heads in a window, one projection for gate and up."""
    names = Names(*(f"{letter}_proj.linear" for letter in "qkvo"))
    attention = self_attention(c, window=c.get("sliding_window"), bias=False, names=names)
    layer = pre_norm(c, attention, gated_mlp(c, fused="fc1", down="fc2", bias=False))
    built = decoder(c, layer, embedding=embedding, tied=tied)
    first = Embedding(embedding, vocabulary, c.hidden_size)
    return replace(built, text=replace(built.text, before=(first,)))


def halved(c: Config) -> Config:
    """ffn_dim counts gate and up together."""
    return changed(c, intermediate_size=c.ffn_dim // 2)


@family("moshi")
def moshi(c: Config) -> Blueprint:
    """The whole also holds a decoder over the codes of one frame, and the codec; MoshiForCausalLM does not."""
    built = helium(halved(c), vocabulary=c.vocab_size + 1, embedding="model.embed_tokens", tied=False)
    if "MoshiForConditionalGeneration" not in (c.get("architectures") or ()):
        return built
    codec = c.section("audio_encoder_config")
    codes: int = c.get("audio_vocab_size") or codec.codebook_size
    text = moved(built.text, "", "decoder.")
    embeddings = tuple(
        Embedding(f"embed_tokens.{i}", codes + 1, c.hidden_size) for i in range(times(2 * c.num_codebooks))
    )
    listening = Stack("embed_tokens", c.hidden_size, (), embeddings, tower="audio")
    towers = (listening, depth_decoder(c, codes), *mimi(codec, "audio_encoder"))
    return replace(built, text=text, towers=towers, notes=(*built.notes, HELD))


def depth_decoder(c: Config, codes: int) -> Stack:
    """A small transformer over the codes of a frame, with matrices of its own for every code."""
    d = c.section("depth_decoder_config")
    count, width, root = c.num_codebooks, d.hidden_size, "depth_decoder"
    heads, kv_heads, head_dim = head_shape(d)
    many, few = heads * head_dim, kv_heads * head_dim
    matrices = {"q_proj": (many, width), "k_proj": (few, width), "v_proj": (few, width), "o_proj": (width, many)}
    layer = Layer(
        "audio",
        (
            Norm("input_layernorm", width),
            held("self_attn", ((f"{n}.linear.weight", (count, *shape)) for n, shape in matrices.items())),
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            held(
                "mlp",
                (("fc1.weight", (count, d.ffn_dim, width)), ("fc2.weight", (count, width, d.ffn_dim // 2))),
            ),
            Residual("channel_residual", width),
        ),
    )
    shapes = (
        ("input_projections.weight", (count, width, c.hidden_size)),
        ("lm_heads.weight", (count, codes, width)),
    )
    before = (
        Embedding(f"{root}.text_embed_tokens", c.vocab_size + 1, width),
        *(Embedding(f"{root}.embed_tokens.{i}", codes + 1, width) for i in range(times(count - 1))),
        held(root, shapes),
    )
    return Stack(f"{root}.layers", width, (layer,) * times(d.num_hidden_layers), before, tower="audio")


@family("kyutai_speech_to_text")
def kyutai_speech_to_text(c: Config) -> Blueprint:
    """Moshi's language model reads the codes of a frame and the last word, all in one embedding."""
    vocabulary = c.vocab_size + c.num_codebooks * c.codebook_vocab_size + 1
    tied = c.flag("tie_word_embeddings")
    built = helium(halved(c), vocabulary=vocabulary, embedding="model.embed_tokens.embed_tokens", tied=tied)
    return replace(built, towers=mimi(c.section("codec_config"), "codec_model"), notes=(*built.notes, HELD))


def mimi(c: Config, root: str) -> tuple[Stack, ...]:
    """Mimi, Moshi's codec (arXiv:2410.00037, section 3.3): convolutions, a transformer and residual codebooks."""
    width, ratios = c.hidden_size, c.get("upsampling_ratios") or [8, 6, 5, 4]
    hop, sampled = prod(ratios), c.get("sampling_rate") or 24000
    rate = ceil(sampled / hop)
    frames = c.get("frame_rate") or sampled / (2 * hop)
    thinned: list[Part] = []
    if frames != rate:
        kernel = 2 * int(rate / frames)
        thinned = [
            convolution(f"{root}.downsample.conv", width, width, kernel, bias=False),
            convolution(f"{root}.upsample.conv", width, width // c.upsample_groups, kernel, bias=False),
        ]
    books, size, semantic = c.num_quantizers, c.vector_quantization_hidden_dimension, c.num_semantic_quantizers
    quantizers: list[Part] = []
    for name, count in (("semantic", semantic), ("acoustic", books - semantic)):
        path = f"{root}.quantizer.{name}_residual_vector_quantizer"
        if size != width:
            quantizers.append(convolution(f"{path}.input_proj", size, width, 1, bias=False))
            quantizers.append(convolution(f"{path}.output_proj", width, size, 1, bias=False))
        shapes = (("initialized", (1,)), ("cluster_usage", (c.codebook_size,)), ("embed_sum", (c.codebook_size, size)))
        quantizers.append(
            held(path, ((f"layers.{i}.codebook.{n}", s) for i in range(times(count)) for n, s in shapes), role="buffer")
        )
    ends = {
        "encoder": held(f"{root}.encoder.layers", mimi_encoder(c, ratios)),
        "decoder": held(f"{root}.decoder.layers", mimi_decoder(c, ratios)),
    }
    rest = {"encoder": tuple(thinned), "decoder": tuple(quantizers)}
    return tuple(
        Stack(
            f"{root}.{side}_transformer.layers",
            width,
            (mimi_layer(c),) * times(c.num_hidden_layers),
            (ends[side],),
            rest[side],
            "audio",
        )
        for side in ("encoder", "decoder")
    )


def mimi_layer(c: Config) -> Layer:
    width, inner = c.hidden_size, c.intermediate_size
    heads, kv_heads, head_dim = head_shape(c)
    bias = c.flag("attention_bias")
    attention = projections(
        "self_attn", width, heads * head_dim, keys=kv_heads * head_dim, out="o_proj", bias=bias, key_bias=True
    )
    return Layer(
        "audio",
        (
            layer_norm("input_layernorm", width),
            *attention,
            held("self_attn_layer_scale", (("scale", (width,)),)),
            Residual("mixer_residual", width),
            layer_norm("post_attention_layernorm", width),
            *linears("mlp", ("fc1", width, inner), ("fc2", inner, width), bias=False),
            held("mlp_layer_scale", (("scale", (width,)),)),
            Residual("channel_residual", width),
        ),
    )


def mimi_residual(c: Config, index: int, width: int) -> Shapes:
    inner = width // c.compress
    yield from conv(f"{index}.block.1.conv", inner, width, c.residual_kernel_size)
    yield from conv(f"{index}.block.3.conv", width, inner, 1)
    if c.flag("use_conv_shortcut"):
        yield from conv(f"{index}.shortcut.conv", width, width, 1)


def mimi_encoder(c: Config, ratios: list[int]) -> Shapes:
    """SEANet (arXiv:2009.02095): residual blocks and a convolution for each ratio; activations take indices too."""
    width, index = c.num_filters, 0
    yield from conv("0.conv", width, c.audio_channels, c.kernel_size)
    for ratio in reversed(ratios):
        for _ in range(times(c.num_residual_layers)):
            index += 1
            yield from mimi_residual(c, index, width)
        index += 2
        yield from conv(f"{index}.conv", 2 * width, width, 2 * ratio)
        width *= 2
    yield from conv(f"{index + 2}.conv", c.hidden_size, width, c.last_kernel_size)


def mimi_decoder(c: Config, ratios: list[int]) -> Shapes:
    width, index = c.num_filters * 2 ** len(ratios), 0
    yield from conv("0.conv", width, c.hidden_size, c.kernel_size)
    for ratio in ratios:
        index += 2
        yield from conv(f"{index}.conv", width, width // 2, 2 * ratio, bias=width // 2)
        width //= 2
        for _ in range(times(c.num_residual_layers)):
            index += 1
            yield from mimi_residual(c, index, width)
    yield from conv(f"{index + 2}.conv", c.audio_channels, width, c.last_kernel_size)


@family("csm")
def csm(c: Config) -> Blueprint:
    """Sesame's conversational speech model: a Llama over text and codes says the first code of a frame, a smaller one
    the others, with a head for each; Mimi makes them sound."""
    width, codes, count = c.hidden_size, c.vocab_size, c.num_codebooks
    built = llama(untied(c))
    text = moved(built.text, "model.", "backbone_model.")
    text = replace(text, before=(Embedding("embed_text_tokens", c.text_vocab_size, width),))
    said = Embedding("backbone_model.embed_tokens.embed_audio_tokens", count * codes, width)
    d = c.section("depth_decoder_config")
    root, read = "depth_decoder.model", d.backbone_hidden_size
    depth = moved(llama(d).text, "model.", f"{root}.")
    own: tuple[Part, ...] = (Embedding(f"{root}.embed_tokens", d.num_codebooks * codes, read),)
    if c.flag("tie_codebooks_embeddings"):  # one table, saved under the depth decoder's name
        said, own = replace(said, name=f"{root}.embed_tokens"), ()
    before = (*own, Linear(f"{root}.inputs_embeds_projector", read, d.hidden_size))
    heads = held("depth_decoder", (("codebooks_head.weight", (d.num_codebooks - 1, d.hidden_size, d.vocab_size)),))
    towers = (
        Stack("backbone_model.embed_tokens", width, (), (said,), tower="audio"),
        replace(depth, before=before, after=(depth.after[0], heads), tower="audio"),
        *mimi(c.section("codec_config"), "codec_model"),
    )
    return replace(built, text=text, towers=towers, notes=(*built.notes, HELD))
