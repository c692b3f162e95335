"""The eyes and ears of Gemma 3n and 4."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.layers import plain_norm, sandwiched, unbiased_norm, whole_heads
from calculator.families.towers.pieces import convolution, square
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Embedding, HeadNorms, Linear, Names, Norm, Part, VectorWeights


def gemma4_vision(c: Config, text_width: int) -> Stack:
    """Gemma 4: projected patches with a two-axis position table, four norms a block."""
    width, root = c.hidden_size, "model.vision_tower"
    attention = Attention(
        "self_attn",
        width,
        c.num_attention_heads,
        c.num_key_value_heads,
        c.head_dim,
        names=Names(query="q_proj.linear", key="k_proj.linear", value="v_proj.linear", out="o_proj.linear"),
        norms=HeadNorms("head", values=True),
        rotary=c.head_dim,
    )
    mlp = MLP("mlp", width, c.intermediate_size, gate="gate_proj.linear", up="up_proj.linear", down="down_proj.linear")
    layer = sandwiched(c, attention, mlp, kind="vision")
    table = (("position_embedding_table", (2, c.position_embedding_size, width)),)
    standard = (("std_bias", (width,)), ("std_scale", (width,)))
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            Linear(f"{root}.patch_embedder.input_proj", 3 * c.patch_size**2, width),
            VectorWeights(f"{root}.patch_embedder", table),
        ),
        after=(
            *((VectorWeights(root, standard, role="buffer"),) if c.flag("standardize") else ()),
            plain_norm("model.embed_vision.embedding_pre_projection_norm", width),
            Linear("model.embed_vision.embedding_projection", width, text_width),
        ),
        tower="vision",
    )


def conformer_layer(
    width: int,
    kernel: int,
    attention: Attention,
    positions: str,
    norms: tuple[str, str, str],
    ends: tuple[str, str],
    inside: str = "",
) -> Layer:
    """Half-step MLPs, named `ends`, around chunked attention and a light convolution. `norms` stand before and after
    the attention and at the end; `inside` is where a clipped projection keeps its matrix."""

    def linear(name: str, inputs: int, outputs: int) -> Linear:
        return Linear(f"{name}{inside}", inputs, outputs)

    def feed_forward(name: str) -> tuple[Part, ...]:
        return (
            Norm(f"{name}.pre_layer_norm", width),
            linear(f"{name}.ffw_layer_1", width, 4 * width),
            linear(f"{name}.ffw_layer_2", 4 * width, width),
            Norm(f"{name}.post_layer_norm", width),
        )

    scaled = attention.name if inside else f"{attention.name}.attn"
    parts = (
        *feed_forward(ends[0]),
        Norm(norms[0], width),
        attention,
        Linear(positions, width, width),
        VectorWeights(scaled, (("per_dim_scale", (attention.head_dim,)),)),
        Norm(norms[1], width),
        Norm("lconv1d.pre_layer_norm", width),
        linear("lconv1d.linear_start", width, 2 * width),
        convolution("lconv1d.depthwise_conv1d", width, 1, kernel, bias=False),
        Norm("lconv1d.conv_norm", width),
        linear("lconv1d.linear_end", width, width),
        *feed_forward(ends[1]),
        Norm(norms[2], width),
    )
    return Layer("audio", parts)


def gemma4_audio(c: Config, text_width: int) -> Stack:
    """Gemma 4's sound tower, a conformer: half-step MLPs around chunked attention and a light convolution."""
    width, root = c.hidden_size, "model.audio_tower"
    names = Names("q_proj.linear", "k_proj.linear", "v_proj.linear", "post.linear")
    attention = whole_heads(c, bias=False, names=names)
    norms, ends = ("norm_pre_attn", "norm_post_attn", "norm_out"), ("feed_forward1", "feed_forward2")
    layer = conformer_layer(
        width, c.conv_kernel_size, attention, "self_attn.relative_k_proj", norms, ends, inside=".linear"
    )
    first, second = c.subsampling_conv_channels
    sub = f"{root}.subsample_conv_projection"
    outputs: int = c.output_proj_dims
    return Stack(
        f"{root}.layers",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            square(f"{sub}.layer0.conv", 1, first, 3, bias=False),
            unbiased_norm(f"{sub}.layer0.norm", first),
            square(f"{sub}.layer1.conv", first, second, 3, bias=False),
            unbiased_norm(f"{sub}.layer1.norm", second),
            Linear(f"{sub}.input_proj_linear", first // 4 * second, width),
        ),
        after=(
            Linear(f"{root}.output_proj", width, outputs, True),
            plain_norm("model.embed_audio.embedding_pre_projection_norm", outputs),
            Linear("model.embed_audio.embedding_projection", outputs, text_width),
        ),
        tower="audio",
    )


def gemma3n_embedder(c: Config, name: str, width: int, text_width: int) -> tuple[Part, ...]:
    """What turns a tower's outputs, and the modality's own few tokens, into the language model's width."""
    return (
        Embedding(f"{name}.embedding", c.vocab_size, width),
        Norm(f"{name}.hard_embedding_norm", width),
        Norm(f"{name}.soft_embedding_norm", width),
        Linear(f"{name}.embedding_projection", width, text_width),
        plain_norm(f"{name}.embedding_post_projection_norm", text_width),
    )


def gemma3n_audio(c: Config, text_width: int) -> Stack:
    """Gemma 3n's sound tower, the conformer that Gemma 4's grew from."""
    width, root = c.hidden_size, "model.audio_tower"
    names = Names("attn.q_proj", "attn.k_proj", "attn.v_proj", "post")
    attention = whole_heads(c, "attention", bias=False, heads=c.conf_num_attention_heads, names=names)
    norms, ends = ("attention.pre_attn_norm", "attention.post_norm", "norm"), ("ffw_layer_start", "ffw_layer_end")
    positions = "attention.attn.relative_position_embedding.pos_proj"
    layer = conformer_layer(width, c.conf_conv_kernel_size, attention, positions, norms, ends)
    before: list[Part] = []
    channels, features = 1, c.input_feat_size
    # Kernels and strides are pairs, one for time and one for features.
    shapes = zip(c.sscp_conv_channel_size, c["sscp_conv_kernel_size"], c["sscp_conv_stride_size"], strict=True)
    for i, (made, (high, wide), (_, stride)) in enumerate(shapes):
        name = f"{root}.subsample_conv_projection.conv_{i}"
        patch = convolution(f"{name}.conv", made, channels, high, wide, bias=False)
        before += [patch, Norm(f"{name}.norm", made)]
        channels, features = made, -(-features // stride)
    before.append(Linear(f"{root}.subsample_conv_projection.input_proj_linear", channels * features, width))
    after = gemma3n_embedder(c, "model.embed_audio", width, text_width)
    return Stack(f"{root}.conformer", width, (layer,) * times(c.conf_num_hidden_layers), tuple(before), after, "audio")
