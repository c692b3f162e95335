"""Language models that see, with towers of their own; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.linear_hybrids import TYPES as HYBRIDS
from variations.multimodal_any_size import GLM_VISION, MROPE, QWEN25_VISION
from variations.pieces import DENSE, MAMBA2_NOTE, NO_IDS, VISION, Type

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
    "cosmos3_omni": (
        "Cosmos3OmniForConditionalGeneration",
        {"text_config": GROUPED | {"head_dim": 40, "rope_parameters": MROPE}, "vision_config": VISION},
        {
            "small": {},
            "tied, bias": {
                "tie_word_embeddings": True,
                "text_config": {"attention_bias": True, "head_dim": 48},
                "vision_config": {"deepstack_visual_indexes": [1], "depth": 2},
            },
        },
    ),
    "nemotron_h_omni": (
        "NemotronH_Omni_Reasoning_V3",
        {
            "text_config": HYBRIDS["nemotron_h"][1] | {"model_type": "nemotron_h"},
            "vision_config": {
                "hidden_size": 96,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "patch_size": 14,
                "max_img_size": 112,
                "video_temporal_patch_size": 2,
            },
            "vision_hidden_size": 96,
            "projector_hidden_size": 144,
        },
        {
            "small": {},
            "it hears": {
                "audio_config": {
                    "hidden_size": 80,
                    "intermediate_size": 120,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 5,
                    "num_mel_bins": 40,
                    "subsampling_conv_channels": 24,
                    "conv_kernel_size": 7,
                    "projection_hidden_size": 112,
                    "projection_bias": True,
                },
            },
            "tied, other scale": {
                "text_config": {"tie_word_embeddings": True, "num_nextn_predict_layers": 1},
                "downsample_ratio": 0.25,
                "vision_config": {"max_img_size": 140, "num_cls_tokens": 2},
            },
            "gated MLPs, longer films": {
                "video_temporal_patch_size": 3,
                "vision_config": {
                    "use_swiglu_ffn": True,
                    "mlp_ratio": 3.0,
                    "qkv_bias": False,
                    "num_registers": 4,
                    "video_temporal_patch_size": 3,
                },
                "audio_config": {
                    "hidden_size": 96,
                    "num_hidden_layers": 1,
                    "convolution_bias": False,
                    "attention_bias": True,
                    "subsampling_factor": 4,
                    "projection_hidden_size": 112,
                    "projection_bias": False,
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
BUFFERS = {
    "nemotron_h_omni": (
        "e_score_correction_bias",
        "summary_idxs",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )
}
SCANS = {"nemotron_h_omni": MAMBA2_NOTE}
