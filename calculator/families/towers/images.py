"""Image encoders beside SigLIP's kind: InternViT, Segment Anything's, AIMv2."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.towers.pieces import convolution, encoder_layer, pair, patches, square, vectors
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Biases, HeadNorms, Names, Norm, Part, PatchEmbedding, Positions


def intern_layer(c: Config, attention: Attention, norms: tuple[str, str], scales: tuple[str, str]) -> Layer:
    """Pre-norm halves, both of them scaled by learned vectors."""
    norm, width = layer_norm if c.norm_type == "layer_norm" else Norm, c.hidden_size
    biases = replace(attention.biases, qkv=c.flag("attention_bias"))
    attention = replace(attention, biases=biases, norms=HeadNorms("full" if c.flag("use_qk_norm") else None))
    scaled = vectors("", **dict.fromkeys(scales, (width,)))
    return encoder_layer(c, norms=norms, attention=attention, mlp=(plain_mlp(c), scaled), norm=norm)


def intern_patches(c: Config, name: str) -> tuple[PatchEmbedding, tuple[int, int, int]]:
    """A convolution over patches, and the shape of the positions of all patches and a class token."""
    (high, wide), (rows, columns) = pair(c.patch_size), pair(c.image_size)
    patch = convolution(name, c.hidden_size, c.get("num_channels") or 3, high, wide)
    return patch, (1, (rows // high) * (columns // wide) + 1, c.hidden_size)


def intern_vit(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """InternViT (arXiv:2312.14238) as transformers spells it."""
    width: int = c.hidden_size
    attention = whole_heads(c, "attention", names=Names(out="projection_layer"))
    layer = intern_layer(c, attention, ("layernorm_before", "layernorm_after"), ("lambda_1", "lambda_2"))
    patch, places = intern_patches(c, f"{root}.embeddings.patch_embeddings.projection")
    tokens: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width)}
    if c.flag("use_mask_token"):
        tokens["mask_token"] = (1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        tokens["position_embeddings"] = places
    last = () if c.flag("use_mean_pooling") else (layer_norm(f"{root}.layernorm", width),)
    before = (vectors(f"{root}.embeddings", **tokens), patch)
    return Stack(
        f"{root}.encoder.layer", width, (layer,) * times(c.num_hidden_layers), before, (*last, *after), "vision"
    )


def intern_vit_6b(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """InternViT as its authors' own code spells it: one packed projection."""
    width: int = c.hidden_size
    layer = intern_layer(
        c, whole_heads(c, "attn", names=Names(out="proj", fused="qkv")), ("norm1", "norm2"), ("ls1", "ls2")
    )
    patch, places = intern_patches(c, f"{root}.embeddings.patch_embedding")
    tokens: dict[str, tuple[int, ...]] = {"class_embedding": (1, 1, width)}
    if c.flag("use_mask_token"):
        tokens["mask_token"] = (1, 1, width)
    if c.flag("use_absolute_position_embeddings"):
        tokens["position_embedding"] = places
    last = () if c.flag("use_mean_pooling") else (layer_norm(f"{root}.layernorm", width),)
    before = (vectors(f"{root}.embeddings", **tokens), patch)
    return Stack(
        f"{root}.encoder.layers", width, (layer,) * times(c.num_hidden_layers), before, (*last, *after), "vision"
    )


def sam_neck(name: str, inputs: int, outputs: int) -> tuple[Part, ...]:
    return (
        square(f"{name}.conv1", inputs, outputs, 1, bias=False),
        layer_norm(f"{name}.layer_norm1", outputs),
        square(f"{name}.conv2", outputs, outputs, 3, bias=False),
        layer_norm(f"{name}.layer_norm2", outputs),
    )


def sam(c: Config, root: str, after: tuple[Part, ...] = ()) -> Stack:
    """Segment Anything's image encoder (arXiv:2304.02643): windows in most blocks, relative positions in each."""
    width, heads = c.hidden_size, c.num_attention_heads
    side = c.image_size // c.patch_size
    attention = whole_heads(
        c, "attn", biases=Biases(qkv=c.flag("qkv_bias"), out=True), names=Names(out="proj", fused="qkv")
    )
    inner = int(width * c.mlp_ratio) if c.get("mlp_dim") is None else c.mlp_dim
    mlp = plain_mlp(c, "mlp", inner, up="lin1", down="lin2")

    def layer(i: int) -> Layer:
        reach = 2 * (side if i in c.global_attn_indexes or not c.window_size else c.window_size) - 1
        block = encoder_layer(c, norms=("layer_norm1", "layer_norm2"), attention=attention, mlp=mlp)
        if not c.flag("use_rel_pos"):
            return block
        places = (reach, width // heads)
        return replace(block, parts=(*block.parts, vectors("attn", rel_pos_h=places, rel_pos_w=places)))

    absolute = (vectors(root, pos_embed=(1, side, side, width)),) if c.flag("use_abs_pos") else ()
    return Stack(
        f"{root}.layers",
        width,
        tuple(layer(i) for i in range(times(c.num_hidden_layers))),
        before=(patches(c, f"{root}.patch_embed.projection", bias=True), *absolute),
        after=(*sam_neck(f"{root}.neck", width, c.output_channels), *after),
        tower="vision",
    )


def aimv2(c: Config, root: str) -> Stack:
    """AIMv2 (arXiv:2411.14402): RMSNorm and gated MLPs."""
    width, bias = c.hidden_size, c.flag("qkv_bias")
    attention = replace(whole_heads(c, "attention", names=Names(out="out_proj"), bias=bias))
    mlp = MLP("ffn", width, c.intermediate_size, bias=c.flag("mlp_bias"))
    layer = encoder_layer(c, norms=("rms_norm1", "rms_norm2"), attention=attention, mlp=mlp, norm=Norm)
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            patches(c, f"{root}.embeddings.patch_embedding", bias=True),
            Positions(f"{root}.embeddings.position_embedding", (c.image_size // c.patch_size) ** 2, width),
            Norm(f"{root}.embeddings.rms_norm", width),
        ),
        after=(Norm(f"{root}.rms_norm", width),),
        tower="vision",
    )


def own_aimv2(c: Config, root: str) -> Stack:
    """AIMv2 as its authors' own code (modeling_aimv2.py) spells it."""
    width, bias = c.hidden_size, c.flag("use_bias")
    attention = whole_heads(c, "attn", names=Names(out="proj", fused="qkv"), biases=Biases(c.flag("qkv_bias"), bias))
    mlp = MLP("mlp", width, c.intermediate_size, bias=bias, gate="fc1", up="fc3", down="fc2")
    layer = encoder_layer(c, norms=("norm_1", "norm_2"), attention=attention, mlp=mlp, norm=Norm)
    start = f"{root}.preprocessor"
    places = (1, (c.image_size // c.patch_size) ** 2, width)
    return Stack(
        f"{root}.trunk.blocks",
        width,
        (layer,) * times(c.num_hidden_layers),
        before=(
            patches(c, f"{start}.patchifier.proj", bias=True),
            Norm(f"{start}.patchifier.norm", width),
            vectors(start, pos_embed=places),
        ),
        after=(Norm(f"{root}.trunk.post_trunk_norm", width),),
        tower="vision",
    )
