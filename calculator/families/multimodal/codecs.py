"""Models of codes of sound (Moshi, Kyutai's speech to text, CSM), and listeners with encoders of their own kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, prod

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    decoder,
    family,
    gated_mlp,
    head_shape,
    pre_norm,
    self_attention,
)
from calculator.families.decoders.llama import llama
from calculator.families.multimodal.listening import beside, untied
from calculator.families.multimodal.omni import Shapes, conv
from calculator.families.shared import HELD, moved, with_towers
from calculator.families.towers.sound import convolution, held, layer_norm, linears, projections
from calculator.model import Layer, Stack
from calculator.parts import Attention, Embedding, Linear, Norm, Part, Residual

# ------------------------------------------------------------------------------------------------------------- Moshi


def helium(c: Config, *, vocabulary: int, embedding: str, tied: bool) -> Blueprint:
    """The language model of Moshi (arXiv:2410.00037): full heads in a window, one projection for gate and up."""
    named = {f: f"{f[0]}_proj.linear" for f in ("query", "key", "value")} | {"out": "o_proj.linear"}
    window = c.get("sliding_window")
    mlp = replace(gated_mlp(c, fused="fc1", down="fc2", bias=False), intermediate=c.intermediate_size)
    attention = self_attention(c, window=window, qkv_bias=False, out_bias=False, **named)
    layer = pre_norm(c, attention, mlp, kind=attention_kind(window))
    built = decoder(c, layer, embedding=embedding, tied=tied)
    first = Embedding(embedding, vocabulary, c.hidden_size)
    return replace(built, text=replace(built.text, before=(first,)))


def halved(c: Config) -> Config:
    """ffn_dim counts gate and up together."""
    return Config({**c.values_, "intermediate_size": c.ffn_dim // 2}, c.model_type, where=c.where)


@family("moshi")
def moshi(c: Config) -> Blueprint:
    """The whole also holds a decoder over the codes of one frame, and the codec; MoshiForCausalLM does not."""
    built = helium(halved(c), vocabulary=c.vocab_size + 1, embedding="model.embed_tokens", tied=False)
    if "MoshiForConditionalGeneration" not in (c.get("architectures") or ()):
        return built
    codec = c.section("audio_encoder_config")
    codes: int = c.get("audio_vocab_size") or codec.codebook_size
    text = moved(built.text, "", "decoder.")
    embeddings = tuple(Embedding(f"embed_tokens.{i}", codes + 1, c.hidden_size) for i in range(2 * c.num_codebooks))
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
        *(Embedding(f"{root}.embed_tokens.{i}", codes + 1, width) for i in range(count - 1)),
        held(root, shapes),
    )
    return Stack(f"{root}.layers", width, (layer,) * d.num_hidden_layers, before, tower="audio")


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
            held(path, ((f"layers.{i}.codebook.{n}", s) for i in range(count) for n, s in shapes), role="buffer")
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
            (mimi_layer(c),) * c.num_hidden_layers,
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
        for _ in range(c.num_residual_layers):
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
        for _ in range(c.num_residual_layers):
            index += 1
            yield from mimi_residual(c, index, width)
    yield from conv(f"{index + 2}.conv", c.audio_channels, width, c.last_kernel_size)


# --------------------------------------------------------------------------------------------------------- VibeVoice


@family("vibevoice_asr")
def vibevoice_asr(c: Config) -> Blueprint:
    """arXiv:2601.18184: two encoders of ConvNeXt blocks, one for the sound and one for the meaning, and a projector
    for each."""
    width: int = c.section("text_config").hidden_size
    towers = []
    for kind in ("acoustic", "semantic"):
        audio = c.section(f"{kind}_tokenizer_encoder_config")
        root = "multi_modal_projector"
        named = (f"{kind}_linear_1", audio.hidden_size, width), (f"{kind}_linear_2", width, width)
        after = (*linears(root, *named), Norm(f"{root}.{kind}_norm", width))
        parts = tuple(vibevoice_encoder(audio, f"{kind}_tokenizer_encoder"))
        towers.append(Stack(f"{kind}_tokenizer_encoder", audio.hidden_size, (), parts, after, "audio"))
    return beside(untied(c), *towers)


def vibevoice_encoder(c: Config, root: str) -> Iterator[Part]:
    depths, kernel = c["depths"], c.kernel_size
    width: int = c.num_filters
    yield convolution(f"{root}.stem.conv.conv", width, c.channels, kernel)
    yield from vibevoice_stage(c, f"{root}.stem", width, depths[0])
    for i, ratio in enumerate(c["downsampling_ratios"]):
        name = f"{root}.conv_layers.{i}"
        yield convolution(f"{name}.conv.conv", 2 * width, width, 2 * ratio)
        width *= 2
        yield from vibevoice_stage(c, name, width, depths[i + 1])
    yield convolution(f"{root}.head.conv", c.hidden_size, width, kernel)


def vibevoice_stage(c: Config, root: str, width: int, depth: int) -> Iterator[Part]:
    """ConvNeXt blocks (arXiv:2201.03545) with two scales."""
    wide = c.ffn_expansion * width
    for i in range(depth):
        name = f"{root}.stage.{i}"
        yield Norm(f"{name}.norm", width)
        yield convolution(f"{name}.mixer.conv", width, 1, c.kernel_size)
        yield Norm(f"{name}.ffn_norm", width)
        yield from linears(f"{name}.ffn", ("linear1", width, wide), ("linear2", wide, width))
        yield held(name, (("gamma", (width,)), ("ffn_gamma", (width,))))


# ------------------------------------------------------------------------------------------ Nemotron 3.5 Transcribe


@family("nemo_speechlm")
def nemo_speechlm(c: Config) -> Blueprint:
    """An encoder of speech, a model of who speaks when added to its output, a head that times words, and Nemotron-H."""
    text, audio, timed = (c.section(name) for name in ("text_config", "audio_config", "word_timestamp_config"))
    heard, who = audio.section("asr_config"), audio.section("diarization_config")
    voices, head, root = who.section("audio_config"), who.section("head_config"), "perception.encoder"
    speakers, inner, wide = head.num_speakers, head.hidden_size, head.audio_hidden_size
    modules = f"{root}.diarization_model.sortformer_modules"
    diarization = (
        *linears(modules, ("encoder_proj", wide, inner), ("first_hidden_to_hidden", inner, inner)),
        Linear(f"{modules}.single_hidden_to_spks", inner, speakers, True),
        convolution(f"{modules}.subpixel_upsample", inner * head.subsampling_factor, inner, 3),
        held(modules, (("learnable_sil_emb", (voices.hidden_size,)),)),
        layer_norm(f"{root}.diar_norm", speakers),
    )
    width, factor, place = timed.hidden_size, timed.upsampling_factor, "ctc_timestamp.decoder"
    upsampling = convolution(f"{place}.upsample", width, width, factor)
    classes = convolution(f"{place}.decoder_layers.0", timed.vocab_size, width, 1)
    projector = Linear("perception.proj", heard.hidden_size, text.hidden_size, True)
    towers = (
        nemo_encoder(
            heard, f"{root}.asr_encoder", (layer_norm(f"{root}.asr_norm", heard.hidden_size), projector), normed=True
        ),
        nemo_encoder(voices, f"{root}.diarization_model.encoder", diarization, normed=False),
        nemo_encoder(timed, f"{place}.transformer", (upsampling, classes), normed=True, stacked=False),
    )
    built = with_towers(untied(c), text.model_type, towers, old="backbone.", new="llm.model.", head="llm.lm_head")
    stack = moved(built.text, "llm.model.embeddings", "llm.model.embed_tokens")
    return replace(built, text=moved(stack, "llm.model.norm_f", "llm.model.norm"))


def nemo_encoder(c: Config, root: str, after: tuple[Part, ...], *, normed: bool, stacked: bool = True) -> Stack:
    """Stacked frames, rotary positions, pre-norm layers; perhaps a LayerNorm on queries and keys."""
    width, inner = c.hidden_size, c.intermediate_size
    heads, kv_heads, head_dim = head_shape(c)
    attention = Attention(
        "attn",
        width,
        heads,
        kv_heads,
        head_dim,
        fused="w_qkv",
        out="out_proj",
        out_bias=True,
        head_norm="layer" if normed else None,
        rotary=head_dim // 2,
    )
    layer = Layer(
        "audio",
        (
            layer_norm("norm1", width),
            attention,
            Residual("mixer_residual", width),
            layer_norm("norm2", width),
            *linears("ffn.net", ("0", width, inner), ("3", inner, width)),
            Residual("channel_residual", width),
        ),
    )
    before: list[Part] = [layer_norm(f"{root}.embed_norm", width)]
    if stacked:
        before.insert(0, Linear(f"{root}.pre_encode.proj", c.num_mel_bins * c.subsampling_factor, width))
    end = (layer_norm(f"{root}.final_norm", width), *after)
    return Stack(f"{root}.layers", width, (layer,) * c.num_hidden_layers, tuple(before), end, "audio")


# ------------------------------------------------------------------------------------------------------------ Sesame


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
    own = (
        ()
        if c.flag("tie_codebooks_embeddings")
        else (Embedding(f"{root}.embed_tokens", d.num_codebooks * codes, read),)
    )
    before = (*own, Linear(f"{root}.inputs_embeds_projector", read, d.hidden_size))
    heads = held("depth_decoder", (("codebooks_head.weight", (d.num_codebooks - 1, d.hidden_size, d.vocab_size)),))
    towers = (
        Stack("backbone_model.embed_tokens", width, (), (said,), tower="audio"),
        replace(depth, before=before, after=(depth.after[0], heads), tower="audio"),
        *mimi(c.section("codec_config"), "codec_model"),
    )
    return replace(built, text=text, towers=towers, notes=(*built.notes, HELD))
