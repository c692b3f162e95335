"""Llama 4, Mistral 3 and Kimi K2.5: language models with a vision tower beside them."""

from __future__ import annotations

from typing import Any

from calculator.config import Config
from calculator.families.common import Blueprint, blueprint, family, gated_mlp, language_model, pre_norm, self_attention
from calculator.families.dense import mistral, qwen2
from calculator.families.shared import renamed, with_towers
from calculator.families.towers import glm4v_vision, kimi_vision, llama4_vision, pixtral, qwen2_tower, siglip2
from calculator.model import Layer
from calculator.parts import MLP, Experts, Linear, Norm, Part


@family("llama4_text")
def llama4_text(c: Config) -> Blueprint:
    """Chunked attention with rotary positions in most layers, full attention without positions in the others; experts
    in every interleave_moe_layer_step-th layer."""
    count: int = c.num_hidden_layers
    interval: int = c.no_rope_layer_interval
    rotated = c.get("no_rope_layers") or [
        int((i + 1) % interval != 0) for i in range(count)
    ]  # 1 means rotary, despite the name
    types = c.get("layer_types") or ["chunked_attention" if r else "full_attention" for r in rotated]
    step: int = c.interleave_moe_layer_step
    mixed = set(range(step - 1, count, step) if c.get("moe_layers") is None else c.moe_layers)
    experts = Experts(
        "feed_forward",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        shared=c.intermediate_size,
        shared_name="shared_expert",
        router="router",
        packed=True,
    )
    mlp = MLP("feed_forward", c.hidden_size, c.intermediate_size_mlp)

    def layer(i: int) -> Layer:
        changes: dict[str, Any] = {} if rotated[i] else {"rotary": 0}
        attention = self_attention(
            c,
            window=c.attention_chunk_size if types[i] == "chunked_attention" else None,
            chunked=types[i] == "chunked_attention",
            head_norm="plain" if c.flag("use_qk_norm") and rotated[i] else None,
            **changes,
        )
        kind = f"{types[i].replace('_', ' ')} + {'experts' if i in mixed else 'mlp'}"
        return pre_norm(c, attention, experts if i in mixed else mlp, kind=kind)

    return blueprint(c, language_model(c, [layer(i) for i in range(count)]))


@family("llama4")
def llama4(c: Config) -> Blueprint:
    tower = llama4_vision(c.section("vision_config"), c.section("text_config").hidden_size)
    return with_towers(
        c, "llama4_text", (tower,), new="language_model.model.", head="language_model.lm_head", own_ties=True
    )


@family("ministral3")
def ministral3(c: Config) -> Blueprint:
    return mistral(c)


@family("ministral")
def ministral(c: Config) -> Blueprint:
    types = (
        c.get("layer_types")
        or ["sliding_attention" if c.get("sliding_window") else "full_attention"] * c.num_hidden_layers
    )
    layers = [
        pre_norm(
            c,
            self_attention(c, window=c.sliding_window if t == "sliding_attention" else None),
            gated_mlp(c),
            kind=t.replace("_", " "),
        )
        for t in types
    ]
    return blueprint(c, language_model(c, layers))


@family("mistral3")
def mistral3(c: Config) -> Blueprint:
    """Pixtral's tower, a merger of neighbouring patches, and a two-layer projector."""
    vision, text = c.section("vision_config"), c.section("text_config")
    width, bias, root = vision.hidden_size, c.flag("multimodal_projector_bias"), "multi_modal_projector"
    features = c.get("vision_feature_layer")
    stacked = len(features) if isinstance(features, list) else 1
    projector: tuple[Part, ...] = (
        Norm(f"{root}.norm", width),
        Linear(f"{root}.patch_merger.merging_layer", width * c.spatial_merge_size**2, width),
        Linear(f"{root}.linear_1", width * stacked, text.hidden_size, bias),
        Linear(f"{root}.linear_2", text.hidden_size, text.hidden_size, bias),
    )
    tower = pixtral(vision, "vision_tower", projector)
    return with_towers(c, text.model_type, (tower,), new="language_model.model.", head="language_model.lm_head")


@family("kimi_k25")
def kimi_k25(c: Config) -> Blueprint:
    """DeepSeek-V3's language model; the checkpoints write the tower's fields under older names."""
    text = c.section("text_config")
    vision = renamed(
        c.section("vision_config"),
        hidden_size="vt_hidden_size",
        intermediate_size="vt_intermediate_size",
        num_attention_heads="vt_num_attention_heads",
        num_hidden_layers="vt_num_hidden_layers",
        pos_emb_height="init_pos_emb_height",
        pos_emb_width="init_pos_emb_width",
    )
    # The published files name the width of the projector's norm inside vision_config, where it is the tower's.
    published = "vt_hidden_size" in vision
    tower = kimi_vision(vision, text.hidden_size, vision.hidden_size if published else c.projection_hidden_size)
    return with_towers(c, text.model_type, (tower,), new="language_model.model.", head="language_model.lm_head")


@family("glm4v", "glm4v_moe", "glm46v")
def glm4v(c: Config) -> Blueprint:
    text = c.section("text_config", f"{c.model_type}_text").model_type
    return with_towers(c, text, (glm4v_vision(c.section("vision_config", "glm4v_vision")),))


@family("lfm2_vl")
def lfm2_vl(c: Config) -> Blueprint:
    """A SigLIP 2 tower whose neighbouring patches are joined, and a two-layer projector."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined, inner, bias = vision.hidden_size * c.downsample_factor**2, c.projector_hidden_size, c.flag("projector_bias")
    root = "model.multi_modal_projector"
    norm = (Norm(f"{root}.layer_norm", joined, "layer", True),) if c.flag("projector_use_layernorm") else ()
    projector = (
        *norm,
        Linear(f"{root}.linear_1", joined, inner, bias),
        Linear(f"{root}.linear_2", inner, text.hidden_size, bias),
    )
    tower = siglip2(vision, "model.vision_tower.vision_model", projector)
    return with_towers(c, text.model_type, (tower,))


@family("qwen2_vl_text", "qwen2_5_vl_text")
def qwen2_vl_text(c: Config) -> Blueprint:
    return qwen2(c)


@family("qwen2_vl", "qwen2_5_vl")
def qwen2_vl(c: Config) -> Blueprint:
    """Published files state the language model's fields at the top level, not in text_config."""
    if not c.get("text_config"):
        fields = {name: value for name, value in c.raw.items() if name not in ("model_type", "vision_config")}
        c = Config({**c.raw, "text_config": fields}, c.model_type, where=c.where)
    kind = c.model_type
    vision = Config({**c.section("vision_config").raw}, f"{kind}_vision", where=f"vision_config of {c.where}")
    tower = qwen2_tower(vision, gated=kind == "qwen2_5_vl")
    return with_towers(c, f"{kind}_text", (tower,), new="model.")
