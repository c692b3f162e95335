"""Language models that listen: an encoder of sound, a projector, and a language model of another family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from calculator.config import Config, defaults_of
from calculator.families.decoders.llama import phi3
from calculator.families.fields import attention_kind, head_shape, restated
from calculator.families.layers import gated_mlp, layer_norm, pre_norm, self_attention
from calculator.families.models import HELD, beside, decoder, moved, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.conformers import granite_conformer, phi4_audio
from calculator.families.towers.pieces import convolution, held, linears
from calculator.families.towers.sound import (
    fun_asr_towers,
    glm_audio,
    qwen3_audio,
    voxtral_realtime_audio,
    waveform_encoder,
    whisper,
)
from calculator.families.towers.vision import siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Attention, Biases, ConditionedScale, HeadNorms, Linear, Names, Norm, Part, Residual


def completed(c: Config, name: str = "text_config") -> Config:
    """The config with what its type puts into the part `name`, where that is stated, for every field left out (most
    types do so only where the whole part is left out)."""
    given = defaults_of(c.model_type)["defaults"].get(name, {})
    made = Config({**c.raw, name: {**given, **(c.get(name) or {})}}, c.model_type, where=c.where, like=c)
    made.stated = c.stated
    return made


def untied(c: Config) -> Config:
    """The config of a type whose head is its own, whatever the file says of tying."""
    return restated(c, tie_word_embeddings=False)


@family("qwen2_audio")
def qwen2_audio(c: Config) -> Blueprint:
    """arXiv:2407.10759: pairs of the encoder's frames are averaged, and projected once."""
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    projector = Linear("multi_modal_projector.linear", audio.hidden_size, width, True)
    return beside(untied(c), whisper(audio, "audio_tower", (projector,)))


@family("audioflamingo3", "musicflamingo")
def audioflamingo3(c: Config) -> Blueprint:
    """arXiv:2507.08128: Whisper's encoder as in Qwen2-Audio, and two projections."""
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    named = ("linear_1", audio.hidden_size, width), ("linear_2", width, width)
    projector = linears("multi_modal_projector", *named, bias=c.flag("projector_bias"))
    return beside(untied(c), whisper(audio, "audio_tower", projector))


@family("omniasr")
def omniasr(c: Config) -> Blueprint:
    """Meta's Omnilingual ASR with a language model: wav2vec 2.0's encoder, one projection, and a Llama."""
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    projector = Linear("model.multi_modal_projector", audio.hidden_size, width, True)
    return with_towers(untied(c), waveform_encoder(audio, "model.audio_tower", (projector,)))


@family("voxtral")
def voxtral(c: Config) -> Blueprint:
    """arXiv:2507.13264: Whisper's encoder; as many frames as its MLP is wider than it are joined and projected."""
    c = completed(c)
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    named = ("linear_1", audio.intermediate_size, width), ("linear_2", width, width)
    return beside(untied(c), whisper(audio, "audio_tower", linears("multi_modal_projector", *named, bias=False)))


@family("glmasr")
def glmasr(c: Config) -> Blueprint:
    c = completed(c)
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    named = ("linear_1", audio.intermediate_size, 2 * width), ("linear_2", 2 * width, width)
    return beside(c, glm_audio(audio, "audio_tower", linears("multi_modal_projector", *named)))


@family("qwen3_asr")
def qwen3_asr(c: Config) -> Blueprint:
    audio = c.section("audio_config")
    named = ("linear_1", audio.hidden_size, audio.hidden_size), ("linear_2", audio.hidden_size, audio.output_dim)
    projector = linears("model.multi_modal_projector", *named)
    return with_towers(c, qwen3_audio(audio, "model.audio_tower", projector))


@family("moss_transcribe_diarize")
def moss_transcribe_diarize(c: Config) -> Blueprint:
    """Whisper's encoder, a few frames joined, two projections and a norm."""
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    root, joined = "model.multi_modal_projector", audio.hidden_size * c.audio_merge_size
    named = ("linear_1", joined, width), ("linear_2", width, width)
    projector = (*linears(root, *named, bias=c.flag("projector_bias")), layer_norm(f"{root}.norm", width))
    return with_towers(c, whisper(audio, "model.audio_tower", projector))


@family("fun_asr_nano")
def fun_asr_nano(c: Config) -> Blueprint:
    width: int = c.section("text_config").hidden_size
    return with_towers(c, *fun_asr_towers(c.section("audio_config"), c.section("adaptor_config"), width))


@family("voxtral_realtime_text")
def voxtral_realtime_text(c: Config) -> Blueprint:
    """Mistral with a scale of each layer's second norm, made from the delay with which the model listens."""
    heard = ConditionedScale("ada_rms_norm", c.hidden_size, 32)
    window = c.get("sliding_window")
    parts = pre_norm(c, self_attention(c, window=window), gated_mlp(c)).parts
    return decoder(c, Layer(attention_kind(window), (*parts[:4], heard, *parts[4:])))


@family("voxtral_realtime")
def voxtral_realtime(c: Config) -> Blueprint:
    c = completed(c)
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    named = ("linear_1", audio.hidden_size * c.downsample_factor, width), ("linear_2", width, width)
    return beside(c, voxtral_realtime_audio(audio, "audio_tower", linears("multi_modal_projector", *named, bias=False)))


@family("granite_speech", "granite_speech_plus")
def granite_speech(c: Config) -> Blueprint:
    """arXiv:2505.08699: a conformer trained on characters, and a Q-Former over windows of its frames."""
    former, width = c.section("projector_config"), c.section("text_config").hidden_size
    return beside(
        c,
        granite_conformer(c.section("encoder_config"), "encoder"),
        q_former(former, "projector", c.window_size // c.downsample_rate, width),
    )


@family("phi4_multimodal")
def phi4_multimodal(c: Config) -> Blueprint:
    """arXiv:2503.01743: Phi-4-mini, a SigLIP tower and a conformer; the adapters are files of their own."""
    vision, audio = c.section("vision_config"), c.section("audio_config")
    built = phi3(c)
    root, width = "model.embed_tokens_extend", c.hidden_size
    images = phi4_vision(vision, f"{root}.image_embed", width)
    note = "The repository's low-rank adapters for images and for sound are files of their own and not counted."
    sound = phi4_audio(audio, f"{root}.audio_embed", width)
    return replace(built, towers=(images, sound), notes=(*built.notes, HELD, note))


def q_former(c: Config, root: str, queries: int, text_width: int) -> Stack:
    """BLIP-2's Q-Former (arXiv:2301.12597): learned queries attend to one another and, in every few layers, to the
    encoder's output."""
    width, inner = c.hidden_size, c.intermediate_size

    def dense(name: str, inputs: int) -> tuple[Part, ...]:
        return Linear(f"{name}.dense", inputs, width, True), layer_norm(f"{name}.LayerNorm", width)

    def attention(name: str, source: int) -> tuple[Part, ...]:
        named = ("query", width, width), ("key", source, width), ("value", source, width)
        return (*linears(f"{name}.attention", *named), *dense(f"{name}.output", width))

    def channel(suffix: str) -> tuple[Part, ...]:
        return (Linear(f"intermediate{suffix}.dense", width, inner, True), *dense(f"output{suffix}", inner))

    text = channel("") if c.flag("use_qformer_text_input") else ()
    plain = (*attention("attention", width), *text, *channel("_query"))
    across = (*attention("crossattention", c.encoder_hidden_size), *plain)
    layers = tuple(
        Layer("audio", plain if i % c.cross_attention_frequency else across) for i in range(times(c.num_hidden_layers))
    )
    return Stack(
        f"{root}.qformer.encoder.layer",
        width,
        layers,
        (held(root, (("query", (1, queries, width)),)), layer_norm(f"{root}.qformer.layernorm", width)),
        (Linear(f"{root}.linear", width, text_width, True),),
        "audio",
    )


def phi4_vision(c: Config, root: str, text_width: int) -> Stack:
    """SigLIP with its pooling head, separators for the ends of rows and of crops, and two projections."""
    width: int = c.hidden_size
    fields = {**c.plain(), "vision_use_head": True, "num_patches": None}
    separators = (
        held(root, (("global_img_feature_extensor", (1, 1, width)), ("sub_img_feature_extensor", (1, 1, 1, width)))),
    )
    named = ("img_projection_up", width, text_width), ("img_projection_down", text_width, text_width)
    after = (*separators, *linears(root, *named))
    return siglip(Config(fields, "", where=c.where), f"{root}.img_processor", after)


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
    for i in range(times(depth)):
        name = f"{root}.stage.{i}"
        yield Norm(f"{name}.norm", width)
        yield convolution(f"{name}.mixer.conv", width, 1, c.kernel_size)
        yield Norm(f"{name}.ffn_norm", width)
        yield from linears(f"{name}.ffn", ("linear1", width, wide), ("linear2", wide, width))
        yield held(name, (("gamma", (width,)), ("ffn_gamma", (width,))))


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
    built = with_towers(untied(c), *towers, old="backbone.", new="llm.model.", head="llm.lm_head")
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
        names=Names(out="out_proj", fused="w_qkv"),
        biases=Biases(out=True),
        norms=HeadNorms("layer" if normed else None),
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
    return Stack(f"{root}.layers", width, (layer,) * times(c.num_hidden_layers), tuple(before), end, "audio")
