"""Language models that see, with towers of their own; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.pieces import DENSE, NO_IDS, Type
from variations.towers import GLM_VISION, MROPE, QWEN25_VISION

GROUPED = DENSE | NO_IDS

TYPES: dict[str, Type] = {
    "glmga": (
        "Glm46VForConditionalGeneration",
        {"text_config": GROUPED | {"rope_parameters": MROPE}, "vision_config": GLM_VISION},
        {
            "small": {},
            "tied, tower bias": {"tie_word_embeddings": True, "vision_config": {"attention_bias": True, "depth": 2}},
        },
    ),
    "hyperclovax_vision_v2": (
        "HyperCLOVAXVisionV2ForConditionalGeneration",
        {"text_config": GROUPED | {"model_type": "hyperclovax"}, "vision_config": QWEN25_VISION},
        {
            "small": {},
            "untied, other merger": {
                "tie_word_embeddings": False,
                "text_config": {"use_post_norm": False, "head_dim": 40},
                "vision_config": {"out_hidden_size": 160, "spatial_merge_size": 3, "depth": 2},
            },
        },
    ),
    "lfm3_vl": (
        "Lfm3VlForConditionalGeneration",
        {
            "text_config": GROUPED | {"model_type": "lfm3", "num_hidden_layers": 4},
            "vision_config": {
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 5,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "patch_size": 14,
            },
            "projector_hidden_size": 144,
        },
        {
            "small": {},
            "untied, no bias": {
                "tie_word_embeddings": False,
                "projector_bias": False,
                "vision_config": {
                    "layer_types": ["full_attention", "conv", "conv", "full_attention", "conv"],
                    "conv_kernel_size": 5,
                    "spatial_merge_size": 3,
                    "temporal_patch_size": 1,
                },
            },
        },
    ),
    "granite_docling": (
        "GraniteDoclingForConditionalGeneration",
        {
            "text_config": GROUPED,
            "vision_config": {
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "image_size": 112,
                "patch_size": 14,
                "out_hidden_size": 192,
                "deepstack_visual_indexes": [1, 3],
            },
        },
        {
            "small": {},
            "coarse alone, untied": {
                "tie_word_embeddings": False,
                "text_config": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": None},
                "vision_config": {"use_fine_route": False, "scale_factor": 2, "num_hidden_layers": 3},
            },
            "a router of pages": {
                "density_router_hidden_size": 28,
                "vision_config": {"deepstack_visual_indexes": [], "image_size": 140},
            },
        },
    ),
}

RENAMED = {"hyperclovax_vision_v2": ((r"^model\.language_model\.model\.", "model.language_model."),)}
