"""Encoders of sound, and what joins them to a language model. They are held and not run, so the projections of an
attention stand one by one: Whisper's keys, alone of them, have no bias."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from calculator.config import Config
from calculator.families.towers import siglip
from calculator.model import Layer, Stack
from calculator.parts import Linear, Norm, Part, PatchEmbedding, Positions, Residual, VectorWeights


def convolution(name: str, outputs: int, inputs: int, *kernel: int, bias: bool = True) -> PatchEmbedding:
    """A convolution by its kernel [outputs, inputs of a group, ...]."""
    return PatchEmbedding(name, inputs * prod(kernel), outputs, (outputs, inputs, *kernel), bias)


def layer_norm(name: str, width: int) -> Norm:
    return Norm(name, width, "layer", True)


def linears(root: str, *named: tuple[str, int, int], bias: bool = True) -> tuple[Part, ...]:
    """Projections by (name, inputs, outputs)."""
    return tuple(Linear(f"{root}.{name}", inputs, outputs, bias) for name, inputs, outputs in named)


def projections(
    name: str,
    width: int,
    inner: int,
    *,
    inputs: int | None = None,
    keys: int | None = None,
    out: str = "out_proj",
    key_bias: bool = False,
    bias: bool = True,
) -> tuple[Part, ...]:
    """The four projections of an attention with `inner` features of queries, and `keys` of keys and values."""
    read, kept = width if inputs is None else inputs, inner if keys is None else keys
    return (
        Linear(f"{name}.q_proj", read, inner, bias),
        Linear(f"{name}.k_proj", read, kept, bias and key_bias),
        Linear(f"{name}.v_proj", read, kept, bias),
        Linear(f"{name}.{out}", inner, width, bias),
    )


def block(width: int, norms: tuple[Part, Part], mixer: Iterable[Part], channel: Iterable[Part]) -> Layer:
    """Pre-norm attention and MLP of parts that stand alone."""
    adds = [Residual(f"{name}_residual", width) for name in ("mixer", "channel")]
    return Layer("audio", (norms[0], *mixer, adds[0], norms[1], *channel, adds[1]))


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
        (whisper_block(c),) * c.num_hidden_layers,
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
        (whisper_block(c, key_bias=True),) * c.num_hidden_layers,
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
    return Stack(f"{root}.layers", width, (layer,) * c.num_hidden_layers, before, after, "audio")


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
    return Stack(f"{root}.layers", width, (layer,) * c.num_hidden_layers, before, after, "audio")


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
    layers = [fun_block(audio, width if i else frames, memory, last if i in ends else ()) for i in range(count)]
    root, inner = "model.multi_modal_projector", adaptor.projector_hidden_size
    return (
        Stack("model.audio_tower.layers", width, tuple(layers), tower="audio"),
        Stack(
            f"{root}.layers",
            made,
            (fun_block(adaptor, made),) * adaptor.num_hidden_layers,
            linears(root, ("linear_1", width, inner), ("linear_2", inner, made)),
            tower="audio",
        ),
    )


def held(root: str, shapes: Iterable[tuple[str, tuple[int, ...]]], role: str = "vector") -> VectorWeights:
    """Tensors of a module that no pass here runs, by name and shape."""
    return VectorWeights(root, tuple(shapes), "vision", role)


def batch_norm(name: str, width: int) -> tuple[Part, ...]:
    """A scale and a shift, and the running statistics, which no count of parameters includes."""
    root, _, last = name.rpartition(".")
    statistics: tuple[tuple[str, tuple[int, ...]], ...] = (
        (f"{last}.running_mean", (width,)),
        (f"{last}.running_var", (width,)),
        (f"{last}.num_batches_tracked", ()),
    )
    return layer_norm(name, width), held(root, statistics, role="buffer")


def granite_conformer(c: Config, root: str) -> Stack:
    """Half-step MLPs around attention with learned relative positions and a gated convolution; the characters guessed
    half-way are fed back."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    head_dim = c.get("dim_head") or width // heads
    inner, wide = heads * head_dim, width * c.conv_expansion_factor

    def feed_forward(name: str) -> tuple[Part, ...]:
        many = width * c.feedforward_mult
        named = ("up_proj", width, many), ("down_proj", many, width)
        return (layer_norm(f"{name}.pre_norm", width), *linears(name, *named))

    layer = Layer(
        "audio",
        (
            *feed_forward("ff1"),
            layer_norm("attn.pre_norm", width),
            Linear("attn.to_q", width, inner),
            Linear("attn.to_kv", width, 2 * inner),
            Linear("attn.to_out", inner, width, True),
            Positions("attn.rel_pos_emb", 2 * c.max_pos_emb + 1, head_dim),
            layer_norm("conv.norm", width),
            convolution("conv.up_conv", 2 * wide, width, 1),
            convolution("conv.depth_conv.conv", wide, 1, c.conv_kernel_size, bias=False),
            *batch_norm("conv.batch_norm", wide),
            convolution("conv.down_conv", width, wide, 1),
            *feed_forward("ff2"),
            layer_norm("post_norm", width),
        ),
    )
    return Stack(
        f"{root}.layers",
        width,
        (layer,) * c.num_hidden_layers,
        (Linear(f"{root}.input_linear", c.input_dim, width, True),),
        linears(root, ("out", width, c.output_dim), ("out_mid", c.output_dim, width)),
        "audio",
    )


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
        Layer("audio", plain if i % c.cross_attention_frequency else across) for i in range(c.num_hidden_layers)
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
    fields = {**c.values_, "vision_use_head": True, "num_patches": None}
    separators = (
        held(root, (("global_img_feature_extensor", (1, 1, width)), ("sub_img_feature_extensor", (1, 1, 1, width)))),
    )
    named = ("img_projection_up", width, text_width), ("img_projection_down", text_width, text_width)
    after = (*separators, *linears(root, *named))
    return siglip(Config(fields, "", where=c.where), f"{root}.img_processor", after)


def phi4_audio(c: Config, root: str, text_width: int) -> Stack:
    """A conformer over frames thinned eightfold by depthwise convolutions, with one learned bias for each distance."""
    width, inner, channels, out = c.hidden_size, c.intermediate_size, c.nemo_conv_channels, c.ext_pw_out_channel
    encoder = f"{root}.encoder"

    def feed_forward(name: str) -> tuple[Part, ...]:
        named = ("gate_up_proj", width, 2 * inner), ("down_proj", inner, width)
        return (layer_norm(f"{name}.layer_norm", width), *linears(name, *named))

    separable, deep = c.depthwise_separable_out_channel, width * c.depthwise_multiplier
    layer = Layer(
        "audio",
        (
            *feed_forward("feed_forward_in"),
            layer_norm("layer_norm_att", width),
            *projections("self_attn", width, width, out="o_proj", key_bias=True),
            layer_norm("conv.layer_norm", width),
            held("conv.glu", (("b1", (1, out, 1)), ("b2", (1, out, 1)))),
            convolution("conv.glu.ext_pw_conv_1d", 2 * out, width, 1),
            convolution("conv.dw_sep_conv_1d.dw_conv", deep, 1, c.kernel_size),
            convolution("conv.dw_sep_conv_1d.pw_conv", separable, deep, 1),
            convolution("conv.ext_pw_conv_1d", out, width, 1),
            *feed_forward("feed_forward_out"),
            layer_norm("layer_norm", width),
        ),
    )
    halvings = c.time_reduction.bit_length() - 1
    bins: int = c.input_size
    thinning: list[Part] = []
    for i in range(halvings):
        bins = (bins + 1) // 2
        first = 3 * i - 1 if i else 0
        thinning.append(convolution(f"{encoder}.embed.conv.{first}", channels, 1, 3, 3))
        if i:
            thinning.append(convolution(f"{encoder}.embed.conv.{first + 1}", channels, channels, 1, 1))
    distances = c.bias_max_distance * (1 if c.flag("bias_symmetric") else 2)
    statistics = (("global_mean", (c.input_size,)), ("global_invstd", (c.input_size,)))
    ways = ("speech", "vision_speech")
    up_and_down = [
        entry
        for way in ways
        for entry in (
            (f"up_proj_for_{way}", width * c.downsample_rate, text_width),
            (f"down_proj_for_{way}", text_width, text_width),
        )
    ]
    return Stack(
        f"{encoder}.encoders",
        width,
        (layer,) * c.num_blocks,
        (
            held(f"{encoder}.encoder_embedding", statistics, role="buffer"),
            *thinning,
            Linear(f"{encoder}.embed.out", channels * (c.get("nemo_final_size") or bins), width, True),
            Positions(f"{encoder}.relative_attention_bias_layer.bias_values", distances, c.num_attention_heads),
        ),
        linears(root, *up_and_down),
        "audio",
    )


def parakeet(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """NVIDIA's FastConformer (arXiv:2305.05084) with relative positions (arXiv:1901.02860), frames thinned eightfold by
    depthwise convolutions."""
    width, inner, bias = c.hidden_size, c.intermediate_size, c.flag("attention_bias")
    heads: int = c.num_attention_heads
    kv_heads, head_dim = c.get("num_key_value_heads") or heads, c.get("head_dim") or width // heads
    channels, kernel, convolved = (
        c.subsampling_conv_channels,
        c.subsampling_conv_kernel_size,
        c.flag("convolution_bias"),
    )

    def feed_forward(name: str) -> tuple[Part, ...]:
        named = ("linear1", width, inner), ("linear2", inner, width)
        return (layer_norm(f"norm_{name}", width), *linears(name, *named, bias=bias))

    many, keys = heads * head_dim, kv_heads * head_dim
    layer = Layer(
        "audio",
        (
            *feed_forward("feed_forward1"),
            layer_norm("norm_self_att", width),
            *projections("self_attn", width, many, keys=keys, out="o_proj", bias=bias, key_bias=True),
            Linear("self_attn.relative_k_proj", width, many),
            held("self_attn", (("bias_u", (heads, head_dim)), ("bias_v", (heads, head_dim)))),
            layer_norm("norm_conv", width),
            convolution("conv.pointwise_conv1", 2 * width, width, 1, bias=convolved),
            convolution("conv.depthwise_conv", width, 1, c.conv_kernel_size, bias=convolved),
            *batch_norm("conv.norm", width),
            convolution("conv.pointwise_conv2", width, width, 1, bias=convolved),
            *feed_forward("feed_forward2"),
            layer_norm("norm_out", width),
        ),
    )
    thinned = c.subsampling_factor.bit_length() - 1
    sub = f"{root}.subsampling"
    before: list[Part] = [convolution(f"{sub}.layers.0", channels, 1, kernel, kernel)]
    for i in range(1, thinned):
        before.append(convolution(f"{sub}.layers.{3 * i - 1}", channels, 1, kernel, kernel))
        before.append(convolution(f"{sub}.layers.{3 * i}", channels, channels, 1, 1))
    bins = c.num_mel_bins // c.subsampling_conv_stride**thinned
    before.append(Linear(f"{sub}.linear", channels * bins, width, True))
    return Stack(f"{root}.layers", width, (layer,) * c.num_hidden_layers, tuple(before), after, "audio")
