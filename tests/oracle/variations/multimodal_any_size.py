"""Language models with a tower beside them; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.beyond import experts_not_chosen, keys_before_the_chunk, tokens_past_the_shared_keys
from variations.decoders import TYPES as DECODERS
from variations.linear_hybrids import TYPES as HYBRIDS
from variations.mixtures import TYPES as MIXTURES
from variations.pieces import ALL_EXPERTS_NOTE, DELTA_NOTE, DENSE, MLA, MLA_NOTE, NO_IDS, VISION, Type

GLM_VISION = {
    "depth": 3,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "out_hidden_size": 192,
}
QWEN2_VISION = {"depth": 3, "embed_dim": 96, "hidden_size": 192, "num_heads": 4, "mlp_ratio": 3, "patch_size": 14}
QWEN25_VISION = {
    "depth": 3,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_heads": 4,
    "patch_size": 14,
    "out_hidden_size": 192,
    "fullatt_block_indexes": [1],
}
QWEN35_VISION = {name: value for name, value in VISION.items() if name != "deepstack_visual_indexes"}
LLAMA4_VISION = {
    "hidden_size": 96,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "projector_input_dim": 144,
    "projector_output_dim": 144,
    "vision_output_dim": 144,
}
PIXTRAL = {
    "model_type": "pixtral",
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "head_dim": 24,
    "image_size": 112,
    "patch_size": 14,
}
SIGLIP2 = {
    "model_type": "siglip2_vision_model",
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_patches": 49,
    "patch_size": 14,
    "vision_use_head": False,
}
KIMI_VISION = {
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pos_emb_height": 12,
    "pos_emb_width": 10,
    "patch_size": 14,
}
GROUPED = DENSE | NO_IDS
MROPE = {"rope_type": "default", "mrope_section": [4, 6, 6]}

TYPES: dict[str, Type] = {
    "glm4v": (
        "Glm4vForConditionalGeneration",
        {"text_config": GROUPED | {"rope_parameters": MROPE}, "vision_config": GLM_VISION},
        {
            "small": {},
            "tied, tower bias": {"tie_word_embeddings": True, "vision_config": {"attention_bias": True}},
            "other image": {"vision_config": {"image_size": 96, "patch_size": 12, "depth": 2}},
        },
    ),
    "glm4v_moe": (
        "Glm4vMoeForConditionalGeneration",
        {
            "text_config": MIXTURES["glm4_moe"][1]
            | {"head_dim": 32, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
            "vision_config": GLM_VISION,
        },
        {"small": {}, "untied, two dense": {"text_config": {"first_k_dense_replace": 2, "attention_bias": False}}},
    ),
    "qwen2_vl": (
        "Qwen2VLForConditionalGeneration",
        {"text_config": GROUPED | {"rope_scaling": MROPE}, "vision_config": QWEN2_VISION},
        {
            "small": {},
            "tied": {"tie_word_embeddings": True},
            "window in the upper layers": {
                "text_config": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
            },
        },
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        {"text_config": GROUPED | {"rope_scaling": MROPE}, "vision_config": QWEN25_VISION},
        {"small": {}, "tied": {"tie_word_embeddings": True, "vision_config": {"patch_size": 12, "depth": 2}}},
    ),
    "qwen3_5": (
        "Qwen3_5ForConditionalGeneration",
        {"text_config": HYBRIDS["qwen3_5_text"][1], "vision_config": QWEN35_VISION},
        {"small": {}, "tied": {"tie_word_embeddings": True, "vision_config": {"depth": 2}}},
    ),
    "qwen3_5_moe": (
        "Qwen3_5MoeForConditionalGeneration",
        {"text_config": HYBRIDS["qwen3_5_moe_text"][1], "vision_config": QWEN35_VISION},
        {"small": {}, "tied": {"tie_word_embeddings": True, "vision_config": {"num_position_embeddings": 49}}},
    ),
    "llama4": (
        "Llama4ForConditionalGeneration",
        {"text_config": MIXTURES["llama4_text"][1], "vision_config": LLAMA4_VISION},
        {
            "small": {},
            "other image": {"vision_config": {"image_size": 96, "patch_size": 12, "num_hidden_layers": 2}},
            "tied inside": {"text_config": {"tie_word_embeddings": True}},
            "tied outside": {"tie_word_embeddings": True},
        },
    ),
    "mistral3": (
        "Mistral3ForConditionalGeneration",
        {"text_config": GROUPED | {"model_type": "mistral", "head_dim": 40}, "vision_config": PIXTRAL},
        {
            "untied": {"tie_word_embeddings": False},
            "tied, projector bias": {
                "tie_word_embeddings": True,
                "multimodal_projector_bias": True,
                "spatial_merge_size": 4,
            },
            "Ministral inside": {
                "tie_word_embeddings": False,
                "text_config": {"model_type": "ministral3"},
                "vision_config": {"num_hidden_layers": 2, "patch_size": 16},
            },
        },
    ),
    "kimi_k25": (
        "Kimi_K25ForConditionalGeneration",
        {
            "text_config": MLA | NO_IDS | {"model_type": "deepseek_v3", "n_group": 2, "topk_group": 1},
            "vision_config": KIMI_VISION,
            "projection_hidden_size": 96,
        },
        {"small": {"tie_word_embeddings": False}, "no query rank": {"text_config": {"q_lora_rank": None}}},
    ),
    "lfm2_vl": (
        "Lfm2VlForConditionalGeneration",
        {
            "text_config": HYBRIDS["lfm2"][1] | {"model_type": "lfm2"},
            "vision_config": SIGLIP2,
            "projector_hidden_size": 144,
        },
        {
            "small": {},
            "no norm, no bias": {"projector_use_layernorm": False, "projector_bias": False, "downsample_factor": 3},
        },
    ),
    "gemma4": (
        "Gemma4ForConditionalGeneration",
        {"text_config": DECODERS["gemma4_text"][1], "vision_config": None, "audio_config": None},
        {
            "text alone": {},
            "vision": {
                "vision_config": {
                    "hidden_size": 96,
                    "intermediate_size": 136,
                    "num_hidden_layers": 3,
                    "num_attention_heads": 4,
                    "num_key_value_heads": 4,
                    "head_dim": 24,
                    "patch_size": 12,
                    "position_embedding_size": 50,
                }
            },
        },
    ),
}

NO_DEFAULT = {}
TRANSPOSED = {"llama4": ("experts.gate_up_proj", "experts.down_proj")}
BUFFERS = {"gemma4": ("layer_scalar",)}
BEYOND = {"llama4": (experts_not_chosen, keys_before_the_chunk), "gemma4": (tokens_past_the_shared_keys,)}
RENAMED = {
    "lfm2_vl": ((r"^model\.vision_tower\.vision_model\.", "model.vision_tower."),),
    "kimi_k25": (
        (r"^language_model\.model\.layers", "language_model.model.blocks"),
        (r"\.self_attn\.q_proj\.", ".self_wqkv."),
        (r"^mm_projector\.pre_norm", "model.mm_projector.pre_norm"),
        (r"^vision_tower\.patch_embed\.proj", "vision_tower.encoder.patch_embed.proj"),
    ),
}
SCANS = dict.fromkeys(("qwen3_5", "qwen3_5_moe"), DELTA_NOTE)
NOTES = {"kimi_k25": MLA_NOTE, "llama4": ALL_EXPERTS_NOTE}
