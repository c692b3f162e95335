"""Gemma 3 with its vision tower, Gemma 3n and Gemma 4."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.fields import attention_kind, every, head_shape, layer_types, windows
from calculator.families.layers import gated_mlp, layer_norm, mixture, plain_norm, self_attention
from calculator.families.models import beside, blueprint, decoder, language_model, moved, with_towers
from calculator.families.once import once
from calculator.families.registry import Blueprint, family
from calculator.families.towers.gemma import gemma3n_audio, gemma3n_embedder, gemma4_audio, gemma4_vision
from calculator.families.towers.mobilenet import mobilenet_v5
from calculator.families.towers.vision import siglip
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    AltUp,
    Attention,
    Embedding,
    HeadNorms,
    Linear,
    Names,
    Norm,
    Part,
    Residual,
    Router,
    Sees,
    Storage,
    VectorWeights,
)


@family("gemma3")
def gemma3(c: Config) -> Blueprint:
    vision, width = c.section("vision_config"), c.section("text_config").hidden_size
    projector: tuple[Part, ...] = (
        Norm("multi_modal_projector.mm_soft_emb_norm", vision.hidden_size),
        Linear("multi_modal_projector", vision.hidden_size, width, tensor="mm_input_projection_weight"),
    )
    tower = siglip(vision, "vision_tower.vision_model", projector)
    return beside(c, tower, text="gemma3_text")


@family("shieldgemma2")
def shieldgemma2(c: Config) -> Blueprint:
    """Gemma 3 inside a classifier that reads two of its logits."""
    built = gemma3(c)
    text, *towers = (moved(stack, "", "model.") for stack in (built.text, *built.towers))
    return replace(built, text=text, towers=tuple(towers))


def shared_kv(c: Config) -> list[bool]:
    """Whether each layer reuses the keys and values of an earlier one: the last num_kv_shared_layers do."""
    first = c.num_hidden_layers - (c.get("num_kv_shared_layers") or 0)
    return [i >= first for i in range(times(c.num_hidden_layers))]


def per_layer_embedding(c: Config) -> tuple[Part, ...]:
    """A second embedding with one small vector per layer, joined by a projection of the first."""
    size, count = c.hidden_size_per_layer_input, c.num_hidden_layers
    return (
        Embedding("model.embed_tokens_per_layer", c.vocab_size_per_layer_input, count * size),
        Linear("model.per_layer_model_projection", c.hidden_size, count * size),
        Norm("model.per_layer_projection_norm", size, groups=count),
    )


def per_layer_input(c: Config) -> tuple[Part, ...]:
    """The layer's own vector, gated by the residual stream, and added to it."""
    size, width = c.hidden_size_per_layer_input, c.hidden_size
    return (
        Linear("per_layer_input_gate", width, size, component="mlp"),
        Linear("per_layer_projection", size, width, component="mlp"),
        Norm("post_per_layer_input_norm", width),
        Residual("per_layer_residual", width),
    )


@family("gemma3n_text")
def gemma3n_text(c: Config) -> Blueprint:
    """Four residual streams of which one is computed (AltUp), a low-rank bypass of attention (LAuReL,
    arXiv:2411.07501), one embedding per layer, and the last layers' keys and values shared."""
    width, streams = c.hidden_size, c.altup_num_inputs
    types = layer_types(c, every(5))
    inner = c.listed("intermediate_size")
    inner = inner if isinstance(inner, list) else [c.intermediate_size] * len(types)
    layers = []
    for window, shared, wide in zip(windows(c, types), shared_kv(c), inner, strict=True):
        parts = (
            AltUp("altup", width, streams),
            Norm("input_layernorm", width),
            Linear("laurel.linear_left", width, c.laurel_rank, component="mlp"),
            Linear("laurel.linear_right", c.laurel_rank, width, component="mlp"),
            Norm("laurel.post_laurel_norm", width),
            Residual("laurel_residual", width),
            self_attention(c, norms=HeadNorms("head", values=True), sees=Sees(window, shared=shared)),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            MLP("mlp", width, wide),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
            AltUp("altup", width, streams, correcting=True),
            *per_layer_input(c),
        )
        layers.append(Layer(attention_kind(window) + (" on shared keys and values" if shared else ""), parts))
    text = language_model(c, layers, before=per_layer_embedding(c))
    text = replace(
        text,
        before=(
            *text.before,
            *(Linear(f"model.altup_projections.{i}", width, width) for i in range(times(streams - 1))),
        ),
        after=(
            *(
                Linear(f"model.altup_unembed_projections.{i}", width, width, component="head")
                for i in range(times(streams - 1))
            ),
            *text.after,
        ),
    )
    return blueprint(c, text, notes=unused_notes(c))


@family("gemma3n")
def gemma3n(c: Config) -> Blueprint:
    text, vision, audio = (c.section(name) for name in ("text_config", "vision_config", "audio_config"))
    embedder = gemma3n_embedder(vision, "model.embed_vision", vision.hidden_size, text.hidden_size)
    known = vision.get("architecture") == "mobilenetv5_300m_enc" and not vision.get("model_args")
    eye = tuple(mobilenet_v5("model.vision_tower.timm_model")) if known else ()
    towers = (
        Stack("model.vision_tower", vision.hidden_size, (), eye, embedder, "vision"),
        gemma3n_audio(audio, text.hidden_size),
    )
    built = with_towers(c, *towers, text="gemma3n_text")
    note = f"The vision tower, timm's {vision.get('architecture')}, is not known here and not counted."
    return replace(built, notes=built.notes if known else (*built.notes, note), apart=unused_projections(text))


def unused_projections(c: Config) -> tuple[Stack, ...]:
    """The keys' and values' projections that the checkpoint holds for the layers that share an earlier layer's."""
    _, kv_heads, size = head_shape(c)
    matrix = (kv_heads * size, c.hidden_size)
    shapes = (("k_proj.weight", matrix), ("v_proj.weight", matrix), ("k_norm.weight", (size,)))
    path = "model.language_model.layers"
    parts = [VectorWeights(f"{path}.{i}.self_attn", shapes) for i, shared in enumerate(shared_kv(c)) if shared]
    return (Stack(path, c.hidden_size, (), tuple(parts)),) if parts else ()


def unused_notes(c: Config) -> tuple[str, ...]:
    """What to tell the reader about the key and value projections that checkpoints hold for layers that share."""
    count = c.get("num_kv_shared_layers") or 0
    told = (
        f"The checkpoint also holds unused key and value projections for {count} layers that share an earlier layer's."
    )
    return (told,) if count else ()


def gemma4_attention(c: Config, window: int | None, shared: bool) -> Attention:
    """Full-attention layers have larger and fewer heads, may use keys as values, and rotate a part of each head."""
    norms = HeadNorms("head", values=True)
    if window is not None:
        return self_attention(c, norms=norms, sees=Sees(window, shared=shared), rotary=c.head_dim)
    same = c.flag("attention_k_eq_v")
    # transformers 5 writes what differs in these layers into per_layer_config, and the older fields no more.
    apart = c.get("per_layer_config") is None
    kv_heads = (c.get("num_global_key_value_heads") if same and apart else None) or c.num_key_value_heads
    head_dim = c.global_head_dim if apart else c.head_dim
    rope = (c.get("rope_parameters") or {}).get("full_attention") or {}
    share = rope.get("partial_rotary_factor") or 0.25
    attention = self_attention(c, norms=norms, sees=Sees(shared=shared), names=Names(value="" if same else "v_proj"))
    return replace(attention, kv_heads=kv_heads, head_dim=head_dim, rotary=int(head_dim * share))


@once
def gemma4_layer(c: Config, window: int | None, shared: bool) -> Layer:
    width: int = c.hidden_size
    mlp = gated_mlp(c, bias=False)
    if shared and c.flag("use_double_wide_mlp"):
        mlp = replace(mlp, intermediate=2 * mlp.intermediate)
    beside: tuple[Part, ...] = ()
    if c.flag("enable_moe_block"):
        # The experts run beside the MLP, on the same residual stream.
        beside = (
            Norm("post_feedforward_layernorm_1", width),
            plain_norm("router.norm", width),
            VectorWeights("router", (("scale", (width,)), ("per_expert_scale", (c.num_experts,))), component="router"),
            Norm("pre_feedforward_layernorm_2", width),
            mixture(c, "", top_k=c.top_k_experts, router=Router("router.proj"), stored=Storage("packed")),
            Norm("post_feedforward_layernorm_2", width),
            Residual("experts_residual", width),
        )
    parts = (
        Norm("input_layernorm", width),
        gemma4_attention(c, window, shared),
        Norm("post_attention_layernorm", width),
        Residual("mixer_residual", width),
        Norm("pre_feedforward_layernorm", width),
        mlp,
        *beside,
        Norm("post_feedforward_layernorm", width),
        Residual("channel_residual", width),
        *(per_layer_input(c) if c.get("hidden_size_per_layer_input") else ()),
        VectorWeights("", (("layer_scalar", (1,)),), component="norm", role="buffer"),
    )
    kind = attention_kind(window) + (" on shared keys and values" if shared else "")
    return Layer(f"{kind} + {'mlp and experts' if beside else 'mlp'}", parts)


@family("gemma4_text", "gemma4_unified_text")
def gemma4_text(c: Config) -> Blueprint:
    types = layer_types(c, every(6))
    types[-1] = "full_attention"  # the type insists on it
    seen = windows(c, types)
    if c.get("use_bidirectional_attention") == "all":
        seen = [None if w is None else w // 2 + 1 for w in seen]  # a window that looks both ways
    layers = [gemma4_layer(c, w, s) for w, s in zip(seen, shared_kv(c), strict=True)]
    before = per_layer_embedding(c) if c.get("hidden_size_per_layer_input") else ()
    return decoder(c, layers, before=before, notes=unused_notes(c))


@family("gemma4")
def gemma4(c: Config) -> Blueprint:
    width: int = c.section("text_config").hidden_size
    towers: list[Stack] = []
    if c.get("vision_config"):
        towers.append(gemma4_vision(c.section("vision_config"), width))
    if c.get("audio_config"):
        towers.append(gemma4_audio(c.section("audio_config"), width))
    return with_towers(c, *towers, text="gemma4_text")


@family("gemma4_unified")
def gemma4_unified(c: Config) -> Blueprint:
    """No towers: patches of pixels, and frames of the waveform as they are, are projected into the language model."""
    width: int = c.section("text_config").hidden_size
    towers: list[Stack] = []
    if c.get("vision_config"):
        vision = c.section("vision_config")
        made, pixels = vision.mm_embed_dim, 3 * (vision.patch_size * vision.pooling_kernel_size) ** 2
        root = "model.vision_embedder"
        parts: tuple[Part, ...] = (
            layer_norm(f"{root}.patch_ln1", pixels),
            Linear(f"{root}.patch_dense", pixels, made, True),
            layer_norm(f"{root}.patch_ln2", made),
            VectorWeights(root, (("pos_embedding", (vision.mm_posemb_size, 2, made)),)),
            layer_norm(f"{root}.pos_norm", made),
            Linear("model.embed_vision.embedding_projection", vision.output_proj_dims, width),
        )
        towers.append(Stack(root, made, (), parts, tower="vision"))
    if c.get("audio_config"):
        heard: int = c.section("audio_config").audio_embed_dim
        part = Linear("model.embed_audio.embedding_projection", heard, width)
        towers.append(Stack("model.embed_audio", heard, (), (part,), tower="audio"))
    return with_towers(c, *towers, text="gemma4_unified_text")
