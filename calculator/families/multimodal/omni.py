"""Qwen's omni models: a thinker that hears, sees and writes, a talker that turns its thoughts into codes of speech, and
a vocoder that makes them sound. The thinker is the language model; the other two are held and not run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from calculator.config import Config
from calculator.families.decoders.llama import qwen2, qwen3
from calculator.families.fields import head_shape
from calculator.families.layers import layer_norm, pre_norm, self_attention
from calculator.families.mixtures.mixtral import own_head_size, qwen_experts
from calculator.families.models import each_part, moved, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.any_size import qwen2_tower, qwen3_tower
from calculator.families.towers.pieces import Shapes, conv, convolution, held, linears, projections
from calculator.families.towers.sound import qwen3_audio, whisper
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Embedding, Head, HeadNorms, Linear, Norm, Part, PatchMerger, Residual

SPEECH = "The talker and the vocoder are held and not run: the numbers are those of a model that writes."


def snake(name: str, width: int) -> Shapes:
    """BigVGAN's periodic activation (arXiv:2206.04658)."""
    yield f"{name}.alpha", (width,)
    yield f"{name}.beta", (width,)


def spoken(thinker: Blueprint, speech: tuple[Stack, ...]) -> Blueprint:
    """The thinker under its name in the whole, with what speaks beside it."""
    text, *towers = (moved(s, "", "thinker.") for s in (thinker.text, *thinker.towers))
    notes = (*thinker.notes, SPEECH) if speech else thinker.notes
    return replace(thinker, text=text, towers=(*towers, *speech), notes=notes)


def talker_model(built: Blueprint, before: tuple[Part, ...], head: Part, root: str) -> Stack:
    """A language model over codes as a stack that is held."""
    stack = moved(built.text, "model.", f"{root}.model.")
    return replace(stack, before=before, after=(*stack.after[:-1], head), tower="audio")


@family("qwen2_5_omni_thinker")
def qwen2_5_omni_thinker(c: Config) -> Blueprint:
    """Whisper's encoder without stored positions, Qwen2.5-VL's tower with three projections for one."""
    audio, root = c.section("audio_config"), "audio_tower"
    ends = held(root, (("audio_bos_eos_token.weight", (2, audio.output_dim)),))
    after = (Linear(f"{root}.proj", audio.hidden_size, audio.output_dim, True), ends)
    ear = whisper(audio, root, after, norm="ln_post", positions=False)
    eye = qwen2_tower(c.section("vision_config"), gated=True)
    return with_towers(c, ear, split_projections(eye), text="qwen2_5_omni_text", new="model.")


def split_projections(tower: Stack) -> Stack:
    """The tower with one projection each for queries, keys and values."""

    def split(part: Part) -> Part:
        if not isinstance(part, Attention):
            return part
        return replace(part, names=replace(part.names, fused=None, query="q", key="k", value="v"))

    return each_part(tower, split)


@family("qwen2_5_omni")
def qwen2_5_omni(c: Config) -> Blueprint:
    thinker = qwen2_5_omni_thinker(c.section("thinker_config"))
    if not c.flag("enable_audio_output"):
        return spoken(thinker, ())
    wave = c.section("token2wav_config")
    voice = bigvgan(wave.section("bigvgan_config"), "token2wav.code2wav_bigvgan_model")
    speech = (qwen2_talker(c.section("talker_config")), codes_to_mel(wave.section("dit_config")), voice)
    built = spoken(thinker, speech)
    return replace(
        built, notes=(*built.notes, "The checkpoint stores the vocoder in 32 bit; it is priced as the rest.")
    )


def qwen2_talker(c: Config) -> Stack:
    """A small Qwen2 that reads what the thinker is thinking, at the thinker's width."""
    read, width = c.embedding_size, c.hidden_size
    before = (
        Embedding("talker.model.embed_tokens", c.vocab_size, read),
        Linear("talker.thinker_to_talker_proj", read, width, True),
    )
    return talker_model(qwen2(c), before, Head("talker.codec_head", c.vocab_size, width), "talker")


def codes_to_mel(c: Config) -> Stack:
    """A diffusion transformer (arXiv:2212.09748) from codes to a mel spectrogram, led by a speaker's embedding."""
    width, root = c.hidden_size, "token2wav.code2wav_dit_model"
    inner, wide = c.head_dim * c.num_attention_heads, int(width * c.ff_mult)
    layer = Layer(
        "audio",
        (
            Linear("attn_norm.linear", width, 6 * width, True),
            *linears("attn", *((f"to_{name}", width, inner) for name in "qkv"), ("to_out.0", inner, width)),
            Residual("mixer_residual", width),
            *linears("ff.ff", ("0", width, wide), ("3", wide, width)),
            Residual("channel_residual", width),
        ),
    )
    speaker = f"{root}.input_embed.spk_encoder"
    return Stack(
        f"{root}.transformer_blocks",
        width,
        (layer,) * times(c.num_hidden_layers),
        (
            *linears(f"{root}.time_embed.time_mlp", ("0", 256, width), ("2", width, width)),
            Embedding(f"{root}.text_embed.codec_embed", c.num_embeds + 1, c.emb_dim),
            Linear(f"{root}.input_embed.proj", c.mel_dim + c.enc_dim + c.enc_emb_dim + c.emb_dim, width, True),
            held(speaker, ecapa(c)),
        ),
        linears(root, ("norm_out.linear", width, 2 * width), ("proj_out", width, c.mel_dim)),
        "audio",
    )


def ecapa(c: Config) -> Shapes:
    """ECAPA-TDNN (arXiv:2005.07143), which knows a speaker by the voice."""
    channels, kernels = c["enc_channels"], c["enc_kernel_sizes"]
    scale, squeezed, attention, last = c.enc_res2net_scale, c.enc_se_channels, c.enc_attention_channels, channels[-1]
    yield from conv("blocks.0.conv", channels[0], c.mel_dim, kernels[0])
    for i in range(1, len(channels) - 1):
        name, made = f"blocks.{i}", channels[i]
        yield from conv(f"{name}.tdnn1.conv", made, channels[i - 1], 1)
        for k in range(times(scale - 1)):
            yield from conv(f"{name}.res2net_block.blocks.{k}.conv", made // scale, made // scale, kernels[i])
        yield from conv(f"{name}.tdnn2.conv", made, made, 1)
        yield from conv(f"{name}.se_block.conv1", squeezed, made, 1)
        yield from conv(f"{name}.se_block.conv2", made, squeezed, 1)
    yield from conv("mfa.conv", last, last, kernels[-1])
    yield from conv("asp.tdnn.conv", attention, 3 * last, 1)
    yield from conv("asp.conv", last, attention, 1)
    yield from conv("fc", c.enc_dim, 2 * last, 1)


def bigvgan(c: Config, root: str) -> Stack:
    """BigVGAN (arXiv:2206.04658), from a mel spectrogram to a waveform: transposed convolutions that halve the
    channels, each followed by residual blocks of several kernels."""

    def shapes() -> Shapes:
        width: int = c.upsample_initial_channel
        yield from conv("conv_pre", width, c.mel_dim, 7)
        kernels = c["resblock_kernel_sizes"]
        for i, (_, kernel) in enumerate(zip(c["upsample_rates"], c["upsample_kernel_sizes"], strict=False)):
            yield from conv(f"ups.{i}.0", width, width // 2, kernel, bias=width // 2)
            width //= 2
            for k, size in enumerate(kernels):
                name = f"resblocks.{i * len(kernels) + k}"
                for j in range(3):
                    yield from conv(f"{name}.convs1.{j}", width, width, size)
                    yield from conv(f"{name}.convs2.{j}", width, width, size)
                for j in range(6):
                    yield from snake(f"{name}.activations.{j}.act", width)
        yield from snake("activation_post.act", width)
        yield "conv_post.weight", (1, width, 7)

    return Stack(root, c.upsample_initial_channel, (), (held(root, shapes()),), tower="audio")


@family("qwen3_omni_moe_thinker")
def qwen3_omni_moe_thinker(c: Config) -> Blueprint:
    audio, root = c.section("audio_config"), "audio_tower"
    width: int = audio.hidden_size
    ear = qwen3_audio(audio, root, linears(root, ("proj1", width, width), ("proj2", width, audio.output_dim)))
    eye = renamed_mergers(qwen3_tower(c.section("vision_config")))
    return with_towers(c, ear, eye, text="qwen3_omni_moe_text", new="model.")


def renamed_mergers(tower: Stack) -> Stack:
    """Qwen3-VL's tower outside of `model`, its mergers under the names of Qwen2-VL's."""
    after: list[Part] = []
    for part in tower.after:
        if isinstance(part, PatchMerger):
            name = part.name.replace("model.visual.deepstack_merger_list", "visual.merger_list")
            name = name.replace("model.visual.merger", "visual.merger")
            joined = part.hidden * part.merge
            after.append(layer_norm(f"{name}.ln_q", joined if part.norm_after else part.hidden))
            after += linears(f"{name}.mlp", ("0", joined, joined), ("2", joined, part.outputs))
    return replace(moved(replace(tower, after=()), "model.visual", "visual"), after=tuple(after))


@family("qwen3_omni_moe")
def qwen3_omni_moe(c: Config) -> Blueprint:
    thinker = qwen3_omni_moe_thinker(c.section("thinker_config"))
    if not c.flag("enable_audio_output"):
        return spoken(thinker, ())
    return spoken(thinker, (*qwen3_talkers(c.section("talker_config")), *qwen3_wave(c.section("code2wav_config"))))


def qwen3_talkers(c: Config) -> tuple[Stack, Stack]:
    """A mixture that says the first code of each frame, and a small model that says the others, with one embedding and
    one head for each."""
    text, rest = own_head_size(c.section("text_config")), c.section("code_predictor_config")
    width, inner, read = text.hidden_size, text.intermediate_size, c.thinker_hidden_size
    attention = self_attention(text, norms=HeadNorms("head"))
    layer = pre_norm(text, attention, qwen_experts(text, shared=True), kind="experts")
    between = [
        part
        for name in ("text_projection", "hidden_projection")
        for part in linears(f"talker.{name}", ("linear_fc1", read, inner), ("linear_fc2", inner, width))
    ]
    first = Stack(
        "talker.model.layers",
        width,
        (layer,) * times(text.num_hidden_layers),
        (Embedding("talker.model.codec_embedding", text.vocab_size, width), *between),
        (
            Norm("talker.model.norm", width),
            Head("talker.codec_head", text.vocab_size, width, tied=c.flag("tie_word_embeddings")),
        ),
        "audio",
    )
    root, others, size = "talker.code_predictor", range(times(rest.num_code_groups - 1)), rest.hidden_size
    stack = moved(qwen3(rest).text, "model.", f"{root}.model.")
    embeddings = tuple(Embedding(f"{root}.model.codec_embedding.{i}", rest.vocab_size, size) for i in others)
    heads = tuple(Linear(f"{root}.lm_head.{i}", size, rest.vocab_size) for i in others)
    return first, replace(stack, before=embeddings, after=(stack.after[0], *heads), tower="audio")


def qwen3_wave(c: Config) -> tuple[Stack, Stack]:
    """From codes to a waveform: a windowed transformer, then transposed convolutions with ConvNeXt and residual
    blocks."""
    width, inner, root = c.hidden_size, c.intermediate_size, "code2wav"
    heads, kv_heads, head_dim = head_shape(c)
    bias = c.flag("attention_bias")
    attention = projections(
        "self_attn", width, heads * head_dim, keys=kv_heads * head_dim, out="o_proj", bias=bias, key_bias=True
    )
    layer = Layer(
        "audio",
        (
            Norm("input_layernorm", width),
            *attention,
            held("self_attn_layer_scale", (("scale", (width,)),)),
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            MLP("mlp", width, inner),
            held("mlp_layer_scale", (("scale", (width,)),)),
            Residual("channel_residual", width),
        ),
    )
    codes = Embedding(f"{root}.code_embedding", c.codebook_size * c.num_quantizers, width)
    path, after = f"{root}.pre_transformer.layers", (Norm(f"{root}.pre_transformer.norm", width),)
    reader = Stack(path, width, (layer,) * times(c.num_hidden_layers), (codes,), after, "audio")

    def upsampling() -> Iterator[Part]:
        for i, factor in enumerate(c["upsampling_ratios"]):
            name = f"{root}.upsample.{i}"
            yield held(f"{name}.0", conv("conv", width, width, factor))
            yield convolution(f"{name}.1.dwconv.conv", width, 1, 7)
            yield layer_norm(f"{name}.1.norm", width)
            yield from linears(f"{name}.1", ("pwconv1", width, 4 * width), ("pwconv2", 4 * width, width))
            yield held(f"{name}.1", (("gamma", (width,)),))

    def decoder() -> Shapes:
        made: int = c.decoder_dim
        yield from conv("0.conv", made, width, 7)
        for i, rate in enumerate(c["upsample_rates"]):
            name = f"{i + 1}.block"
            yield from snake(f"{name}.0", made)
            yield from conv(f"{name}.1.conv", made, made // 2, 2 * rate, bias=made // 2)
            made //= 2
            for k in (2, 3, 4):
                yield from snake(f"{name}.{k}.act1", made)
                yield from conv(f"{name}.{k}.conv1.conv", made, made, 7)
                yield from snake(f"{name}.{k}.act2", made)
                yield from conv(f"{name}.{k}.conv2.conv", made, made, 1)
        last = len(c["upsample_rates"]) + 1
        yield from snake(f"{last}", made)
        yield from conv(f"{last + 1}.conv", 1, made, 7)

    voice = (*upsampling(), held(f"{root}.decoder", decoder()))
    return reader, Stack(root, width, (), voice, tower="audio")
