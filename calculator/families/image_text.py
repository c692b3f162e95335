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
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.image_towers import clip, convolution, pair, vectors
from calculator.families.seq2seq import unread_encoder
from calculator.families.shared import HELD, moved, renamed, tied_inside, with_towers
from calculator.families.towers import encoder_layer, patches, plain_mlp, qwen2_tower, siglip, vision_attention
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Embedding,
    Experts,
    IdleExperts,
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
    raw = dict(c.section("text_config").raw)
    if raw.get("model_type") == "aria_moe_lm":
        # The authors' own code keeps the experts' width beside one that it does not use.
        c = Config(
            {**c.raw, "text_config": {**raw, "intermediate_size": raw.get("moe_intermediate_size")}},
            c.model_type,
            where=c.where,
        )
    width, outputs, root = vision.hidden_size, c.section("text_config").hidden_size, "multi_modal_projector"
    named = c.get("projector_patch_to_query_dict") or {"1225": 128, "4900": 256}
    # Saved files state the largest of them apart, and that one counts.
    queries = c.get("max_value_projector_patch_to_query_dict") or max(named.values())
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


@family("hunyuan_vl")
def hunyuan_vl(c: Config) -> Blueprint:
    """A merger of two convolutions, and learned tokens around an image and at the end of its rows."""
    vision, root = c.section("vision_config"), "vit"
    width, outputs, merge = vision.hidden_size, vision.text_hidden_size, vision.spatial_merge_size
    size = vision.head_dim if vision.get("head_dim") else width // vision.num_attention_heads
    attention = replace(vision_attention(vision), head_dim=size)
    mlp = replace(plain_mlp(vision), up="dense_h_to_4h", down="dense_4h_to_h")
    layer = encoder_layer(vision, norms=("input_layernorm", "post_attention_layernorm"), attention=attention, mlp=mlp)
    merger, inner = f"{root}.perceive", 4 * width
    tower = Stack(
        f"{root}.layers",
        width,
        (layer,) * vision.num_hidden_layers,
        before=(
            patches(vision, f"{root}.embeddings.patch_embedding", bias=True),
            Positions(
                f"{root}.embeddings.position_embedding", (vision.max_image_size // vision.patch_size) ** 2 + 1, width
            ),
        ),
        after=(
            convolution(f"{merger}.proj.0", width, 2 * width, merge, bias=True),
            convolution(f"{merger}.proj.2", 2 * width, inner, 1, bias=True),
            Linear(f"{merger}.mlp", inner, outputs, True),
            vectors(merger, image_newline=(inner,), image_begin=(outputs,), image_end=(outputs,), image_sep=(outputs,)),
            Norm(f"{merger}.before_rms", width),
            Norm(f"{merger}.after_rms", outputs),
        ),
        tower="vision",
    )
    return with_towers(c, "hunyuan_vl_text", (tower,), new="model.")


@family("kosmos-2")
def kosmos_2(c: Config) -> Blueprint:
    """LayerNorms inside each half too (arXiv:2306.14824), sinusoidal positions, CLIP's tower, latents that read it."""
    text, vision = c.section("text_config"), c.section("vision_config")
    width, heads = text.hidden_size, text.num_attention_heads
    attention = Attention(
        "self_attn",
        width,
        heads,
        heads,
        width // heads,
        out="out_proj",
        qkv_bias=True,
        out_bias=True,
        dropout=bool(text.get("attention_dropout")),
    )
    dropout = bool(text.get("dropout"))
    parts: tuple[Part, ...] = (
        Norm("self_attn_layer_norm", width, "layer", True),
        attention,
        Norm("self_attn.inner_attn_ln", width, "layer", True),
        Residual("mixer_residual", width, dropout),
        Norm("final_layer_norm", width, "layer", True),
        MLP("ffn", width, text.ffn_dim, gated=False, bias=True, up="fc1", down="fc2"),
        Norm("ffn.ffn_layernorm", text.ffn_dim, "layer", True),
        Residual("channel_residual", width, dropout),
    )
    # A whole model inside another: either flag ties.
    text.values_["tie_word_embeddings"] = text.flag("tie_word_embeddings") or tied_inside(c, text)
    built = decoder(
        text,
        Layer("full attention", (*parts, *unread_encoder(text, attention))),
        path="text_model.model.layers",
        embedding="text_model.model.embed_tokens",
        final="text_model.model.layer_norm",
        head="text_model.lm_head",
        norm="layer",
        norm_bias=True,
    )
    root = "image_to_text_projection"
    projector = (
        Linear(f"{root}.dense", vision.hidden_size, width, True),
        vectors(root, latent_query=(c.latent_query_num, width)),
        replace(attention, name=f"{root}.x_attn"),
    )
    return replace(built, towers=(clip(vision, "vision_model.model", projector),), notes=(*built.notes, HELD))


@family("ernie4_5_vl_moe_text")
def ernie4_5_vl_moe_text(c: Config) -> Blueprint:
    """ERNIE 4.5's mixture with a second set of experts, and their own router, for the tokens of images."""
    width, bias, count = c.hidden_size, c.flag("use_bias"), c.num_hidden_layers
    wide, narrow = c.get("moe_intermediate_size") or (1536, 512)
    number: int = c.moe_num_experts
    experts = Experts(
        "mlp",
        width,
        wide,
        number,
        c.moe_k,
        shared=c.moe_num_shared_experts * wide,
        shared_bias=bias,
        correction=True,
        correction_name="moe_statics.e_score_correction_bias",
        correction_role="vector",
        correction_shape=(2, number),
    )
    seeing = IdleExperts("mlp", width, narrow, number, number)
    listed = c.get("mlp_layer_types") or ["dense"] + ["sparse"] * (count - 1)
    attention = self_attention(c, qkv_bias=bias, out_bias=bias)
    dense = pre_norm(c, attention, gated_mlp(c, bias=bias), kind="full attention + mlp")
    mixed = pre_norm(c, attention, experts, kind="full attention + experts")
    mixed = replace(mixed, parts=(*mixed.parts, seeing))
    return decoder(c, [mixed if kind == "sparse" else dense for kind in listed])


def ernie_vision(c: Config, text: Config) -> Stack:
    width, outputs, root = c.hidden_size, text.hidden_size, "model.vision_model"
    heads, resampler = c.num_heads, "model.resampler_model"
    attention = Attention(
        "attn", width, heads, heads, width // heads, fused="qkv", out="proj", qkv_bias=True, out_bias=True
    )
    layer = encoder_layer(c, norms=("norm1", "norm2"), attention=attention, mlp=plain_mlp(c))
    spatial = width * c.spatial_merge_size**2
    temporal = spatial * c.temporal_merge_size

    def mlp(name: str, inputs: int) -> tuple[Part, ...]:
        return (
            Linear(f"{name}.0", inputs, spatial, True),
            Linear(f"{name}.2", spatial, spatial, True),
            Norm(f"{name}.3", spatial, "layer", True),
        )

    return Stack(
        f"{root}.blocks",
        width,
        (layer,) * c.depth,
        before=(Linear(f"{root}.patch_embed.proj", c.in_channels * c.patch_size**2, width),),
        after=(
            Norm(f"{root}.ln", width, "layer", True),
            *mlp(f"{resampler}.spatial_linear", spatial),
            *mlp(f"{resampler}.temporal_linear", temporal),
            Linear(f"{resampler}.mlp", spatial, outputs, True),
            Norm(f"{resampler}.after_norm", outputs),
        ),
        tower="vision",
    )


@family("ernie4_5_vl_moe")
def ernie4_5_vl_moe(c: Config) -> Blueprint:
    """ERNIE 4.5 VL (its technical report, 2025)."""
    tower = ernie_vision(c.section("vision_config"), c.section("text_config"))
    return with_towers(c, "ernie4_5_vl_moe_text", (tower,), new="model.")


@family("molmo2_text")
def molmo2_text(c: Config) -> Blueprint:
    """A second, small embedding for the tokens of images; norms on queries and keys as Qwen 3's or OLMo 2's."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        fused="att_proj",
        out="attn_out",
        out_bias=False,
        head_norm="head" if c.get("qk_norm_type") == "qwen3" else "full",
    )
    mlp = gated_mlp(c, fused="ff_proj", down="ff_out", bias=False)
    first, second = Norm("attn_norm", width), Norm("ff_norm", width)
    adds = (Residual("mixer_residual", width), Residual("channel_residual", width))
    parts: tuple[Part, ...] = (first, attention, adds[0], second, mlp, adds[1])
    if c.flag("norm_after"):
        parts = (attention, first, adds[0], mlp, second, adds[1])
    root = "model.transformer"
    # The head has rows for the first embedding alone, so that it is never tied.
    built = decoder(c, Layer("full attention", parts), path=f"{root}.blocks", final=f"{root}.ln_f", tied=False)
    tables = (("embedding", (c.vocab_size, width)), ("new_embedding", (c.additional_vocab_size, width)))
    before = (Embedding(f"{root}.wte", c.vocab_size + c.additional_vocab_size, width, tables=tables),)
    return replace(built, text=replace(built.text, before=before))


def molmo_attention(c: Config, name: str, inputs: int | None = None) -> Attention:
    bias = c.flag("attention_bias")
    return Attention(
        name,
        inputs or c.hidden_size,
        c.num_attention_heads,
        c.num_key_value_heads,
        c.head_dim,
        query="wq",
        key="wk",
        value="wv",
        out="wo",
        qkv_bias=bias,
        out_bias=bias,
        output=c.hidden_size,
    )


@family("molmo2")
def molmo2(c: Config) -> Blueprint:
    """SigLIP 2, two of whose layers a query pools (arXiv:2601.10611); released files say vit_config."""
    c = renamed(c, vision_config="vit_config")
    vision, adapter, root = c.section("vision_config"), c.section("adapter_config"), "model.vision_backbone"
    vision = renamed(
        vision,
        image_size="image_default_input_size",
        patch_size="image_patch_size",
        num_position_embeddings="image_num_pos",
    )
    width, patch, vit = vision.hidden_size, vision.patch_size, f"{root}.image_vit"
    high, wide = pair(vision.get("image_size") or [378, 378])
    positions = vision.get("num_position_embeddings") or (high // patch) * (wide // patch)
    mlp = MLP("feed_forward", width, vision.intermediate_size, gated=False, bias=True, up="w1", down="w2")
    layer = encoder_layer(
        vision, norms=("attention_norm", "ffn_norm"), attention=molmo_attention(vision, "attention"), mlp=mlp
    )
    layers = adapter.get("vit_layers") or adapter.get("vision_feature_layer") or (24, 18)
    inner, outputs, bias = adapter.intermediate_size, adapter.text_hidden_size, adapter.flag("mlp_bias")
    tower = Stack(
        f"{vit}.transformer.resblocks",
        width,
        (layer,) * vision.num_hidden_layers,
        before=(
            Linear(f"{vit}.patch_embedding", (vision.get("num_channels") or 3) * patch**2, width, True),
            vectors(vit, positional_embedding=(positions, width)),
        ),
        after=(
            molmo_attention(adapter, f"{root}.image_pooling_2d", adapter.hidden_size * len(layers)),
            Linear(f"{root}.image_projector.w1", adapter.hidden_size, inner, bias),
            Linear(f"{root}.image_projector.w3", adapter.hidden_size, inner, bias),
            Linear(f"{root}.image_projector.w2", inner, outputs),
        ),
        tower="vision",
    )
    return with_towers(c, "molmo2_text", (tower,), new="model.")
