"""Small configs that move everything a family has, as the diff a config.json carries.

What equals its class's default is left out. `cases()` yields every config; "default" is the class itself, at full size.
A variation is merged into the family's SMALL, nested dicts key by key. Sizes differ from one another wherever the
family allows, so that a product of the wrong two cannot pass. Some carry older spellings the Hub still has (n_embed,
rope_scaling, sliding_window_pattern, full_attention_interval, torch_dtype), some a field the class does not declare but
the modelling code reads (head_dim).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from variations import core, decoders, hybrids, mixtures, towers

ARCHITECTURES, SMALL, VARIATIONS = dict(core.ARCHITECTURES), dict(core.SMALL), dict(core.VARIATIONS)
for family, (architecture, small, changes) in (decoders.TYPES | mixtures.TYPES | hybrids.TYPES | towers.TYPES).items():
    ARCHITECTURES[family], SMALL[family], VARIATIONS[family] = architecture, small, changes

# Recorded with fewer workloads, without saved bytes and without the towers' FLOPs.
BRIEF = VARIATIONS.keys() - core.VARIATIONS.keys()

# What a config cannot do in transformers although it builds.
CANNOT_RUN = {("deepseek_v2", "default"): "num_experts_per_tok has no default, so the router fails"}
CANNOT_SEE = {("gemma3", "default"): "a 14 x 14 patch image cannot be pooled to 16 x 16 tokens"}
# Class defaults that do not build, or not in any time worth waiting for.
NO_DEFAULT = {
    "nemotron": "num_key_value_heads has no default",
    "hunyuan_v1_dense": "head_dim has no default",
    "hunyuan_v1_moe": "head_dim has no default",
    "ministral": "head_dim has no default",
    "dots1": "the experts have no default",
    "lfm2_moe": "layer_types has no default",
    "nemotron_h": "the order of its layers is arbitrary; the engine asks for it",
    "mistral3": "transformers ties the head, the checkpoints without the flag have one of their own",
    "glm4_moe": "4096 features do not divide into 96 heads; transformers rounds head_dim down, the engine asks for it",
    "glm4v_moe": "4096 features do not divide into 96 heads; transformers rounds head_dim down, the engine asks for it",
}

# Patches (frames, rows, columns) of the image or video each vision tower is run on; a tower of a fixed size takes none.
GRIDS = ((1, 28, 28), (2, 6, 10))


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(model type, name, config) of the class default and of every variation."""
    for model_type, variations in VARIATIONS.items():
        head = {"model_type": model_type, "architectures": [ARCHITECTURES[model_type]]}
        if model_type not in NO_DEFAULT:
            yield model_type, "default", head
        for name, changes in variations.items():
            yield model_type, name, head | merged(SMALL[model_type], changes)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, a nested dict merged in turn."""
    both = {key: merged(base[key], changes[key]) for key in base.keys() & changes.keys() if isinstance(base[key], dict)}
    return base | changes | both
