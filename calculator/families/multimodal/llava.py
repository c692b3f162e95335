"""A known image tower, a small projector, and a language model of any known type: LLaVA's kind."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.decoders.llama import phi3
from calculator.families.fields import changed, renamed
from calculator.families.layers import layer_norm, plain_mlp, whole_heads
from calculator.families.models import HELD, beside, decoder, with_towers
from calculator.families.multimodal.original import is_original, original_llava
from calculator.families.registry import FAMILIES, Blueprint, family
from calculator.families.towers.images import intern_vit, intern_vit_6b, sam, sam_neck
from calculator.families.towers.pieces import feature_layers, square, two_layer_projector, vectors
from calculator.families.towers.vision import clip, image_tower, llama4_vision, pixtral, siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import Linear, Names, Norm, Part, Positions, Residual, VectorWeights


def llava_projector(c: Config) -> tuple[Part, ...]:
    inputs, width = c.section("vision_config").hidden_size * feature_layers(c), c.section("text_config").hidden_size
    return two_layer_projector("multi_modal_projector", inputs, width, width, c.flag("multimodal_projector_bias"))


@family("llava")
def llava(c: Config) -> Blueprint:
    """LLaVA 1.5 (arXiv:2310.03744); its authors' own configs state the same type."""
    if is_original(c):
        return original_llava(c)
    return beside(c, image_tower(c.section("vision_config"), "vision_tower", llava_projector(c)))


@family("llava_next", "llava_next_video", "llava_onevision")
def llava_next(c: Config) -> Blueprint:
    """One learned token ends each row of patches."""
    newline = VectorWeights("", (("image_newline", (c.section("text_config").hidden_size,)),))
    return beside(c, image_tower(c.section("vision_config"), "vision_tower", (newline, *llava_projector(c))))


@family("vipllava")
def vipllava(c: Config) -> Blueprint:
    """Several of the tower's layers, normalised together (arXiv:2312.00784)."""
    vision, width = c.section("vision_config"), c.section("text_config").hidden_size
    inputs, root = vision.hidden_size * feature_layers(c), "multi_modal_projector"
    norm = layer_norm(f"{root}.projector_layernorm", inputs)
    return beside(c, image_tower(vision, "vision_tower", (norm, *two_layer_projector(root, inputs, width, width))))


@family("video_llava")
def video_llava(c: Config) -> Blueprint:
    """Two towers of one shape, for images and for videos (arXiv:2311.10122)."""
    vision = c.section("vision_config")
    return beside(c, image_tower(vision, "image_tower"), image_tower(vision, "video_tower", llava_projector(c)))


@family("paligemma")
def paligemma(c: Config) -> Blueprint:
    """SigLIP and Gemma, joined by one matrix (arXiv:2407.07726)."""
    vision = c.section("vision_config")
    width = vision.projection_dim if vision.get("projection_dim") else c.projection_dim
    projector = Linear("multi_modal_projector.linear", vision.hidden_size, width, True)
    return beside(c, image_tower(vision, "vision_tower", (projector,)))


@family("aya_vision")
def aya_vision(c: Config) -> Blueprint:
    """Neighbouring patches joined, and a gated projector."""
    vision, width = c.section("vision_config"), c.section("text_config").hidden_size
    joined, root = vision.hidden_size * c.downsample_factor**2, "multi_modal_projector"
    inner = c.alignment_intermediate_size if c.get("alignment_intermediate_size") is not None else width
    projector = (
        layer_norm(f"{root}.layernorm", joined),
        Linear(f"{root}.linear_1", joined, inner, True),
        Linear(f"{root}.linear_2", inner // 2, width, True),
    )
    return beside(c, image_tower(vision, "vision_tower", projector))


@family("cohere2_vision")
def cohere2_vision(c: Config) -> Blueprint:
    """Aya Vision's projector without its norm (arXiv:2507.18560)."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined, inner, root = vision.hidden_size * c.downsample_factor**2, c.alignment_intermediate_size, "model"
    projector = (
        Linear(f"{root}.multi_modal_projector.linear_1", joined, inner, True),
        Linear(f"{root}.multi_modal_projector.linear_2", inner // 2, text.hidden_size, True),
    )
    return with_towers(c, image_tower(vision, f"{root}.vision_tower", projector))


@family("internvl")
def internvl(c: Config) -> Blueprint:
    """InternVL 2.5 to 3.5 (arXiv:2504.10479): InternViT, neighbouring patches joined."""
    vision, width = c.section("vision_config", "internvl_vision"), c.section("text_config").hidden_size
    joined, root = vision.hidden_size * int(1 / c.downsample_ratio) ** 2, "multi_modal_projector"
    norm = layer_norm(f"{root}.layer_norm", joined)
    projector = (norm, *two_layer_projector(root, joined, width, width))
    return beside(c, intern_vit(vision, "vision_tower", projector))


@family("internvl_chat", "qianfan_ocr")
def internvl_chat(c: Config) -> Blueprint:
    """InternVL as OpenGVLab's own code (modeling_internvl_chat.py) and Qianfan-OCR spell it."""
    remote = c.model_type == "internvl_chat"
    field = "llm_config" if remote else "text_config"
    vision = c.section("vision_config", "qianfan_ocr_vision")
    if remote:
        vision = renamed(vision, attention_bias="qkv_bias", use_qk_norm="qk_normalization")
    width = c.section(field).hidden_size
    joined = vision.hidden_size * int(1 / c.downsample_ratio) ** 2
    projector = (
        layer_norm("mlp1.0", joined),
        Linear("mlp1.1", joined, width, True),
        Linear("mlp1.3", width, width, True),
    )
    return beside(c, intern_vit_6b(vision, "vision_model", projector), field=field, own_ties=remote)


@family("lighton_ocr")
def lighton_ocr(c: Config) -> Blueprint:
    """Mistral 3's merger and projector without biases, and Qwen 3 (arXiv:2601.14251)."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_projection"
    width = vision.hidden_size
    projector: tuple[Part, ...] = (
        Norm(f"{root}.norm", width),
        Linear(f"{root}.patch_merger.merging_layer", width * c.spatial_merge_size**2, width),
        *two_layer_projector(root, width, text.hidden_size, text.hidden_size, bias=False),
    )
    return with_towers(c, pixtral(vision, "model.vision_encoder", projector))


@family("deepseek_vl")
def deepseek_vl(c: Config) -> Blueprint:
    """SigLIP and two matrices (arXiv:2403.05525)."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.aligner"
    projector = (
        Linear(f"{root}.linear1", vision.hidden_size, text.hidden_size, True),
        Linear(f"{root}.linear2", text.hidden_size, text.hidden_size, True),
    )
    return with_towers(c, siglip(vision, "model.vision_model", projector))


@family("deepseek_vl_hybrid")
def deepseek_vl_hybrid(c: Config) -> Blueprint:
    """A second tower, SAM's, for fine detail; one of its early maps passes a neck of its own."""
    vision, fine, text = (c.section(n) for n in ("vision_config", "high_res_vision_config", "text_config"))
    width, made, root = text.hidden_size, fine.output_channels, "model.aligner"
    detail = "model.high_res_vision"
    more = (
        *sam_neck(f"{detail}_neck", fine.hidden_size, made),
        square(f"{detail}_proj.conv1", made, 2 * made, 3, bias=False),
        square(f"{detail}_proj.conv2", 2 * made, 4 * made, 3, bias=False),
        vectors("model", high_res_vision_alpha=(1,)),
    )
    projector = (
        Linear(f"{root}.vision_proj", vision.hidden_size, width // 2, True),
        Linear(f"{root}.high_res_vision_proj", 4 * made, width // 2, True),
        Linear(f"{root}.proj", width, width, True),
    )
    towers = (
        sam(fine, f"{detail}_model.vision_encoder", more),
        siglip(vision, "model.vision_model", projector),
    )
    return with_towers(c, *towers)


@family("video_llama_3")
def video_llama_3(c: Config) -> Blueprint:
    """SigLIP with rotary positions instead of learned ones (arXiv:2501.13106)."""
    vision, text = c.section("vision_config"), c.section("text_config")
    projector = video_llama_projector("model.projector", vision.hidden_size, text.hidden_size)
    return with_towers(c, rotary_siglip(vision, "model.vision_model", projector))


@family("videollama3_qwen2")
def videollama3_qwen2(c: Config) -> Blueprint:
    """VideoLLaMA 3 as its authors' own code (modeling_videollama3.py) spells it: Qwen2's fields at the top level."""
    vision, text = (
        c.section("vision_encoder_config", "video_llama_3_vision"),
        Config(c.raw, "qwen2", where=c.where, like=c),
    )
    projector = video_llama_projector("model.mm_projector", vision.hidden_size, text.hidden_size)
    built = FAMILIES["qwen2"](text)
    tower = rotary_siglip(renamed(vision), "model.vision_encoder", projector)
    return replace(built, towers=(tower,), notes=(*built.notes, HELD))


def video_llama_projector(name: str, inputs: int, outputs: int) -> tuple[Part, ...]:
    return Linear(f"{name}.readout.0", inputs, outputs, True), Linear(f"{name}.readout.2", outputs, outputs, True)


def rotary_siglip(c: Config, root: str, after: tuple[Part, ...]) -> Stack:
    stack = siglip(changed(c, num_patches=1), root, after)
    return replace(stack, before=stack.before[:1])


@family("got_ocr2")
def got_ocr2(c: Config) -> Blueprint:
    """SAM's encoder, whose map two strided convolutions shrink (arXiv:2409.01704)."""
    vision, width = c.section("vision_config", "got_ocr2_vision"), c.section("text_config").hidden_size
    made, root = vision.output_channels, "multi_modal_projector"
    projector = (
        square(f"{root}.conv_upsampler1", made, 2 * made, 3, bias=False),
        square(f"{root}.conv_upsampler2", 2 * made, width, 3, bias=False),
        Linear(f"{root}.multimodal_projector", width, width, True),
    )
    return beside(c, sam(vision, "vision_tower", projector))


@family("idefics3", "smolvlm")
def idefics3(c: Config) -> Blueprint:
    """Neighbouring patches joined, and one matrix (arXiv:2408.12637)."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined = vision.hidden_size * c.scale_factor**2
    projector = Linear("model.connector.modality_projection.proj", joined, text.hidden_size)
    tower = siglip(vision, "model.vision_model", (projector,))
    return with_towers(c, tower, new="model.text_model.")


# The vision tower that the code of Phi-3-vision and 3.5-vision fixes, whatever the config says.
CLIP_LARGE_336 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_channels": 3,
    "image_size": 336,
    "patch_size": 14,
}


@family("phi3_v")
def phi3_v(c: Config) -> Blueprint:
    """Phi-3 with CLIP (arXiv:2103.00020): four neighbouring patches become one token through two projections."""
    inner = phi3(c)
    vision, width = Config(CLIP_LARGE_336, "clip_vision_model"), c.hidden_size
    root = "model.vision_embed_tokens"
    tower, merged = f"{root}.img_processor.vision_model", 4 * vision.hidden_size
    separators = (("glb_GN", (1, 1, merged)), ("sub_GN", (1, 1, 1, merged)))
    projector: tuple[Part, ...] = (
        VectorWeights(root, separators),
        Linear(f"{root}.img_projection.0", merged, width, True),
        Linear(f"{root}.img_projection.2", width, width, True),
    )
    return replace(inner, towers=(clip(vision, tower, projector),), notes=(*inner.notes, HELD))


@family("git")
def git(c: Config) -> Blueprint:
    """GIT (arXiv:2205.14100): BERT's layers read the patches as a prefix of the text."""
    width, vision = c.hidden_size, c.section("vision_config", "git_vision_model")
    attention = whole_heads(
        c,
        "attention",
        names=Names(query="self.query", key="self.key", value="self.value", out="output.dense"),
        dropout=bool(c.get("attention_probs_dropout_prob")),
    )
    dropout = bool(c.get("hidden_dropout_prob"))
    parts = (
        attention,
        Residual("mixer_residual", width, dropout),
        layer_norm("attention.output.LayerNorm", width),
        plain_mlp(c, "", up="intermediate.dense", down="output.dense"),
        Residual("channel_residual", width, dropout),
        layer_norm("output.LayerNorm", width),
    )
    built = decoder(
        c,
        Layer("full attention", parts),
        path="git.encoder.layer",
        embedding="git.embeddings.word_embeddings",
        head="output",
        head_bias=True,
        before=(
            Positions("git.embeddings.position_embeddings", c.max_position_embeddings, width),
            layer_norm("git.embeddings.LayerNorm", width),
        ),
    )
    frames = c.get("num_image_with_embedding") or 0
    root = "git.visual_projection.visual_projection"
    projector: tuple[Part, ...] = (
        *(vectors("git", **{f"img_temporal_embedding.{i}": (1, 1, vision.hidden_size) for i in range(times(frames))}),),
        Linear(f"{root}.0", vision.hidden_size, width, True),
        layer_norm(f"{root}.1", width),
    )
    tower = clip(vision, "git.image_encoder.vision_model", projector)
    # The layers are post-norm: nothing stands between the last one and the head.
    return replace(built, text=replace(built.text, after=built.text.after[1:]), towers=(tower,))


@family("fuyu")
def fuyu(c: Config) -> Blueprint:
    """No tower: the language model reads patches through one matrix."""
    text = c.section("text_config")
    pixels = c.num_channels * c.patch_size**2
    projector = Linear("vision_embed_tokens", pixels, text.hidden_size, True)
    tower = Stack("vision_embed_tokens", text.hidden_size, (), after=(projector,), tower="vision")
    return beside(c, tower)


@family("llama4")
def llama4(c: Config) -> Blueprint:
    tower = llama4_vision(c.section("vision_config"), c.section("text_config").hidden_size)
    return beside(c, tower, text="llama4_text", own_ties=True)


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
    return beside(c, tower)
