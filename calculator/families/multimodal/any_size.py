"""Language models beside towers for images of any size: Qwen-VL's kind."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import renamed, restated
from calculator.families.layers import layer_norm
from calculator.families.mixtures.latent import packed
from calculator.families.models import beside, each_part, moved, with_towers
from calculator.families.registry import Blueprint, family
from calculator.families.towers.any_size import glm4v_vision, glm_ocr_vision, kimi_vision, qwen2_tower, qwen3_tower
from calculator.families.towers.vision import siglip, siglip2
from calculator.parts import Attention, Linear, Part


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
    return beside(c, tower)


@family("glm4v", "glm4v_moe", "glm46v")
def glm4v(c: Config) -> Blueprint:
    text = c.section("text_config", f"{c.model_type}_text").model_type
    return with_towers(c, glm4v_vision(c.section("vision_config", "glm4v_vision")), text=text)


@family("lfm2_vl")
def lfm2_vl(c: Config) -> Blueprint:
    """A SigLIP 2 tower whose neighbouring patches are joined, and a two-layer projector."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined, inner, bias = vision.hidden_size * c.downsample_factor**2, c.projector_hidden_size, c.flag("projector_bias")
    root = "model.multi_modal_projector"
    norm = (layer_norm(f"{root}.layer_norm", joined),) if c.flag("projector_use_layernorm") else ()
    projector = (
        *norm,
        Linear(f"{root}.linear_1", joined, inner, bias),
        Linear(f"{root}.linear_2", inner, text.hidden_size, bias),
    )
    tower = siglip2(vision, "model.vision_tower.vision_model", projector)
    return with_towers(c, tower)


@family("qwen2_vl", "qwen2_5_vl")
def qwen2_vl(c: Config) -> Blueprint:
    """Published files state the language model's fields at the top level, not in text_config."""
    if not c.get("text_config"):
        fields = {name: value for name, value in c.raw.items() if name not in ("model_type", "vision_config")}
        c = restated(c, text_config=fields)
    kind = c.model_type
    vision = Config({**c.section("vision_config").raw}, f"{kind}_vision", where=f"vision_config of {c.where}")
    tower = qwen2_tower(vision, gated=kind == "qwen2_5_vl")
    return with_towers(c, tower, text=f"{kind}_text", new="model.")


@family("qwen3_vl")
def qwen3_vl(c: Config) -> Blueprint:
    return with_towers(c, qwen3_tower(c.section("vision_config")), text="qwen3")


@family("qwen3_vl_moe")
def qwen3_vl_moe(c: Config) -> Blueprint:
    """Unlike Qwen3-MoE, the checkpoint packs each layer's experts into one tensor."""
    built = with_towers(c, qwen3_tower(c.section("vision_config")), text="qwen3_moe")
    return replace(built, text=each_part(built.text, packed))


@family("exaone4_5")
def exaone4_5(c: Config) -> Blueprint:
    """Qwen2.5-VL's tower with grouped queries."""
    text = {**c.section("text_config").raw}
    if text.get("model_type") == "exaone4_5_text":
        text["model_type"] = "exaone4"
        c = restated(c, text_config=text)
    vision = c.section("vision_config")
    tower = moved(qwen2_tower(vision, gated=True), "visual", "model.visual")

    def grouped(part: Part) -> Part:
        return replace(part, kv_heads=vision.num_key_value_heads) if isinstance(part, Attention) else part

    return with_towers(c, each_part(tower, grouped))


@family("glm_ocr")
def glm_ocr(c: Config) -> Blueprint:
    """GLM-4.1V's tower without its learned positions, with norms on queries and keys and wider MLPs."""
    return with_towers(c, glm_ocr_vision(c.section("vision_config")), text="glm_ocr_text")


@family("paddleocr_vl")
def paddleocr_vl(c: Config) -> Blueprint:
    """A SigLIP tower for images of any shape and ERNIE 4.5 (arXiv:2510.14528)."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined = vision.hidden_size * vision.spatial_merge_size**2
    projector = (
        layer_norm("mlp_AR.pre_norm", vision.hidden_size),
        Linear("mlp_AR.linear_1", joined, joined, True),
        Linear("mlp_AR.linear_2", joined, text.hidden_size, True),
    )
    return with_towers(c, siglip(vision, "visual.vision_model", projector), text="paddleocr_vl_text", new="model.")


@family("glmga")
def glmga(c: Config) -> Blueprint:
    """GLM-4.6V under a name of its own; the language model's type is stated."""
    return with_towers(c, glm4v_vision(c.section("vision_config")))


@family("hyperclovax_vision_v2")
def hyperclovax_vision_v2(c: Config) -> Blueprint:
    """Qwen2.5-VL's tower with its merger, and one projection."""
    vision, text = c.section("vision_config"), c.section("text_config")
    tower = moved(qwen2_tower(vision, gated=True), "visual", "model.vision_model")
    projector = Linear("model.vision_projector", vision.out_hidden_size, text.hidden_size, True)
    towers = (replace(tower, after=(*tower.after, projector)),)
    # The checkpoint holds the whole of the language model, head and all, inside `language_model`.
    root = "model.language_model"
    return with_towers(c, *towers, new=f"{root}.model.", head=f"{root}.lm_head")


@family("cosmos3_omni")
def cosmos3_omni(c: Config) -> Blueprint:
    """Qwen3-VL, in a checkpoint that names it as a diffusion model's text encoder: without prefixes, its projections
    to_q, to_k, to_v and to_out."""
    built = with_towers(c, moved(qwen3_tower(c.section("vision_config")), "model.visual.", ""), text="qwen3", new="")

    def named(part: Part) -> Part:
        if not isinstance(part, Attention):
            return part
        return replace(
            part,
            names=replace(part.names, query="to_q", key="to_k", value="to_v", out="to_out"),
            norms=replace(part.norms, names=("norm_q", "norm_k")),
        )

    return replace(built, text=each_part(built.text, named))
