"""Encoders of sound, and what joins them to a language model. They are held and not run, so the projections of an
attention stand one by one: Whisper's keys, alone of them, have no bias."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import layer_norm
from calculator.families.towers.pieces import block, convolution, linears, projections
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Linear, Norm, Part, Positions


def whisper_block(c: Config, *, key_bias: bool = False) -> Layer:
    """A layer of Whisper's encoder (arXiv:2212.04356)."""
    width, inner = c.hidden_size, c.intermediate_size
    return block(
        width,
        (layer_norm("self_attn_layer_norm", width), layer_norm("final_layer_norm", width)),
        projections("self_attn", width, width, key_bias=key_bias),
        (Linear("fc1", width, inner, True), Linear("fc2", inner, width, True)),
    )


def mel_convolutions(c: Config, root: str) -> tuple[Part, ...]:
    """Two convolutions over the frames of a mel spectrogram, the second of stride 2."""
    width: int = c.hidden_size
    return (
        convolution(f"{root}.conv1", width, c.num_mel_bins, 3),
        convolution(f"{root}.conv2", width, width, 3),
    )


def whisper(
    c: Config, root: str, after: tuple[Part, ...] = (), *, norm: str = "layer_norm", positions: bool = True
) -> Stack:
    """Whisper's encoder: two convolutions, fixed or stored positions, pre-norm layers."""
    width: int = c.hidden_size
    stored = (Positions(f"{root}.embed_positions", c.max_source_positions, width),) if positions else ()
    return Stack(
        f"{root}.layers",
        width,
        (whisper_block(c),) * times(c.num_hidden_layers),
        (*mel_convolutions(c, root), *stored),
        (layer_norm(f"{root}.{norm}", width), *after),
        "audio",
    )


def qwen3_audio(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """Qwen3-Omni's encoder: three two-dimensional convolutions that halve the frames and the mel bins, a projection of
    what is left, and Whisper's layers with a bias on every projection."""
    width, channels, bins = c.hidden_size, c.downsample_hidden_size, c.num_mel_bins
    for _ in range(3):
        bins = (bins + 1) // 2
    return Stack(
        f"{root}.layers",
        width,
        (whisper_block(c, key_bias=True),) * times(c.num_hidden_layers),
        (
            convolution(f"{root}.conv2d1", channels, 1, 3, 3),
            convolution(f"{root}.conv2d2", channels, channels, 3, 3),
            convolution(f"{root}.conv2d3", channels, channels, 3, 3),
            Linear(f"{root}.conv_out", channels * bins, width),
        ),
        (layer_norm(f"{root}.ln_post", width), *after),
        "audio",
    )


def glm_audio(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """GLM-ASR's encoder: Whisper's with rotary positions, and perhaps grouped keys."""
    width, inner, heads = c.hidden_size, c.intermediate_size, c.num_attention_heads
    head_dim = c.get("head_dim") or width // heads
    layer = block(
        width,
        (layer_norm("input_layernorm", width), layer_norm("post_attention_layernorm", width)),
        projections(
            "self_attn", width, heads * head_dim, keys=(c.get("num_key_value_heads") or heads) * head_dim, out="o_proj"
        ),
        linears("mlp", ("fc1", width, inner), ("fc2", inner, width)),
    )
    before = mel_convolutions(c, root)
    after = (layer_norm(f"{root}.norm", width), *after)
    return Stack(f"{root}.layers", width, (layer,) * times(c.num_hidden_layers), before, after, "audio")


def voxtral_realtime_audio(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """Voxtral Realtime's causal encoder: RMSNorm, rotary positions in a window, gated MLPs."""
    width, inner = c.hidden_size, c.intermediate_size
    heads: int = c.num_attention_heads
    layer = block(
        width,
        (Norm("self_attn_layer_norm", width), Norm("final_layer_norm", width)),
        projections("self_attn", width, heads * c.head_dim, out="o_proj"),
        (
            *linears("mlp", ("gate_proj", width, inner), ("up_proj", width, inner), bias=False),
            Linear("mlp.down_proj", inner, width, True),
        ),
    )
    before = mel_convolutions(c, f"{root}.embedder")
    after = (Norm(f"{root}.norm", width), *after)
    return Stack(f"{root}.layers", width, (layer,) * times(c.num_hidden_layers), before, after, "audio")


def fun_block(c: Config, inputs: int, extra: tuple[Part, ...] = (), last: tuple[Part, ...] = ()) -> Layer:
    """A pre-norm layer of Fun-ASR; `extra` beside the attention, `last` at the end."""
    width, inner = c.hidden_size, c.intermediate_size
    attention = projections("self_attn", width, width, inputs=inputs, out="o_proj", key_bias=True)
    layer = block(
        width,
        (layer_norm("input_layernorm", inputs), layer_norm("post_attention_layernorm", width)),
        (*attention, *extra),
        linears("mlp", ("fc1", width, inner), ("fc2", inner, width)),
    )
    return Layer(layer.kind, (*layer.parts, *last))


def fun_asr_towers(audio: Config, adaptor: Config, text_width: int) -> tuple[Stack, Stack]:
    """Fun-ASR's SANM encoder (arXiv:2006.01713), a depthwise convolution of the values beside each attention, and the
    adaptor behind it, two projections and a few layers more."""
    width, count, made = audio.hidden_size, audio.num_hidden_layers, adaptor.hidden_size
    memory = (convolution("self_attn.fsmn.conv", width, 1, audio.fsmn_kernel_size, bias=False),)
    ends = {count - audio.num_timestamp_prediction_layers - 1, count - 1}
    last = (layer_norm("final_layernorm", width),)
    frames = audio.num_mel_bins * audio.num_stacked_frames
    layers = [fun_block(audio, width if i else frames, memory, last if i in ends else ()) for i in range(times(count))]
    root, inner = "model.multi_modal_projector", adaptor.projector_hidden_size
    return (
        Stack("model.audio_tower.layers", width, tuple(layers), tower="audio"),
        Stack(
            f"{root}.layers",
            made,
            (fun_block(adaptor, made),) * times(adaptor.num_hidden_layers),
            linears(root, ("linear_1", width, inner), ("linear_2", inner, made)),
            tower="audio",
        ),
    )


def waveform_encoder(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """wav2vec 2.0's encoder (arXiv:2006.11477) with norms before each half (OmniASR): convolutions over the samples of
    a waveform, a grouped one that stands for positions, and layers of attention."""
    width, inner, channels = c.hidden_size, c.intermediate_size, (1, *c.conv_dim)
    before: list[Part] = []
    for i, kernel in enumerate(c.conv_kernel):
        name, outputs = f"{root}.subsampling.conv_layers.{i}", channels[i + 1]
        before.append(convolution(f"{name}.conv", outputs, channels[i], kernel, bias=c.flag("conv_bias")))
        before.append(layer_norm(f"{name}.layer_norm", outputs))
    before += [
        layer_norm(f"{root}.subsampling.layer_norm", channels[-1]),
        Linear(f"{root}.subsampling.projection", channels[-1], width, True),
        convolution(
            f"{root}.encode_positions.conv",
            width,
            width // c.num_conv_pos_embedding_groups,
            c.num_conv_pos_embeddings,
        ),
    ]
    layer = block(
        width,
        (layer_norm("layer_norm", width), layer_norm("final_layer_norm", width)),
        projections("attention", width, width, key_bias=True),
        linears("feed_forward", ("intermediate_dense", width, inner), ("output_dense", inner, width)),
    )
    layers = (layer,) * times(c.num_hidden_layers)
    return Stack(
        f"{root}.layers", width, layers, tuple(before), (layer_norm(f"{root}.layer_norm", width), *after), "audio"
    )
