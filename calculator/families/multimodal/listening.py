"""Language models that listen: an encoder of sound, a projector, and a language model of another family."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config, defaults_by_type
from calculator.families.common import (
    Blueprint,
    attention_kind,
    decoder,
    family,
    gated_mlp,
    pre_norm,
    self_attention,
)
from calculator.families.decoders.llama import phi3
from calculator.families.shared import HELD, with_towers
from calculator.families.towers.sound import (
    fun_asr_towers,
    glm_audio,
    granite_conformer,
    layer_norm,
    linears,
    phi4_audio,
    phi4_vision,
    q_former,
    qwen3_audio,
    voxtral_realtime_audio,
    whisper,
)
from calculator.model import Layer, Stack
from calculator.parts import ConditionedScale, Linear


def completed(c: Config, name: str = "text_config") -> Config:
    """The config with what its type puts into the part `name`, where that is stated, for every field left out (most
    types do so only where the whole part is left out)."""
    given = defaults_by_type()[c.model_type]["defaults"].get(name, {})
    return Config({**c.raw, name: {**given, **(c.get(name) or {})}}, c.model_type, where=c.where)


def untied(c: Config) -> Config:
    """The config of a type whose head is its own, whatever the file says of tying."""
    return Config({**c.raw, "tie_word_embeddings": False}, c.model_type, where=c.where)


def beside(c: Config, *towers: Stack) -> Blueprint:
    """The whole language model, head and all, inside `language_model`."""
    text = c.section("text_config")
    return with_towers(c, text.model_type, towers, new="language_model.model.", head="language_model.lm_head")


def within(c: Config, *towers: Stack) -> Blueprint:
    """The language model in `model.language_model`, its head outside."""
    return with_towers(c, c.section("text_config").model_type, towers)


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
    return within(c, qwen3_audio(audio, "model.audio_tower", projector))


@family("moss_transcribe_diarize")
def moss_transcribe_diarize(c: Config) -> Blueprint:
    """Whisper's encoder, a few frames joined, two projections and a norm."""
    audio, width = c.section("audio_config"), c.section("text_config").hidden_size
    root, joined = "model.multi_modal_projector", audio.hidden_size * c.audio_merge_size
    named = ("linear_1", joined, width), ("linear_2", width, width)
    projector = (*linears(root, *named, bias=c.flag("projector_bias")), layer_norm(f"{root}.norm", width))
    return within(c, whisper(audio, "model.audio_tower", projector))


@family("fun_asr_nano")
def fun_asr_nano(c: Config) -> Blueprint:
    width: int = c.section("text_config").hidden_size
    return within(c, *fun_asr_towers(c.section("audio_config"), c.section("adaptor_config"), width))


@family("voxtral_realtime_text")
def voxtral_realtime_text(c: Config) -> Blueprint:
    """Mistral with a scale of each layer's second norm, made from the delay with which the model listens."""
    heard = ConditionedScale("ada_rms_norm", c.hidden_size, 32)
    window = c.get("sliding_window")
    parts = pre_norm(c, self_attention(c, window=window), gated_mlp(c), kind=attention_kind(window)).parts
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
