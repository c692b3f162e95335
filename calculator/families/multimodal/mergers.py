"""Towers of a type's own, whose neighbouring patches are merged behind them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from calculator.config import Config
from calculator.families.fields import changed, head_shape, renamed
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.models import with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.conformers import parakeet
from calculator.families.towers.pieces import block, convolution, encoder_layer, held, linears, patches, square, vectors
from calculator.families.towers.vision import siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    Embedding,
    HeadNorms,
    Linear,
    Names,
    Norm,
    Part,
    Residual,
    VectorWeights,
)


@family("lfm3_vl")
def lfm3_vl(c: Config) -> Blueprint:
    """LFM3's blocks over patches: gated two-dimensional convolutions between attentions, patches merged at the end."""
    vision, text = c.section("vision_config"), c.section("text_config")
    width, count, root = vision.hidden_size, vision.num_hidden_layers, "model.vision_tower"
    heads, kv_heads, head_dim = head_shape(vision)
    attention = Attention(
        "self_attn",
        width,
        heads,
        kv_heads,
        head_dim,
        names=Names(out="out_proj"),
        norms=HeadNorms("head", names=("q_layernorm", "k_layernorm")),
        rotary=head_dim,
    )
    kernel = vision.conv_kernel_size
    mixing: tuple[Part, ...] = (
        Linear("conv.in_proj", width, 3 * width),
        convolution("conv.spatial_conv", width, 1, kernel, kernel, bias=False),
        Linear("conv.out_proj", width, width),
    )
    channel = MLP("feed_forward", width, vision.intermediate_size, gate="w1", up="w3", down="w2")
    types = vision.get("layer_types") or ["conv" if i < 2 or i % 2 else "full_attention" for i in range(times(count))]

    def layer(kind: str) -> Layer:
        norms = Norm("operator_norm", width), Norm("ffn_norm", width)
        mixer = mixing if kind == "conv" else (attention,)
        return replace(block(width, norms, mixer, (channel,)), kind="vision")

    merged, inner, bias = width * vision.spatial_merge_size**2, c.projector_hidden_size, c.flag("projector_bias")
    place = "model.multi_modal_projector"
    named = ("linear_1", merged, inner), ("linear_2", inner, text.hidden_size)
    pixels = vision.in_channels * area(vision.patch_size) * depth(vision.temporal_patch_size)
    tower = Stack(
        f"{root}.layers",
        width,
        tuple(map(layer, types)),
        (Linear(f"{root}.patchifier", pixels, width),),
        (
            Norm(f"{root}.embedding_norm", width),
            layer_norm(f"{place}.layer_norm", width),
            *linears(place, *named, bias=bias),
        ),
        "vision",
    )
    return with_towers(c, tower)


def area(patch: int | list[int]) -> int:
    """Pixels of a patch given by its side or by both sides."""
    return prod(patch) if isinstance(patch, list) else patch * patch


def depth(patch: int | list[int]) -> int:
    """Frames of a patch."""
    return patch[0] if isinstance(patch, list) else patch


@family("granite_docling")
def granite_docling(c: Config) -> Blueprint:
    """SigLIP, whose patches are joined on a coarse way and on a fine one, each with mergers of earlier layers."""
    vision = c.section("vision_config")
    width, made, root = vision.hidden_size, vision.out_hidden_size, "model.vision_model"
    place, factor = f"{root}.connector", vision.scale_factor
    earlier = vision.get("deepstack_visual_indexes")
    mergers = len([3, 7, 10] if earlier is None else earlier)

    def way(name: str, side: int) -> tuple[Part, ...]:
        joined = width * side * side
        parts: list[Part] = [Linear(f"{place}.{name}.projection", joined, made)]
        for i in range(times(mergers)):
            merger = f"{place}.{name}.deepstack_mergers.{i}"
            parts.append(layer_norm(f"{merger}.layer_norm", joined))
            parts += linears(merger, ("linear_1", joined, made), ("linear_2", made, made))
        return tuple(parts)

    after = (
        layer_norm(f"{place}.ln_in", width),
        *way("coarse", factor),
        *(way("fine", factor // 2) if vision.flag("use_fine_route") else ()),
        layer_norm(f"{place}.ln_mid", made),
        Linear(f"{place}.mlp_fc2", made, made),
        layer_norm(f"{place}.ln_out", made),
        *density_router(c, width),
    )
    tower = siglip(vision, root, after)
    return with_towers(c, tower, text="granite_docling_text", new="model.text_model.")


def density_router(c: Config, width: int) -> tuple[Part, ...]:
    """What chooses the fine way for dense pages."""
    inner = c.get("density_router_hidden_size")
    if inner is None:
        return ()
    root = "model.density_router"
    named = ("att", width, 1), ("fc1", width, inner), ("fc2", inner, 1)
    return (*linears(root, *named), layer_norm(f"{root}.norm", width))


@family("nemotron_h_omni")
def nemotron_h_omni(c: Config) -> Blueprint:
    """Nemotron-H that sees through RADIO, and hears through Parakeet where audio_config is there. Published files say
    llm_config, sound_config and vit_hidden_size."""
    c = renamed(c, text_config="llm_config", audio_config="sound_config", vision_hidden_size="vit_hidden_size")
    text, vision = c.section("text_config"), c.section("vision_config")
    width, seen, inner = text.hidden_size, c.vision_hidden_size, c.projector_hidden_size
    joined = seen * int(1 / c.downsample_ratio) ** 2
    after: list[Part] = [Norm("mlp1.0", joined), Linear("mlp1.1", joined, inner), Linear("mlp1.3", inner, width)]
    if text.get("num_nextn_predict_layers"):
        after.insert(0, layer_norm("vision_final_layernorm", seen))
    towers = [radio(vision, "vision_model.radio_model", c.get("video_temporal_patch_size"), tuple(after))]
    if c.get("audio_config"):
        # The file calls the part "parakeet", which is no type; its encoder has no biases unless it says so.
        stated = {**c.section("audio_config").raw}
        stated.pop("model_type", None)
        where = f"audio_config of {c.where}"
        audio = Config({"attention_bias": False, **stated}, "parakeet_encoder", where=where)
        heard, between, root = audio.hidden_size, audio.projection_hidden_size, "sound_projection"
        named = ("linear1", heard, between), ("linear2", between, width)
        projector = (Norm(f"{root}.norm", heard), *linears(root, *named, bias=audio.flag("projection_bias")))
        towers.append(parakeet(audio, "sound_encoder.encoder", projector))
    c = changed(c, tie_word_embeddings=text.flag("tie_word_embeddings"))
    place = "language_model"
    return with_towers(c, *towers, old="backbone.", new=f"{place}.backbone.", head=f"{place}.lm_head")


def radio(c: Config, root: str, frames: int | None, after: tuple[Part, ...]) -> Stack:
    """RADIO (arXiv:2312.06709): flat patches of images and perhaps of videos, class tokens and registers, pre-norm
    blocks with a scale on each branch."""
    width: int = c.hidden_size
    inner = int(width * c.mlp_ratio)
    mlp = plain_mlp(c, "mlp", inner)
    if c.flag("use_swiglu_ffn"):
        mlp = MLP("mlp", width, (int(inner * 2 / 3) + 7) // 8 * 8, bias=True)
    attention = whole_heads(
        c, "attn", biases=Biases(qkv=c.flag("qkv_bias"), out=True), names=Names(out="proj", fused="qkv")
    )
    scales = [held(f"layer_scale{i}", (("lambda1", (width,)),)) for i in (1, 2)]
    norms = layer_norm("norm1", width), layer_norm("norm2", width)
    layer = replace(block(width, norms, (attention, scales[0]), (mlp, scales[1])), kind="vision")
    pixels, place = c.num_channels * c.patch_size**2, f"{root}.model.patch_generator"
    side = c.max_img_size // c.patch_size
    tokens = (
        ("cls_token.token", (c.num_cls_tokens + c.num_registers, width)),
        ("pos_embed", (1, side * side, width)),
    )
    films = (Linear(f"{place}.video_embedder", frames * pixels, width),) if frames else ()
    chosen = held(root, (("summary_idxs", (len(c.get("summary_idxs") or (0, 1)),)),), role="buffer")
    before = (Linear(f"{place}.embedder", pixels, width), *films, held(place, tokens), chosen)
    return Stack(f"{root}.model.blocks", width, (layer,) * times(c.num_hidden_layers), before, after, "vision")


@family("step3p7")
def step3p7(c: Config) -> Blueprint:
    """A tower with scaled branches, and two strided convolutions behind it."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "vision_model"
    width, made = vision.hidden_size, 2 * vision.hidden_size
    inner = int(width * vision.mlp_ratio)
    block = Layer(
        "vision",
        (
            layer_norm("ln_1", width),
            vectors("attn", in_proj_weight=(3 * width, width), in_proj_bias=(3 * width,)),
            Linear("attn.out_proj", width, width, True, component="attention"),
            Residual("mixer_residual", width),
            layer_norm("ln_2", width),
            plain_mlp(vision, "mlp", inner, up="c_fc", down="c_proj"),
            VectorWeights("", (("ls_1.gamma", (width,)), ("ls_2.gamma", (width,)))),
            Residual("channel_residual", width),
        ),
    )
    tower = Stack(
        f"{root}.transformer.resblocks",
        width,
        (block,) * times(vision.num_hidden_layers),
        before=(
            patches(vision, f"{root}.conv1", bias=False),
            vectors(root, positional_embedding=((vision.image_size // vision.patch_size) ** 2, width)),
            layer_norm(f"{root}.ln_pre", width),
        ),
        after=(
            square(f"{root}.vit_downsampler1", width, made, 3),
            square(f"{root}.vit_downsampler2", made, 2 * made, 3),
            Linear("vit_large_projector", 2 * made, text.hidden_size, c.flag("projector_bias")),
        ),
        tower="vision",
    )
    return with_towers(c, tower, text="step3p5", new="model.")


@family("minicpmv4_6")
def minicpmv4_6(c: Config) -> Blueprint:
    """A window of patches is merged inside the tower, and again before the language model."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_tower.vit_merger"
    width, area = vision.hidden_size, prod(vision.window_kernel_size)
    joined = 4 * width

    def merger(i: int) -> tuple[Part, ...]:
        name, outputs = f"model.merger.mlp.{i}", text.hidden_size if i == c.merger_times - 1 else width
        return (
            layer_norm(f"{name}.pre_norm", joined),
            Linear(f"{name}.linear_1", joined, joined, True),
            Linear(f"{name}.linear_2", joined, outputs, True),
        )

    after: tuple[Part, ...] = (
        layer_norm(f"{root}.layer_norm1", width),
        whole_heads(vision, f"{root}.self_attn", names=Names(out="out_proj")),
        layer_norm(f"{root}.pre_norm", width * area),
        Linear(f"{root}.linear_1", width * area, vision.intermediate_size * area, True),
        Linear(f"{root}.linear_2", vision.intermediate_size * area, width, True),
        *(part for i in range(times(c.merger_times)) for part in merger(i)),
    )
    return with_towers(c, siglip(vision, "model.vision_tower", after))


@family("muse_glimmer")
def muse_glimmer(c: Config) -> Blueprint:
    """A tower on flat patches of two frames, whose neighbouring outputs are joined."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_tower"
    width: int = vision.hidden_size
    layer = encoder_layer(
        vision,
        norms=("norm1", "norm2"),
        attention=whole_heads(vision, "attn", names=Names(out="proj")),
        mlp=plain_mlp(vision),
    )
    tower = Stack(
        f"{root}.layers",
        width,
        (layer,) * times(vision.num_hidden_layers),
        before=(
            Linear(f"{root}.patch_embedder.patch_embedding", vision.patch_temporal * 3 * vision.patch_size**2, width),
            Embedding(
                f"{root}.patch_embedder.position_embedding_table", vision.pos_emb_height * vision.pos_emb_width, width
            ),
            layer_norm(f"{root}.ln_pre", width),
        ),
        after=(
            layer_norm(f"{root}.ln_post", width),
            Linear("model.vision_adapter.fc1", c.out_hidden_size, c.projector_hidden_size),
            Linear("model.vision_adapter.fc2", c.projector_hidden_size, c.projector_hidden_size),
            Linear("model.vision_projection", c.projector_hidden_size, text.hidden_size),
        ),
        tower="vision",
    )
    return with_towers(c, tower, text="muse_glimmer_text")
