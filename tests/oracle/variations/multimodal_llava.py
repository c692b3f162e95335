"""A language model of another family behind an image tower; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.core import TYPES as CORE
from variations.multimodal_any_size import PIXTRAL
from variations.pieces import DENSE, NO_IDS, SIGLIP, Type

TEXT = DENSE | NO_IDS
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
}
PLAIN = {name: value for name, value in CLIP.items() if name != "model_type"}
SMALLER = {"hidden_size": 80, "num_hidden_layers": 2, "patch_size": 16, "intermediate_size": 152}
GEMMA = TEXT | {"model_type": "gemma", "head_dim": 40}
COHERE = TEXT | {"model_type": "cohere2", "sliding_window": 16, "head_dim": 32}
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
LLAVA = {"text_config": TEXT | {"model_type": "llama"}, "vision_config": CLIP, "image_token_index": 7}
SAM = {
    "hidden_size": 96,
    "output_channels": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "window_size": 5,
    "global_attn_indexes": [1, 3],
    "mlp_dim": 136,
}
IDEFICS = {"text_config": TEXT | {"model_type": "llama"}, "vision_config": PLAIN, "pad_token_id": 0}
MLLAMA = {
    "text_config": DENSE | {"num_hidden_layers": 5, "pad_token_id": 0, "cross_attention_layers": [1, 3]},
    "vision_config": {
        "hidden_size": 96,
        "intermediate_size": 136,
        "num_hidden_layers": 3,
        "num_global_layers": 2,
        "attention_heads": 4,
        "image_size": 112,
        "patch_size": 14,
        "vision_output_dim": 288,
        "intermediate_layers_indices": [0, 1],
    },
}

TYPES: dict[str, Type] = {
    "llava": (
        "LlavaForConditionalGeneration",
        LLAVA,
        {
            "small": {},
            "Mistral and Pixtral": {
                "text_config": {"model_type": "mistral", "head_dim": 40},
                "vision_config": PIXTRAL,
                "multimodal_projector_bias": False,
            },
            "Qwen2 and SigLIP, two layers, tied": TIED
            | {"text_config": {"model_type": "qwen2"}, "vision_config": SIGLIP, "vision_feature_layer": [-2, 1]},
            "tied inside": {"text_config": TIED, "vision_config": SMALLER},
        },
    ),
    "llava_next": (
        "LlavaNextForConditionalGeneration",
        LLAVA,
        {
            "small": {},
            "tied, no bias": TIED | {"multimodal_projector_bias": False, "vision_config": SMALLER},
            "Mixtral": {
                "text_config": {"model_type": "mixtral", "num_local_experts": 5, "num_experts_per_tok": 2},
                "vision_feature_layer": [-1, -2, 0],
            },
        },
    ),
    "llava_next_video": (
        "LlavaNextVideoForConditionalGeneration",
        LLAVA,
        {"small": {}, "tied": TIED | {"vision_config": SMALLER}, "no bias": {"multimodal_projector_bias": False}},
    ),
    "llava_onevision": (
        "LlavaOnevisionForConditionalGeneration",
        {"text_config": TEXT | {"model_type": "qwen2"}, "vision_config": SIGLIP},
        {
            "small": {},
            "tied, no bias": TIED | {"multimodal_projector_bias": False, "vision_feature_layer": [-1, 0]},
            "with a pooling head": {"vision_config": {"vision_use_head": True, "num_attention_heads": 6}},
        },
    ),
    "vipllava": (
        "VipLlavaForConditionalGeneration",
        LLAVA,
        {"small": {"vision_feature_layers": [-2, 1]}, "one layer, tied": TIED | {"vision_feature_layer": -2}},
    ),
    "video_llava": (
        "VideoLlavaForConditionalGeneration",
        LLAVA,
        {
            "small": {},
            "tied, no bias": TIED | {"multimodal_projector_bias": False, "vision_config": SMALLER},
            "two layers": {"vision_feature_layer": [-1, 1]},
        },
    ),
    "paligemma": (
        "PaliGemmaForConditionalGeneration",
        {"text_config": GEMMA, "vision_config": SIGLIP | {"projection_dim": 192}, "projection_dim": 192},
        {
            "small": {},
            "untied": UNTIED | {"vision_config": SMALLER},
            "Gemma 2": {"text_config": {"model_type": "gemma2", "sliding_window": 16}},
        },
    ),
    "shieldgemma2": (
        "Gemma3ForConditionalGeneration",
        {"text_config": CORE["gemma3_text"][1], "vision_config": SIGLIP},
        {"small": {}, "head": {"vision_config": SMALLER | {"vision_use_head": True}}},
    ),
    "aya_vision": (
        "AyaVisionForConditionalGeneration",
        {"text_config": COHERE, "vision_config": SIGLIP},
        {
            "small": {},
            "untied, wider": UNTIED | {"alignment_intermediate_size": 264, "downsample_factor": 3},
            "Cohere": {
                "text_config": {"model_type": "cohere", "use_qk_norm": True, "sliding_window": None},
                "vision_config": SMALLER,
            },
        },
    ),
    "cohere2_vision": (
        "Cohere2VisionForConditionalGeneration",
        {"text_config": COHERE, "vision_config": SIGLIP, "alignment_intermediate_size": 264},
        {"small": {}, "untied": UNTIED | {"downsample_factor": 3, "vision_config": SMALLER}},
    ),
    "internvl": (
        "InternVLForConditionalGeneration",
        {
            "text_config": TEXT | {"model_type": "qwen2"},
            "vision_config": PLAIN | {"image_size": [112, 112], "patch_size": [14, 14]},
        },
        {
            "small": {},
            "untied, normed heads": UNTIED
            | {
                "vision_config": {
                    "use_qk_norm": True,
                    "attention_bias": True,
                    "norm_type": "rms_norm",
                    "use_mean_pooling": False,
                    "use_mask_token": True,
                },
            },
            "Qwen3, oblong": UNTIED
            | {
                "text_config": {"model_type": "qwen3", "head_dim": 40},
                "vision_config": {
                    "image_size": [112, 84],
                    "use_absolute_position_embeddings": True,
                    "num_hidden_layers": 2,
                },
                "downsample_ratio": 0.25,
            },
            "no positions, Llama": {
                "text_config": {"model_type": "llama"},
                "vision_config": {"use_absolute_position_embeddings": False, "image_size": 96, "patch_size": 12},
            },
        },
    ),
    "got_ocr2": (
        "GotOcr2ForConditionalGeneration",
        {"text_config": TEXT | {"model_type": "qwen2"}, "vision_config": SAM},
        {
            "small": {},
            "untied, no relative positions": UNTIED | {"vision_config": {"use_rel_pos": False, "qkv_bias": False}},
            "no windows": {"vision_config": {"use_abs_pos": False, "window_size": 0, "num_hidden_layers": 2}},
        },
    ),
    "idefics3": (
        "Idefics3ForConditionalGeneration",
        IDEFICS,
        {
            "small": {},
            "tied": TIED | {"scale_factor": 3, "vision_config": SMALLER},
            "Mistral": {"text_config": {"model_type": "mistral", "head_dim": 40}},
        },
    ),
    "smolvlm": (
        "SmolVLMForConditionalGeneration",
        IDEFICS,
        {"small": {}, "tied": TIED | {"scale_factor": 4, "vision_config": SMALLER}},
    ),
    "idefics2": (
        "Idefics2ForConditionalGeneration",
        {
            "text_config": TEXT | {"model_type": "mistral"},
            "vision_config": PLAIN,
            "perceiver_config": {
                "hidden_size": 192,
                "resampler_n_latents": 9,
                "resampler_depth": 2,
                "resampler_n_heads": 8,
                "resampler_head_dim": 20,
                "num_key_value_heads": 4,
            },
        },
        {
            "small": {},
            "tied": TIED | {"vision_config": SMALLER, "perceiver_config": {"resampler_depth": 1}},
            "fewer heads": {"perceiver_config": {"num_key_value_heads": 2, "resampler_n_heads": 6}},
        },
    ),
    "mllama": (
        "MllamaForConditionalGeneration",
        MLLAMA,
        {
            "small": {},
            "tied in name only": {"tie_word_embeddings": True, "text_config": {"tie_word_embeddings": True}},
            "language model alone": {"architectures": ["MllamaForCausalLM"]},
            "one crossing layer, other tiles": {
                "text_config": {"cross_attention_layers": [4], "num_key_value_heads": 3},
                "vision_config": {
                    "max_num_tiles": 2,
                    "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
                    "num_global_layers": 1,
                    "image_size": 96,
                    "patch_size": 12,
                },
            },
        },
    ),
}

# transformers 5 writes these towers without the module that the checkpoints name.
WITHOUT_MODULE = ((r"^((model\.)?(vision|image|video)_tower)\.vision_model\.", r"\1."),)
RENAMED = dict.fromkeys(
    (
        "llava",
        "llava_next",
        "llava_next_video",
        "llava_onevision",
        "vipllava",
        "video_llava",
        "paligemma",
        "shieldgemma2",
        "aya_vision",
        "cohere2_vision",
    ),
    WITHOUT_MODULE,
)
NO_DEFAULT = {
    "aya_vision": "1152 features of the tower do not divide into 14 heads; transformers refuses them",
}
TRANSPOSED = {"shieldgemma2": ("mm_input_projection_weight",)}
