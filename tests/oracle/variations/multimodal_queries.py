"""Vision-language types with a tower, a reader or a language model of their own; the FLOPs are those of the text."""

from __future__ import annotations

from variations.linear_hybrids import TYPES as HYBRIDS
from variations.multimodal_any_size import GLM_VISION, MROPE, PIXTRAL, QWEN25_VISION
from variations.multimodal_llava import PLAIN, SAM, SMALLER, TIED, UNTIED
from variations.pieces import DELTA_NOTE, DENSE, FULL, MLA, MLA_NOTE, NO_IDS, SIGLIP, SLIDING, Type

TEXT = DENSE | NO_IDS
OPT = {
    "model_type": "opt",
    "vocab_size": 1009,
    "hidden_size": 192,
    "ffn_dim": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "word_embed_proj_dim": 192,
    "max_position_embeddings": 128,
}
QFORMER = {
    "vocab_size": 509,
    "hidden_size": 120,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 168,
    "max_position_embeddings": 64,
}
BLIP = {"vision_config": PLAIN, "qformer_config": QFORMER, "text_config": OPT, "num_query_tokens": 9}
GIT = {name: value for name, value in TEXT.items() if name not in ("num_key_value_heads", "pad_token_id")} | {
    "max_position_embeddings": 128,
    "vision_config": PLAIN,
}
WIDER = MROPE | {"mrope_section": [4, 8, 8]}
LLAMA, QWEN2, QWEN3 = ({"model_type": name} for name in ("llama", "qwen2", "qwen3"))

TYPES: dict[str, Type] = {
    "git": (
        "GitForCausalLM",
        GIT,
        {
            "small": {},
            "tied": TIED | {"vision_config": SMALLER, "num_attention_heads": 8},
            "three frames": {"num_image_with_embedding": 3, "max_position_embeddings": 96},
        },
    ),
    "qianfan_ocr": (
        "QianfanOCRForConditionalGeneration",
        {"text_config": TEXT | QWEN3 | {"head_dim": 40}, "vision_config": PLAIN | {"image_size": [112, 112]}},
        {
            "small": {},
            "tied, oblong, no bias": TIED
            | {"vision_config": {"attention_bias": False, "image_size": [112, 84], "patch_size": [14, 14]}},
            "Qwen2": {"text_config": QWEN2, "downsample_ratio": 0.25, "vision_config": {"num_hidden_layers": 2}},
            "mask token, no positions, a last norm": {
                "vision_config": {
                    "use_mask_token": True,
                    "use_absolute_position_embeddings": False,
                    "use_mean_pooling": False,
                }
            },
        },
    ),
    "lighton_ocr": (
        "LightOnOcrForConditionalGeneration",
        {"text_config": TEXT | QWEN3 | {"head_dim": 40}, "vision_config": PIXTRAL},
        {
            "small": {},
            "untied": UNTIED | {"spatial_merge_size": 3, "vision_config": {"num_hidden_layers": 2, "patch_size": 16}},
            "Qwen2": {"text_config": QWEN2},
        },
    ),
    "deepseek_vl": (
        "DeepseekVLForConditionalGeneration",
        {"text_config": TEXT | LLAMA, "vision_config": SIGLIP},
        {
            "small": {},
            "untied, with a head": UNTIED | {"vision_config": SMALLER | {"vision_use_head": True}},
            "Mistral": {"text_config": {"model_type": "mistral", "head_dim": 40}},
        },
    ),
    "deepseek_vl_hybrid": (
        "DeepseekVLHybridForConditionalGeneration",
        {"text_config": TEXT | LLAMA, "vision_config": SIGLIP, "high_res_vision_config": SAM},
        {
            "small": {},
            "untied": UNTIED
            | {
                "vision_config": SMALLER,
                "high_res_vision_config": {"qkv_bias": False, "use_rel_pos": False, "output_channels": 24},
            },
            "Qwen2": {"text_config": QWEN2, "high_res_vision_config": {"use_abs_pos": False, "window_size": 7}},
        },
    ),
    "video_llama_3": (
        "VideoLlama3ForConditionalGeneration",
        {"text_config": TEXT | QWEN2, "vision_config": PLAIN},
        {"small": {}, "tied": TIED | {"vision_config": SMALLER}, "Llama": {"text_config": LLAMA | TIED}},
    ),
    "blip-2": (
        "Blip2ForConditionalGeneration",
        BLIP,
        {
            "small": {},
            "Llama, no bias": {
                "text_config": TEXT | LLAMA,
                "vision_config": {"qkv_bias": False, "image_size": 96, "patch_size": 12},
            },
            "fewer crossings": {
                "qformer_config": {"cross_attention_frequency": 3, "num_hidden_layers": 5},
                "num_query_tokens": 5,
            },
        },
    ),
    "instructblip": (
        "InstructBlipForConditionalGeneration",
        BLIP,
        {
            "small": {},
            "Llama": {"text_config": TEXT | LLAMA, "vision_config": SMALLER},
            "every layer crosses": {"qformer_config": {"cross_attention_frequency": 1, "num_attention_heads": 6}},
        },
    ),
    "glm46v": (
        "Glm46VForConditionalGeneration",
        {"text_config": TEXT | {"rope_parameters": MROPE}, "vision_config": GLM_VISION},
        {"small": {}, "tied": TIED | {"vision_config": {"attention_bias": True, "depth": 2}}},
    ),
    "glm_ocr": (
        "GlmOcrForConditionalGeneration",
        {"text_config": TEXT | {"rope_parameters": MROPE}, "vision_config": GLM_VISION},
        {
            "small": {},
            "tied, no bias": TIED | {"vision_config": {"attention_bias": False, "spatial_merge_size": 3}},
            "head_dim": {
                "text_config": {"num_key_value_heads": 3, "rope_parameters": WIDER, "head_dim": 40},
                "vision_config": {"in_channels": 4},
            },
        },
    ),
    "exaone4_5": (
        "Exaone4_5_ForConditionalGeneration",
        {
            "text_config": TEXT | {"model_type": "exaone4", "sliding_window": 16, "sliding_window_pattern": 3},
            "vision_config": QWEN25_VISION | {"num_key_value_heads": 2},
        },
        {
            "small": {},
            "tied, windows": TIED
            | {
                "text_config": {"sliding_window_pattern": 2, "num_key_value_heads": 3},
                "vision_config": {"num_key_value_heads": 1, "patch_size": 12},
            },
        },
    ),
    "paddleocr_vl": (
        "PaddleOCRVLForConditionalGeneration",
        {"text_config": DENSE | {"head_dim": 40, "rope_parameters": WIDER}, "vision_config": PLAIN},
        {
            "small": {},
            "untied, biases": {
                "text_config": {"use_bias": True} | UNTIED,
                "vision_config": SMALLER | {"spatial_merge_size": 3},
            }
            | UNTIED,
        },
    ),
    "minicpmv4_6": (
        "MiniCPMV4_6ForConditionalGeneration",
        {
            "text_config": HYBRIDS["qwen3_5_text"][1] | {"model_type": "qwen3_5_text"},
            "vision_config": PLAIN,
            "insert_layer_id": 1,
        },
        {
            "small": {},
            "tied, two mergers": TIED | {"merger_times": 2, "vision_config": SMALLER},
            "Qwen3": {"text_config": TEXT | QWEN3 | {"head_dim": 40}, "image_size": 224},
        },
    ),
    "muse_glimmer": (
        "MuseGlimmerForConditionalGeneration",
        {
            "text_config": DENSE | {"head_dim": 40, "num_hidden_layers": 6, "sliding_window": 16} | NO_IDS,
            "vision_config": PLAIN | {"pos_emb_height": 8, "pos_emb_width": 8},
            "out_hidden_size": 384,
            "projector_hidden_size": 264,
        },
        {
            "small": {},
            "bias, other layers": {
                "text_config": {"attention_bias": True, "layer_types": [FULL, SLIDING, FULL, SLIDING, SLIDING, FULL]},
                "vision_config": SMALLER | {"patch_temporal": 3},
            },
        },
    ),
    "ovis2": (
        "Ovis2ForConditionalGeneration",
        {
            "text_config": TEXT | QWEN2,
            "vision_config": PLAIN | {"vocab_size": 309},
            "hidden_size": 192,
            "vocab_size": 1009,
        },
        {
            "small": {},
            "untied, biases": UNTIED
            | {"vision_config": {"qkv_bias": True, "mlp_bias": True, "hidden_stride": 2, "num_hidden_layers": 2}},
            "Llama": {
                "text_config": LLAMA,
                "vision_config": SMALLER | {"num_visual_indicator_tokens": 7},
                "visual_indicator_token_ids": [1, 2, 3, 4, 5, 6, 7],
            },
        },
    ),
    "mistral4": (
        "Mistral4ForCausalLM",
        MLA | NO_IDS | {"n_group": 2, "topk_group": 1},
        {
            "small": {},
            "no query rank, bias, tied": TIED | {"q_lora_rank": None, "attention_bias": True},
            "all sparse, two shared": {"first_k_dense_replace": 0, "n_shared_experts": 2, "n_routed_experts": 6},
        },
    ),
}

NOTES = {"mistral4": MLA_NOTE}
RENAMED = {
    # Undoing the tower's renames it renames the language model's layers too.
    "qianfan_ocr": ((r"^language_model\.model\.layers", "language_model.model.encoder.layers"),),
}
SCANS = {"minicpmv4_6": DELTA_NOTE}
