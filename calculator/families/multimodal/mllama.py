"""Llama 3.2 Vision (arXiv:2407.21783, section 7): layers of the language model that attend to the image."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    blueprint,
    family,
    gated_mlp,
    language_model,
    pre_norm,
    self_attention,
)
from calculator.families.shared import with_towers
from calculator.families.towers.images import vectors
from calculator.families.towers.vision import encoder_layer, patches, plain_mlp, vision_attention
from calculator.model import Layer, Stack
from calculator.parts import Elsewhere, Embedding, Linear, Norm, Part

NOTE = "The layers that attend to an image are held; without one they are skipped, and keep no cache."
EXTRA_ROWS = 8  # of the embedding, for the image's own token


def held(*parts: Part) -> tuple[Part, ...]:
    """Parts whose tensors are held and that do not run."""
    return tuple(Elsewhere(part.name, part, held=True) for part in parts)


@family("mllama_text_model")
def mllama_text(c: Config) -> Blueprint:
    """Llama 3 with gated layers of cross-attention between its own; a text alone passes those by."""
    width: int = c.hidden_size
    crossing = c.get("cross_attention_layers")
    crossing = [3, 8, 13, 18, 23, 28, 33, 38] if crossing is None else crossing
    own = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention")
    attention = self_attention(c, name="cross_attn", head_norm="head", rotary=0)
    gates = vectors("", cross_attn_attn_gate=(1,), cross_attn_mlp_gate=(1,))
    norms = (Norm("input_layernorm", width), Norm("post_attention_layernorm", width))
    across = Layer("cross-attention, without an image idle", held(norms[0], attention, norms[1], gated_mlp(c), gates))
    layers = [across if i in crossing else own for i in range(c.num_hidden_layers)]
    # The embedding has more rows than the head, which is therefore never tied.
    text = language_model(c, layers, tied=False)
    text = replace(text, before=(Embedding("model.embed_tokens", c.vocab_size + EXTRA_ROWS, width),))
    return blueprint(c, text, notes=(NOTE,))


@family("mllama")
def mllama(c: Config) -> Blueprint:
    """The class that generates from text alone, which AutoModelForCausalLM builds, is the language model by itself."""
    stated = c.get("architectures") or ["MllamaForCausalLM"]
    towers = () if "MllamaForCausalLM" in stated else mllama_vision(c)
    if not towers:
        return with_towers(c, "mllama_text_model", (), new="model.")
    return with_towers(c, "mllama_text_model", towers, old="", new="language_model.", head="language_model.lm_head")


def mllama_vision(whole: Config) -> tuple[Stack, ...]:
    """Tiles with their own positions, and a second, gated encoder over all tiles together."""
    c, width = whole.section("vision_config", "mllama_vision_model"), whole.section("text_config").hidden_size
    size, root, tiles = c.hidden_size, "vision_model", c.max_num_tiles
    ratios = len(c.get("supported_aspect_ratios") or range(8)) + 1
    positions = (c.image_size // c.patch_size) ** 2 + 1
    attention = vision_attention(c, bias=False)
    norms = ("input_layernorm", "post_attention_layernorm")
    block = encoder_layer(c, norms=norms, attention=attention, mlp=plain_mlp(c))
    gated = replace(block, parts=(*block.parts, vectors("", gate_attn=(1,), gate_ffn=(1,))))

    def tile_embedding(name: str, features: int) -> Embedding:
        return Embedding(f"{root}.{name}", ratios, tiles * features)

    before = (
        patches(c, f"{root}.patch_embedding", bias=False),
        vectors(root, class_embedding=(size,)),
        vectors(f"{root}.gated_positional_embedding", embedding=(positions, size), gate=(1,)),
        tile_embedding("gated_positional_embedding.tile_embedding", positions * size),
        tile_embedding("pre_tile_positional_embedding.embedding", size),
        vectors(f"{root}.pre_tile_positional_embedding", gate=(1,)),
        Norm(f"{root}.layernorm_pre", size, "layer", True),
    )
    after = (
        Norm(f"{root}.layernorm_post", size, "layer", True),
        tile_embedding("post_tile_positional_embedding.embedding", size),
        vectors(f"{root}.post_tile_positional_embedding", gate=(1,)),
    )
    projector = Linear("multi_modal_projector", c.vision_output_dim, width, True)
    local, globally = (block,) * c.num_hidden_layers, (gated,) * c.num_global_layers
    return (
        Stack(f"{root}.transformer.layers", size, local, before, after, "vision"),
        Stack(f"{root}.global_transformer.layers", size, globally, (), (projector,), "vision"),
    )
