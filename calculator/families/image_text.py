"""Vision-language types with a tower or a language model of their own."""

from __future__ import annotations

from dataclasses import replace
from math import prod

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
from calculator.families.image_towers import clip, vectors
from calculator.families.shared import moved, with_towers
from calculator.families.towers import encoder_layer, patches, plain_mlp, qwen2_tower, siglip, vision_attention
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
)


@family("git")
def git(c: Config) -> Blueprint:
    """GIT (arXiv:2205.14100): BERT's layers read the patches as a prefix of the text."""
    width, vision = c.hidden_size, c.section("vision_config", "git_vision_model")
    attention = Attention(
        "attention",
        width,
        c.num_attention_heads,
        c.num_attention_heads,
        width // c.num_attention_heads,
        query="self.query",
        key="self.key",
        value="self.value",
        out="output.dense",
        qkv_bias=True,
        out_bias=True,
        dropout=bool(c.get("attention_probs_dropout_prob")),
    )
    dropout = bool(c.get("hidden_dropout_prob"))
    parts = (
        attention,
        Residual("mixer_residual", width, dropout),
        Norm("attention.output.LayerNorm", width, "layer", True),
        MLP("", width, c.intermediate_size, gated=False, bias=True, up="intermediate.dense", down="output.dense"),
        Residual("channel_residual", width, dropout),
        Norm("output.LayerNorm", width, "layer", True),
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
            Norm("git.embeddings.LayerNorm", width, "layer", True),
        ),
    )
    frames = c.get("num_image_with_embedding") or 0
    root = "git.visual_projection.visual_projection"
    projector: tuple[Part, ...] = (
        *(vectors("git", **{f"img_temporal_embedding.{i}": (1, 1, vision.hidden_size) for i in range(frames)}),),
        Linear(f"{root}.0", vision.hidden_size, width, True),
        Norm(f"{root}.1", width, "layer", True),
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
    return with_towers(c, text.model_type, (tower,), old="", new="language_model.", head="language_model.lm_head")


@family("exaone4_5")
def exaone4_5(c: Config) -> Blueprint:
    """Qwen2.5-VL's tower with grouped queries."""
    text = {**c.section("text_config").raw}
    if text.get("model_type") == "exaone4_5_text":
        text["model_type"] = "exaone4"
        c = Config({**c.raw, "text_config": text}, c.model_type, where=c.where)
    vision = c.section("vision_config")
    tower = moved(qwen2_tower(vision, gated=True), "visual", "model.visual")

    def grouped(part: Part) -> Part:
        return replace(part, kv_heads=vision.num_key_value_heads) if isinstance(part, Attention) else part

    layers = tuple(replace(layer, parts=tuple(map(grouped, layer.parts))) for layer in tower.layers)
    return with_towers(c, c.section("text_config").model_type, (replace(tower, layers=layers),))


@family("glm_ocr")
def glm_ocr(c: Config) -> Blueprint:
    """GLM-4.1V's tower without its learned positions, with norms on queries and keys and wider MLPs."""
    return with_towers(c, "glm_ocr_text", (glm_ocr_vision(c.section("vision_config")),))


def glm_ocr_vision(c: Config) -> Stack:
    width, outputs, root, bias = c.hidden_size, c.out_hidden_size, "model.visual", c.flag("attention_bias")
    volume = (c.in_channels, c.temporal_patch_size, c.patch_size, c.patch_size)
    heads, merge = c.num_heads, c.spatial_merge_size
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        width // heads,
        fused="qkv",
        out="proj",
        qkv_bias=bias,
        out_bias=bias,
        head_norm="head",
        rotary=width // heads,
    )
    mlp = MLP("mlp", width, c.intermediate_size, bias=bias)
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=mlp, kind="rms")
    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * c.depth,
        before=(PatchEmbedding(f"{root}.patch_embed.proj", prod(volume), width, (width, *volume)),),
        after=(
            Norm(f"{root}.post_layernorm", width),
            PatchEmbedding(f"{root}.downsample", width * merge * merge, outputs, (outputs, width, merge, merge)),
            Linear(f"{root}.merger.proj", outputs, outputs),
            Norm(f"{root}.merger.post_projection_norm", outputs, "layer", True),
            MLP(f"{root}.merger", outputs, outputs * c.in_channels),
        ),
        tower="vision",
    )


@family("paddleocr_vl")
def paddleocr_vl(c: Config) -> Blueprint:
    """A SigLIP tower for images of any shape and ERNIE 4.5 (arXiv:2510.14528)."""
    vision, text = c.section("vision_config"), c.section("text_config")
    joined = vision.hidden_size * vision.spatial_merge_size**2
    projector = (
        Norm("mlp_AR.pre_norm", vision.hidden_size, "layer", True),
        Linear("mlp_AR.linear_1", joined, joined, True),
        Linear("mlp_AR.linear_2", joined, text.hidden_size, True),
    )
    return with_towers(c, "paddleocr_vl_text", (siglip(vision, "visual.vision_model", projector),), new="model.")


@family("minicpmv4_6")
def minicpmv4_6(c: Config) -> Blueprint:
    """A window of patches is merged inside the tower, and again before the language model."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_tower.vit_merger"
    width, area = vision.hidden_size, prod(vision.window_kernel_size)
    joined = 4 * width

    def merger(i: int) -> tuple[Part, ...]:
        name, outputs = f"model.merger.mlp.{i}", text.hidden_size if i == c.merger_times - 1 else width
        return (
            Norm(f"{name}.pre_norm", joined, "layer", True),
            Linear(f"{name}.linear_1", joined, joined, True),
            Linear(f"{name}.linear_2", joined, outputs, True),
        )

    after: tuple[Part, ...] = (
        Norm(f"{root}.layer_norm1", width, "layer", True),
        vision_attention(vision, f"{root}.self_attn", out="out_proj"),
        Norm(f"{root}.pre_norm", width * area, "layer", True),
        Linear(f"{root}.linear_1", width * area, vision.intermediate_size * area, True),
        Linear(f"{root}.linear_2", vision.intermediate_size * area, width, True),
        *(part for i in range(c.merger_times) for part in merger(i)),
    )
    return with_towers(c, text.model_type, (siglip(vision, "model.vision_tower", after),))


@family("muse_glimmer_text")
def muse_glimmer_text(c: Config) -> Blueprint:
    """Sliding windows in three of four layers, gated attention, norms before and after each half; the last layer is a
    full one, and so is every fourth before it."""
    width, count = c.hidden_size, c.num_hidden_layers
    types = layer_types(c, lambda i: "sliding_attention" if (count - 1 - i) % 4 else "full_attention")
    layers = []
    for window in windows(c, types):
        parts = (
            Norm("input_layernorm", width),
            self_attention(c, window=window, head_norm="plain", gate_name="gate_proj"),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            gated_mlp(c, bias=False),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        )
        layers.append(Layer(attention_kind(window), parts))
    return decoder(c, layers)


@family("muse_glimmer")
def muse_glimmer(c: Config) -> Blueprint:
    """A tower on flat patches of two frames, whose neighbouring outputs are joined."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_tower"
    width: int = vision.hidden_size
    layer = encoder_layer(
        vision, norms=("norm1", "norm2"), attention=vision_attention(vision, "attn", out="proj"), mlp=plain_mlp(vision)
    )
    tower = Stack(
        f"{root}.layers",
        width,
        (layer,) * vision.num_hidden_layers,
        before=(
            Linear(f"{root}.patch_embedder.patch_embedding", vision.patch_temporal * 3 * vision.patch_size**2, width),
            Embedding(
                f"{root}.patch_embedder.position_embedding_table", vision.pos_emb_height * vision.pos_emb_width, width
            ),
            Norm(f"{root}.ln_pre", width, "layer", True),
        ),
        after=(
            Norm(f"{root}.ln_post", width, "layer", True),
            Linear("model.vision_adapter.fc1", c.out_hidden_size, c.projector_hidden_size),
            Linear("model.vision_adapter.fc2", c.projector_hidden_size, c.projector_hidden_size),
            Linear("model.vision_projection", c.projector_hidden_size, text.hidden_size),
        ),
        tower="vision",
    )
    return with_towers(c, "muse_glimmer_text", (tower,))


def aimv2(c: Config, root: str) -> Stack:
    """AIMv2 (arXiv:2411.14402): RMSNorm and gated MLPs."""
    width, bias = c.hidden_size, c.flag("qkv_bias")
    attention = replace(vision_attention(c, "attention", out="out_proj", bias=bias))
    mlp = MLP("ffn", width, c.intermediate_size, bias=c.flag("mlp_bias"))
    layer = encoder_layer(c, norms=("rms_norm1", "rms_norm2"), attention=attention, mlp=mlp, kind="rms")
    return Stack(
        f"{root}.encoder.layers",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            patches(c, f"{root}.embeddings.patch_embedding", bias=True),
            Positions(f"{root}.embeddings.position_embedding", (c.image_size // c.patch_size) ** 2, width),
            Norm(f"{root}.embeddings.rms_norm", width),
        ),
        after=(Norm(f"{root}.rms_norm", width),),
        tower="vision",
    )


@family("ovis2")
def ovis2(c: Config) -> Blueprint:
    """Each patch becomes a distribution over a visual vocabulary, and reads its embedding (arXiv:2405.20797)."""
    vision, text, root = c.section("vision_config"), c.section("text_config"), "model.vision_tower"
    words = vision.vocab_size - vision.num_visual_indicator_tokens
    tower = aimv2(vision, f"{root}.transformer")
    after = (
        *tower.after,
        Linear(f"{root}.head_linear", vision.hidden_size * vision.hidden_stride**2, words),
        Norm(f"{root}.head_norm", words, "layer", True),
        Embedding("model.visual_embeddings_table", vision.vocab_size, c.hidden_size),
    )
    return with_towers(c, text.model_type, (replace(tower, after=after),))


def own_aimv2(c: Config, root: str) -> Stack:
    """AIMv2 as its authors' own code (modeling_aimv2.py) spells it."""
    width, bias = c.hidden_size, c.flag("use_bias")
    attention = replace(vision_attention(c, "attn", out="proj", bias=bias), fused="qkv", qkv_bias=c.flag("qkv_bias"))
    mlp = MLP("mlp", width, c.intermediate_size, bias=bias, gate="fc1", up="fc3", down="fc2")
    layer = encoder_layer(c, norms=("norm_1", "norm_2"), attention=attention, mlp=mlp, kind="rms")
    start = f"{root}.preprocessor"
    places = (1, (c.image_size // c.patch_size) ** 2, width)
    return Stack(
        f"{root}.trunk.blocks",
        width,
        (layer,) * c.num_hidden_layers,
        before=(
            patches(c, f"{start}.patchifier.proj", bias=True),
            Norm(f"{start}.patchifier.norm", width),
            vectors(start, pos_embed=places),
        ),
        after=(Norm(f"{root}.trunk.post_trunk_norm", width),),
        tower="vision",
    )


INDICATORS = 5  # of an image's start, end, rows and columns, which no patch becomes (modeling_ovis.py)


@family("ovis")
def ovis(c: Config) -> Blueprint:
    """Ovis 2 as its authors' own code (modeling_ovis.py) spells it."""
    text, tokenizer = c.section("llm_config"), c.section("visual_tokenizer_config")
    vision, root = tokenizer.section("backbone_config"), "visual_tokenizer"
    words = tokenizer.vocab_size - INDICATORS
    tower = own_aimv2(vision, f"{root}.backbone")
    after = (
        *tower.after,
        Linear(f"{root}.head.0", vision.hidden_size * tokenizer.hidden_stride**2, words),
        Norm(f"{root}.head.1", words, "layer", True),
        Embedding("vte", tokenizer.vocab_size, text.hidden_size),
    )
    return with_towers(
        c,
        text.model_type,
        (replace(tower, after=after),),
        old="",
        new="llm.",
        head="llm.lm_head",
        field="llm_config",
        own_ties=True,
    )


@family("aria")
def aria(c: Config) -> Blueprint:
    """Learned queries read the patches through one layer of cross-attention (arXiv:2410.05993)."""
    vision = Config(c.section("vision_config").raw, "idefics3_vision", where=f"vision_config of {c.where}")
    width, outputs, root = vision.hidden_size, c.section("text_config").hidden_size, "multi_modal_projector"
    queries = max((c.get("projector_patch_to_query_dict") or {"1225": 128, "4900": 256}).values())
    across = f"{root}.cross_attn"
    projector: tuple[Part, ...] = (
        vectors(root, query=(queries, width)),
        *(Linear(f"{across}.{name}_proj", width, width) for name in "qkv"),
        vectors(f"{across}.multihead_attn", in_proj_weight=(3 * width, width), in_proj_bias=(3 * width,)),
        Linear(f"{across}.multihead_attn.out_proj", width, width, True),
        Linear(f"{across}.linear", width, width, True),
        Norm(f"{across}.layer_norm", width, "layer", True),
        Norm(f"{across}.layer_norm_kv", width, "layer", True),
        Norm(f"{root}.layer_norm", width, "layer", True),
        Linear(f"{root}.feed_forward.linear_in", width, outputs),
        Linear(f"{root}.feed_forward.linear_out", outputs, outputs),
    )
    tower = siglip(vision, "vision_tower", projector)
    return with_towers(c, "aria_text", (tower,), old="", new="language_model.", head="language_model.lm_head")
