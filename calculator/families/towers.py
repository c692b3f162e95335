"""Vision and audio towers, and the projectors that join them to a language model."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from calculator.config import Config
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Embedding,
    Linear,
    Norm,
    Part,
    PatchEmbedding,
    Positions,
    Residual,
    VectorWeights,
)


def patches(c: Config, name: str, *, bias: bool) -> PatchEmbedding:
    """A convolution over square patches; num_channels is 3 where the type knows no such field."""
    shape = (c.hidden_size, c.get("num_channels") or 3, c.patch_size, c.patch_size)
    return PatchEmbedding(name, prod(shape[1:]), c.hidden_size, shape, bias=bias)


def encoder_layer(c: Config, *, norms: tuple[str, str], attention: Attention, mlp: MLP, kind: str = "layer") -> Layer:
    """Pre-norm attention and MLP."""
    width: int = c.hidden_size
    bias = kind == "layer"
    return Layer(
        "vision",
        (
            Norm(norms[0], width, kind, bias),
            attention,
            Residual("mixer_residual", width),
            Norm(norms[1], width, kind, bias),
            mlp,
            Residual("channel_residual", width),
        ),
    )


def plain_mlp(c: Config) -> MLP:
    return MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=True, up="fc1", down="fc2")


def vision_attention(
    c: Config, name: str = "self_attn", *, out: str = "o_proj", bias: bool = True, rotary: bool = False
) -> Attention:
    heads: int = c.num_attention_heads
    head_dim = c.hidden_size // heads
    return Attention(
        name,
        c.hidden_size,
        heads,
        heads,
        head_dim,
        out=out,
        qkv_bias=bias,
        out_bias=bias,
        rotary=head_dim if rotary else 0,
    )


def siglip(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """SigLIP (arXiv:2303.15343): learned positions, pre-norm blocks, perhaps an attention-pooling head."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c, norms=("layer_norm1", "layer_norm2"), attention=vision_attention(c, out="out_proj"), mlp=plain_mlp(c)
    )
    positions = c.get("num_patches") or (c.image_size // c.patch_size) ** 2
    pooled: tuple[Part, ...] = ()
    if c.flag("vision_use_head"):
        shapes = (
            ("probe", (1, 1, width)),
            ("attention.in_proj_weight", (3 * width, width)),
            ("attention.in_proj_bias", (3 * width,)),
        )
        pooled = (
            VectorWeights(f"{root}.head", shapes),
            Linear(f"{root}.head.attention.out_proj", width, width, True),
            Norm(f"{root}.head.layernorm", width, "layer", True),
            MLP(f"{root}.head.mlp", width, c.intermediate_size, gated=False, bias=True, up="fc1", down="fc2"),
        )
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            patches(c, f"{root}.embeddings.patch_embedding", bias=True),
            Positions(f"{root}.embeddings.position_embedding", positions, width),
        ),
        after=(Norm(f"{root}.post_layernorm", width, "layer", True), *pooled, *after),
        tower="vision",
    )


def pixtral(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """Pixtral (arXiv:2410.07073): rotary positions in two dimensions, RMSNorm and gated MLPs, images of any size."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c,
        norms=("attention_norm", "ffn_norm"),
        attention=vision_attention(c, "attention", bias=False, rotary=True),
        mlp=MLP("feed_forward", width, c.intermediate_size),
        kind="rms",
    )
    before = (patches(c, f"{root}.patch_conv", bias=False), Norm(f"{root}.ln_pre", width))
    return Stack(f"{root}.transformer.layers", width, (layer,) * c.num_hidden_layers, before, after, "vision")


def llama4_vision(c: Config, text_width: int) -> Stack:
    """Llama 4: a class token, learned and rotary positions, a pixel shuffle and its MLP."""
    width: int = c.hidden_size
    layer = encoder_layer(
        c,
        norms=("input_layernorm", "post_attention_layernorm"),
        attention=vision_attention(c, rotary=True),
        mlp=plain_mlp(c),
    )
    side, channels, root = c.image_size // c.patch_size, c.num_channels, "vision_model"
    vectors = (("class_embedding", (width,)), ("positional_embedding_vlm", (side * side + 1, width)))
    adapter = f"{root}.vision_adapter.mlp"
    return Stack(
        f"{root}.model.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            Linear(f"{root}.patch_embedding.linear", channels * c.patch_size**2, width),
            VectorWeights(root, vectors),
            Norm(f"{root}.layernorm_pre", width, "layer", True),
        ),
        after=(
            Norm(f"{root}.layernorm_post", width, "layer", True),
            Linear(f"{adapter}.fc1", c.intermediate_size, c.projector_input_dim),
            Linear(f"{adapter}.fc2", c.projector_output_dim, c.projector_output_dim),
            Linear("multi_modal_projector.linear_1", c.vision_output_dim, text_width),
        ),
        tower="vision",
    )


def gemma4_vision(c: Config, text_width: int) -> Stack:
    """Gemma 4: projected patches with a two-axis position table, four norms a block."""
    width, root = c.hidden_size, "model.vision_tower"
    attention = Attention(
        "self_attn",
        width,
        c.num_attention_heads,
        c.num_key_value_heads,
        c.head_dim,
        query="q_proj.linear",
        key="k_proj.linear",
        value="v_proj.linear",
        out="o_proj.linear",
        head_norm="head",
        value_norm=True,
        rotary=c.head_dim,
    )
    mlp = MLP("mlp", width, c.intermediate_size, gate="gate_proj.linear", up="up_proj.linear", down="down_proj.linear")
    layer = Layer(
        "vision",
        (
            Norm("input_layernorm", width),
            attention,
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            mlp,
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
    table = (("position_embedding_table", (2, c.position_embedding_size, width)),)
    standard = (("std_bias", (width,)), ("std_scale", (width,)))
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            Linear(f"{root}.patch_embedder.input_proj", 3 * c.patch_size**2, width),
            VectorWeights(f"{root}.patch_embedder", table),
        ),
        after=(
            *((VectorWeights(root, standard, role="buffer"),) if c.flag("standardize") else ()),
            Norm("model.embed_vision.embedding_pre_projection_norm", width, affine=False),
            Linear("model.embed_vision.embedding_projection", width, text_width),
        ),
        tower="vision",
    )


def gemma4_audio(c: Config, text_width: int) -> Stack:
    """Gemma 4's sound tower, a conformer: half-step MLPs around chunked attention and a light convolution."""
    width, root = c.hidden_size, "model.audio_tower"
    head_dim = width // c.num_attention_heads

    def linear(name: str, inputs: int, outputs: int) -> Linear:
        return Linear(f"{name}.linear", inputs, outputs)

    def feed_forward(name: str) -> tuple[Part, ...]:
        return (
            Norm(f"{name}.pre_layer_norm", width),
            linear(f"{name}.ffw_layer_1", width, 4 * width),
            linear(f"{name}.ffw_layer_2", 4 * width, width),
            Norm(f"{name}.post_layer_norm", width),
        )

    attention = Attention(
        "self_attn",
        width,
        c.num_attention_heads,
        c.num_attention_heads,
        head_dim,
        query="q_proj.linear",
        key="k_proj.linear",
        value="v_proj.linear",
        out="post.linear",
    )
    kernel = c.conv_kernel_size
    layer = Layer(
        "audio",
        (
            *feed_forward("feed_forward1"),
            Norm("norm_pre_attn", width),
            attention,
            Linear("self_attn.relative_k_proj", width, width),
            VectorWeights("self_attn", (("per_dim_scale", (head_dim,)),)),
            Norm("norm_post_attn", width),
            Norm("lconv1d.pre_layer_norm", width),
            linear("lconv1d.linear_start", width, 2 * width),
            PatchEmbedding("lconv1d.depthwise_conv1d", kernel, width, (width, 1, kernel), bias=False),
            Norm("lconv1d.conv_norm", width),
            linear("lconv1d.linear_end", width, width),
            *feed_forward("feed_forward2"),
            Norm("norm_out", width),
        ),
    )
    first, second = c.subsampling_conv_channels
    sub = f"{root}.subsample_conv_projection"
    outputs: int = c.output_proj_dims
    return Stack(
        f"{root}.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            PatchEmbedding(f"{sub}.layer0.conv", 9, first, (first, 1, 3, 3), bias=False),
            Norm(f"{sub}.layer0.norm", first, "layer"),
            PatchEmbedding(f"{sub}.layer1.conv", 9 * first, second, (second, first, 3, 3), bias=False),
            Norm(f"{sub}.layer1.norm", second, "layer"),
            Linear(f"{sub}.input_proj_linear", first // 4 * second, width),
        ),
        after=(
            Linear(f"{root}.output_proj", width, outputs, True),
            Norm("model.embed_audio.embedding_pre_projection_norm", outputs, affine=False),
            Linear("model.embed_audio.embedding_projection", outputs, text_width),
        ),
        tower="audio",
    )


def kimi_vision(c: Config, text_width: int, normed: int) -> Stack:
    """Kimi K2.5's MoonViT: learned positions resampled to the image, packed projections, and a two-layer projector
    behind a norm of `normed` features."""
    width, root = c.hidden_size, "vision_tower"
    heads: int = c.num_attention_heads
    layer = Layer(
        "vision",
        (
            Norm("norm0", width, "layer", True),
            Attention(
                "",
                width,
                heads,
                heads,
                width // heads,
                fused="wqkv",
                out="wo",
                qkv_bias=True,
                out_bias=True,
                rotary=width // heads,
            ),
            Residual("mixer_residual", width),
            Norm("norm1", width, "layer", True),
            MLP("mlp", width, c.intermediate_size, gated=False, bias=True, up="fc0", down="fc1"),
            Residual("channel_residual", width),
        ),
    )
    grid = (("weight", (c.pos_emb_height, c.pos_emb_width, width)),)
    joined = width * prod(c.merge_kernel_size)
    return Stack(
        f"{root}.encoder.blocks",
        width,
        (layer,) * c.num_hidden_layers,
        before=(patches(c, f"{root}.patch_embed.proj", bias=True), VectorWeights(f"{root}.patch_embed.pos_emb", grid)),
        after=(
            Norm(f"{root}.encoder.final_layernorm", width, "layer", True),
            Norm("mm_projector.pre_norm", normed, "layer", True),
            Linear("mm_projector.proj.0", joined, joined, True),
            Linear("mm_projector.proj.2", joined, text_width, True),
        ),
        tower="vision",
    )


def gemma3n_embedder(c: Config, name: str, width: int, text_width: int) -> tuple[Part, ...]:
    """What turns a tower's outputs, and the modality's own few tokens, into the language model's width."""
    return (
        Embedding(f"{name}.embedding", c.vocab_size, width),
        Norm(f"{name}.hard_embedding_norm", width),
        Norm(f"{name}.soft_embedding_norm", width),
        Linear(f"{name}.embedding_projection", width, text_width),
        Norm(f"{name}.embedding_post_projection_norm", text_width, affine=False),
    )


def gemma3n_audio(c: Config, text_width: int) -> Stack:
    """Gemma 3n's sound tower, the conformer that Gemma 4's grew from."""
    width, root = c.hidden_size, "model.audio_tower"
    head_dim = width // c.conf_num_attention_heads

    def feed_forward(name: str) -> tuple[Part, ...]:
        return (
            Norm(f"{name}.pre_layer_norm", width),
            Linear(f"{name}.ffw_layer_1", width, 4 * width),
            Linear(f"{name}.ffw_layer_2", 4 * width, width),
            Norm(f"{name}.post_layer_norm", width),
        )

    heads: int = c.conf_num_attention_heads
    attention = Attention(
        "attention",
        width,
        heads,
        heads,
        head_dim,
        query="attn.q_proj",
        key="attn.k_proj",
        value="attn.v_proj",
        out="post",
    )
    kernel = c.conf_conv_kernel_size
    layer = Layer(
        "audio",
        (
            *feed_forward("ffw_layer_start"),
            Norm("attention.pre_attn_norm", width),
            attention,
            Linear("attention.attn.relative_position_embedding.pos_proj", width, width),
            VectorWeights("attention.attn", (("per_dim_scale", (head_dim,)),)),
            Norm("attention.post_norm", width),
            Norm("lconv1d.pre_layer_norm", width),
            Linear("lconv1d.linear_start", width, 2 * width),
            PatchEmbedding("lconv1d.depthwise_conv1d", kernel, width, (width, 1, kernel), bias=False),
            Norm("lconv1d.conv_norm", width),
            Linear("lconv1d.linear_end", width, width),
            *feed_forward("ffw_layer_end"),
            Norm("norm", width),
        ),
    )
    before: list[Part] = []
    channels, features = 1, c.input_feat_size
    # Kernels and strides are pairs, one for time and one for features.
    shapes = zip(c.sscp_conv_channel_size, c["sscp_conv_kernel_size"], c["sscp_conv_stride_size"], strict=True)
    for i, (made, (high, wide), (_, stride)) in enumerate(shapes):
        name = f"{root}.subsample_conv_projection.conv_{i}"
        patch = PatchEmbedding(f"{name}.conv", channels * high * wide, made, (made, channels, high, wide), bias=False)
        before += [patch, Norm(f"{name}.norm", made)]
        channels, features = made, -(-features // stride)
    before.append(Linear(f"{root}.subsample_conv_projection.input_proj_linear", channels * features, width))
    after = gemma3n_embedder(c, "model.embed_audio", width, text_width)
    return Stack(f"{root}.conformer", width, (layer,) * c.conf_num_hidden_layers, tuple(before), after, "audio")


def glm4v_vision(c: Config) -> Stack:
    """GLM-4.1V to 4.6V: 3-D patches, learned positions resampled to the image, a strided convolution that merges
    patches, and a gated merger. The blocks' MLPs are as wide as the language model."""
    width, root = c.hidden_size, "model.visual"
    heads, outputs = c.num_attention_heads, c.out_hidden_size
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=c.flag("attention_bias"),
        rotary=width // heads,
    )
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=MLP("mlp", width, outputs), kind="rms")
    merge, merger = c.spatial_merge_size, f"{root}.merger"
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume)),
            Norm(f"{root}.post_conv_layernorm", width),
            Positions(f"{root}.embeddings.position_embedding", (c.image_size // c.patch_size) ** 2, width),
        ),
        after=(
            Norm(f"{root}.post_layernorm", width),
            PatchEmbedding(f"{root}.downsample", width * merge * merge, outputs, (outputs, width, merge, merge)),
            Linear(f"{merger}.proj", outputs, outputs),
            Norm(f"{merger}.post_projection_norm", outputs, "layer", True),
            MLP(merger, outputs, c.intermediate_size),
        ),
        tower="vision",
    )


def siglip2(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    """SigLIP 2 for images of any shape: patches come flat, positions are resampled."""
    stack = siglip(c, root, after)
    patch = Linear(f"{root}.embeddings.patch_embedding", c.num_channels * c.patch_size**2, c.hidden_size, True)
    positions = Positions(f"{root}.embeddings.position_embedding", c.num_patches, c.hidden_size)
    return replace(stack, before=(patch, positions))


def qwen2_tower(c: Config, *, gated: bool) -> Stack:
    """Qwen2-VL (LayerNorm, plain MLPs) or Qwen2.5-VL (RMSNorm, gated MLPs): 3-D patches, rotary positions, a merger."""
    width: int = c.hidden_size if gated else c.embed_dim
    outputs: int = c.out_hidden_size if gated else c.hidden_size  # as wide as the language model
    heads, root = c.num_attention_heads, "visual"
    kind, bias = ("rms", False) if gated else ("layer", True)
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=True,
        out_bias=True,
        rotary=width // heads,
    )
    mlp = (
        MLP("mlp", width, c.intermediate_size, bias=True)
        if gated
        else MLP("mlp", width, int(width * c.mlp_ratio), gated=False, bias=True, up="fc1", down="fc2")
    )
    parts = (
        Norm("norm1", width, kind, bias),
        attention,
        Residual("mixer_residual", width),
        Norm("norm2", width, kind, bias),
        mlp,
        Residual("channel_residual", width),
    )
    joined = width * c.spatial_merge_size**2
    return Stack(
        f"{root}.blocks",
        width,
        (Layer("vision", parts),) * c.num_hidden_layers,
        before=(PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume), bias=False),),
        after=(
            Norm(f"{root}.merger.ln_q", width, kind, bias),
            Linear(f"{root}.merger.mlp.0", joined, joined, True),
            Linear(f"{root}.merger.mlp.2", joined, outputs, True),
        ),
        tower="vision",
    )
