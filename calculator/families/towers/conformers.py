"""Conformers (arXiv:2005.08100): attention and convolutions between two half-step MLPs."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import layer_norm
from calculator.families.towers.pieces import batch_norm, convolution, held, linears, projections
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Linear, Part, Positions


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
        (layer,) * times(c.num_hidden_layers),
        (Linear(f"{root}.input_linear", c.input_dim, width, True),),
        linears(root, ("out", width, c.output_dim), ("out_mid", c.output_dim, width)),
        "audio",
    )


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
    for i in range(times(halvings)):
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
        (layer,) * times(c.num_blocks),
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
    for i in range(1, times(thinned)):
        before.append(convolution(f"{sub}.layers.{3 * i - 1}", channels, 1, kernel, kernel))
        before.append(convolution(f"{sub}.layers.{3 * i}", channels, channels, 1, 1))
    bins = c.num_mel_bins // c.subsampling_conv_stride**thinned
    before.append(Linear(f"{sub}.linear", channels * bins, width, True))
    return Stack(f"{root}.layers", width, (layer,) * times(c.num_hidden_layers), tuple(before), after, "audio")
