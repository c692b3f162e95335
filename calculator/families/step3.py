"""Step 3.5 and 3.7 (StepFun): sliding windows with more heads, one gate a head, and a vision tower beside it."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    decoder,
    family,
    gated_mlp,
    layer_types,
    self_attention,
    windows,
)
from calculator.families.image_towers import convolution, vectors
from calculator.families.shared import prediction_notes, with_towers
from calculator.families.towers import patches
from calculator.model import Layer, Stack
from calculator.parts import MLP, Experts, Linear, Norm, Part, Residual, VectorWeights


def mixtures(c: Config) -> list[bool]:
    """Which layers are mixtures: mlp_layer_types, or moe_layers_enum ("3,4,5"), or all from the fourth on."""
    count, listed, named = c.num_hidden_layers, c.get("mlp_layer_types"), c.get("moe_layers_enum")
    if listed:
        return [kind == "sparse" for kind in listed[:count]]
    if named is not None:
        items = named.split(",") if isinstance(named, str) else named
        chosen = {int(i) for i in items if str(i).strip()}
        return [i in chosen for i in range(count)]
    return [i >= 3 for i in range(count)]


@family("step3p5")
def step3p5(c: Config) -> Blueprint:
    """Grouped queries with a sigmoid gate for each head; layers with a window may have other query heads; the experts'
    projections are three tensors a layer. Lists may go on for the multi-token-prediction layers."""
    width, count = c.hidden_size, c.num_hidden_layers
    listed = c.get("layer_types")
    if isinstance(listed, list) and len(listed) > count:
        c = Config({**c.values_, "layer_types": listed[:count]}, c.model_type, where=c.where)
    other = c.get("attention_other_setting") or {}
    narrow = c.get("num_sliding_attention_heads") or other.get("num_attention_heads") or c.num_attention_heads
    whole = self_attention(
        c,
        head_norm="head",
        gate_name="g_proj",
        gate_per_head=c.get("gating") in (True, "per-head"),
    )
    experts = Experts(
        "moe",
        width,
        c.moe_intermediate_size,
        c.n_routed_experts,
        c.num_experts_per_tok,
        correction=True,
        correction_name="router_bias",
        prefix="",
        apart=True,
    )
    shared = MLP("share_expert", width, c.share_expert_dim, bias=c.flag("mlp_bias"))
    layers = []
    for window, mixed in zip(windows(c, layer_types(c, lambda i: "full_attention")), mixtures(c), strict=True):
        attention = whole if window is None else replace(whole, heads=narrow, window=window)
        channel: tuple[Part, ...] = (experts, shared, Residual("shared_residual", width)) if mixed else (gated_mlp(c),)
        parts = (
            Norm("input_layernorm", width),
            attention,
            Residual("mixer_residual", width),
            Norm("post_attention_layernorm", width),
            *channel,
            Residual("channel_residual", width),
        )
        layers.append(Layer(f"{attention_kind(window)} + {'experts' if mixed else 'mlp'}", parts))
    return decoder(c, layers, notes=prediction_notes(c))


@family("step3p7")
def step3p7(c: Config) -> Blueprint:
    """A tower with scaled branches, and two strided convolutions behind it."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "vision_model"
    width, made = vision.hidden_size, 2 * vision.hidden_size
    inner = int(width * vision.mlp_ratio)
    block = Layer(
        "vision",
        (
            Norm("ln_1", width, "layer", True),
            vectors("attn", in_proj_weight=(3 * width, width), in_proj_bias=(3 * width,)),
            Linear("attn.out_proj", width, width, True, component="attention"),
            Residual("mixer_residual", width),
            Norm("ln_2", width, "layer", True),
            MLP("mlp", width, inner, gated=False, bias=True, up="c_fc", down="c_proj"),
            VectorWeights("", (("ls_1.gamma", (width,)), ("ls_2.gamma", (width,)))),
            Residual("channel_residual", width),
        ),
    )
    tower = Stack(
        f"{root}.transformer.resblocks",
        width,
        (block,) * vision.num_hidden_layers,
        before=(
            patches(vision, f"{root}.conv1", bias=False),
            vectors(root, positional_embedding=((vision.image_size // vision.patch_size) ** 2, width)),
            Norm(f"{root}.ln_pre", width, "layer", True),
        ),
        after=(
            convolution(f"{root}.vit_downsampler1", width, made, 3, bias=True),
            convolution(f"{root}.vit_downsampler2", made, 2 * made, 3, bias=True),
            Linear("vit_large_projector", 2 * made, text.hidden_size, c.flag("projector_bias")),
        ),
        tower="vision",
    )
    return with_towers(c, "step3p5", (tower,), new="model.")
