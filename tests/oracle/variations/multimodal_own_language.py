"""Vision-language types whose language model is another module's, and those with a language model of their own."""

from __future__ import annotations

from variations.multimodal_llava import PLAIN, SMALLER, TIED, UNTIED
from variations.pieces import DENSE, FULL, INDEX_NOTE, MLA, MLA_NOTE, NO_IDS, SLIDING, Type

TEXT = DENSE | NO_IDS
ARIA = TEXT | {"moe_num_experts": 6, "moe_topk": 2, "moe_num_shared_experts": 2, "intermediate_size": 72}

VQ = {
    "embed_dim": 24,
    "num_embeddings": 57,
    "latent_channels": 40,
    "resolution": 64,
    "base_channels": 32,
    "channel_multiplier": [1, 2, 3],
    "num_res_blocks": 1,
}
EMU_VQ = {
    "codebook_size": 57,
    "embed_dim": 4,
    "latent_channels": 8,
    "base_channels": 32,
    "channel_multiplier": [1, 2, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [2],
    "hidden_size": 64,
    "temporal_downsample_factor": 4,
}
MOLMO_ADAPTER = {
    "hidden_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "intermediate_size": 264,
    "text_hidden_size": 192,
    "vision_feature_layer": [2, 1],
}
STEP = DENSE | {
    "num_hidden_layers": 4,
    "head_dim": 40,
    "n_routed_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 72,
    "share_expert_dim": 56,
    "sliding_window": 16,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
}
MAP = {"<image>": 5, "IMGIMGA": 6, "IMGIMGB": 7}
JANUS_VISION = {name: value for name, value in PLAIN.items() if name != "intermediate_size"} | {"projection_dim": 192}
ROPE = {"rope_type": "default", "mrope_section": [2, 6, 6, 6]}
ERNIE_ROPE = {"rope_type": "default", "mrope_section": [5, 5, 6]}

TYPES: dict[str, Type] = {
    "aria": (
        "AriaForConditionalGeneration",
        {"text_config": ARIA, "vision_config": PLAIN | {"model_type": "idefics3_vision"}},
        {
            "small": {},
            "tied": TIED | {"vision_config": SMALLER, "projector_patch_to_query_dict": {"49": 11, "64": 23}},
            "queries stated": {"max_value_projector_patch_to_query_dict": 17},
        },
    ),
    "chameleon": (
        "ChameleonForConditionalGeneration",
        TEXT | {"vq_config": VQ, "vocabulary_map": MAP},
        {
            "small": {},
            "norms after, tied, biases": TIED | {"swin_norm": True, "attention_bias": True, "mlp_bias": True},
            "attention in the encoder": {
                "num_key_value_heads": 3,
                "vq_config": {"attn_resolutions": [64, 32], "num_res_blocks": 2, "double_latent": True},
            },
            "no attention": {"vq_config": {"attn_type": "none", "channel_multiplier": [2, 2]}},
        },
    ),
    "janus": (
        "JanusForConditionalGeneration",
        {
            "text_config": TEXT | {"model_type": "llama"},
            "vision_config": JANUS_VISION,
            "vq_config": {name: value for name, value in VQ.items() if name != "resolution"}
            | {"projection_dim": 72, "image_token_embed_dim": 112},
        },
        {
            "small": {},
            "untied, deeper": {
                **UNTIED,
                "vision_config": {"depth": 3, "mlp_ratio": 2.0, "use_qk_norm": True, "attention_bias": False},
                "vq_config": {"num_hidden_layers": 3, "channel_multiplier": [1, 3], "num_res_blocks": 2},
            },
            "Qwen2": {"text_config": {"model_type": "qwen2"}, "vision_config": {"image_size": 96, "patch_size": 12}},
        },
    ),
    "hunyuan_vl": (
        "HunYuanVLForConditionalGeneration",
        {
            "text_config": DENSE | {"head_dim": 40, "rope_parameters": ROPE},
            "vision_config": PLAIN | {"max_image_size": 112, "text_hidden_size": 192},
        },
        {
            "small": {},
            "untied, bias": {
                **UNTIED,
                "text_config": {"attention_bias": True, "tie_word_embeddings": False},
                "vision_config": SMALLER | {"spatial_merge_size": 3},
            },
        },
    ),
    "apertus1p5": (
        "Apertus1p5ForConditionalGeneration",
        {
            "image_token_offset": 900,
            "audio_token_offset": 957,
            "text_config": TEXT,
            "vision_config": {
                "codebook_size": 57,
                "embed_dim": 24,
                "latent_channels": 40,
                "resolution": 64,
                "base_channels": 32,
                "channel_multiplier": [1, 2, 3],
                "num_res_blocks": 1,
                "attn_resolutions": [32],
            },
            "audio_config": {
                "model_type": "wavtokenizer_encoder",
                "codebook_size": 50,
                "codebook_dim": 56,
                "hidden_size": 56,
                "num_filters": 8,
                "upsampling_ratios": [3, 2],
            },
        },
        {
            "small": {},
            "a head of the text's tokens, deeper tokenizers": {
                "text_config": {"output_vocab_size": 900, "attention_bias": True},
                "vision_config": {
                    "num_res_blocks": 2,
                    "attn_resolutions": [64, 16],
                    "channel_multiplier": [2, 1, 1, 3],
                },
                "audio_config": {
                    "norm_type": "time_group_norm",
                    "num_residual_layers": 2,
                    "num_lstm_layers": 1,
                    "use_conv_shortcut": False,
                    "compress": 4,
                },
            },
            "tied": TIED,
        },
    ),
    "hy_v4_vl": (
        "HYV4VLForConditionalGeneration",
        {
            "text_config": MLA
            | NO_IDS
            | {
                "index_n_heads": 5,
                "index_head_dim": 28,
                "index_topk": 256,
                "num_hidden_layers": 6,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]},
            },
            "vision_config": PLAIN | {"max_image_size": 112, "out_hidden_size": 192},
        },
        {
            "small": {},
            "listed, tied, a smaller tower": {
                "tie_word_embeddings": True,
                "text_config": {
                    "num_hidden_layers": 4,
                    "indexer_types": ["full", "full", "shared", "full"],
                    "mlp_layer_types": ["sparse", "dense", "dense", "sparse"],
                    "hc_mult": 3,
                },
                "vision_config": SMALLER | {"spatial_merge_size": 3},
            },
        },
    ),
    "kosmos-2": (
        "Kosmos2ForConditionalGeneration",
        {
            "text_config": {
                "vocab_size": 1009,
                "embed_dim": 192,
                "layers": 3,
                "ffn_dim": 352,
                "attention_heads": 6,
                "max_position_embeddings": 128,
            },
            "vision_config": PLAIN,
            "latent_query_num": 9,
        },
        {
            "small": {},
            "untied": UNTIED | {"text_config": UNTIED, "latent_query_num": 5, "vision_config": SMALLER},
            "tied inside": UNTIED | {"text_config": {"layers": 2}},
            "other heads": {"text_config": {"attention_heads": 8, "layers": 2}},
        },
    ),
    "ernie4_5_vl_moe": (
        "Ernie4_5_VLMoeForConditionalGeneration",
        {
            "text_config": TEXT
            | {"moe_intermediate_size": [72, 40], "moe_num_experts": 5, "moe_k": 2, "rope_parameters": ERNIE_ROPE},
            "vision_config": {"depth": 3, "hidden_size": 96, "intermediate_size": 136, "num_heads": 4},
        },
        {
            "small": {},
            "untied, biases, no shared": {
                **UNTIED,
                "text_config": {"use_bias": True, "moe_num_shared_experts": 1, "moe_k": 3},
                "vision_config": {"spatial_merge_size": 3, "temporal_merge_size": 1},
            },
            "two dense": {
                "text_config": {"mlp_layer_types": ["dense", "sparse", "dense"], "num_key_value_heads": 3},
            },
        },
    ),
    "emu3": (
        "Emu3ForConditionalGeneration",
        {
            "text_config": DENSE | {"pad_token_id": 0},
            "vq_config": EMU_VQ,
            "vocabulary_map": {"<image>": 5, "<|extra_200|>": 6, "<|visual token 000001|>": 7},
        },
        {
            "small": {},
            "tied, other levels": TIED
            | {
                "text_config": {"num_key_value_heads": 3},
                "vq_config": {"channel_multiplier": [2, 3], "attn_resolutions": [1], "num_res_blocks": 2},
            },
            "attention below": {"vq_config": {"temporal_downsample_factor": 2, "out_channels": 4}},
        },
    ),
    "molmo2": (
        "Molmo2ForConditionalGeneration",
        {
            "text_config": DENSE | {"head_dim": 40, "additional_vocab_size": 1009},
            "vision_config": PLAIN
            | {"image_size": [112, 84], "num_key_value_heads": 4, "head_dim": 24, "num_hidden_layers": 4},
            "adapter_config": MOLMO_ADAPTER,
        },
        {
            "small": {},
            "tied, OLMo's norms after, bias": TIED
            | {"text_config": {"qk_norm_type": "olmo", "norm_after": True, "attention_bias": True}},
            "one layer, no bias": {
                "vision_config": {"attention_bias": False, "num_key_value_heads": 2, "image_size": [84, 84]},
                "adapter_config": {"vision_feature_layer": [2], "attention_bias": False, "head_dim": 20},
            },
        },
    ),
    "step3p7": (
        "Step3p7ForConditionalGeneration",
        {
            "text_config": STEP,
            "vision_config": {name: value for name, value in PLAIN.items() if name != "intermediate_size"}
            | {"mlp_ratio": 1.5},
        },
        {
            "small": {},
            "tied, windows with other heads": TIED
            | {
                "text_config": {
                    "num_hidden_layers": 5,
                    "layer_types": [FULL, SLIDING, SLIDING, FULL, SLIDING],
                    "mlp_layer_types": ["dense", "dense", "sparse", "sparse", "sparse"],
                    "num_sliding_attention_heads": 8,
                },
                "projector_bias": True,
            },
            "biases, other mixtures": {
                "text_config": {
                    "attention_bias": True,
                    "mlp_bias": True,
                    "mlp_layer_types": ["sparse", "dense", "sparse", "dense"],
                    "share_expert_dim": 104,
                },
                "vision_config": {"image_size": 96, "patch_size": 12, "num_hidden_layers": 2},
            },
        },
    ),
    "florence2": (
        "Florence2ForConditionalGeneration",
        {
            "text_config": {
                "model_type": "bart",
                "vocab_size": 1009,
                "d_model": 192,
                "encoder_layers": 2,
                "decoder_layers": 3,
                "encoder_attention_heads": 6,
                "decoder_attention_heads": 8,
                "encoder_ffn_dim": 352,
                "decoder_ffn_dim": 304,
                "max_position_embeddings": 128,
            },
            "vision_config": {
                "depths": [1, 2],
                "embed_dim": [24, 48],
                "num_heads": [2, 4],
                "num_groups": [2, 4],
                "patch_size": [7, 3],
                "patch_stride": [4, 2],
                "patch_padding": [3, 1],
                "patch_prenorm": [False, True],
                "projection_dim": 192,
                "max_temporal_embeddings": 11,
                "max_position_embeddings": 13,
            },
        },
        {
            "small": {},
            "no bias, wider, norms after": {
                "vision_config": {"qkv_bias": False, "mlp_ratio": 3.0, "patch_prenorm": [False, False]},
                "text_config": {"encoder_attention_heads": 4},
            },
            "tables apart": {"text_config": {"tie_word_embeddings": False}},
            "head apart": {"tie_word_embeddings": False},
        },
    ),
    "idefics": (
        "IdeficsForVisionText2Text",
        {name: value for name, value in DENSE.items() if name != "num_key_value_heads"}
        | {"vision_config": {name: value for name, value in PLAIN.items() if name != "hidden_size"} | {"embed_dim": 96}}
        | {"cross_layer_interval": 2},
        {
            "small": {},
            "tied, more words": TIED | {"additional_vocab_size": 5, "alpha_type": "vector", "cross_layer_interval": 1},
            "resampler, norms": {
                "additional_vocab_size": 3,
                "use_resampler": True,
                "qk_layer_norms": True,
                "perceiver_config": {
                    "resampler_n_latents": 7,
                    "resampler_depth": 2,
                    "resampler_n_heads": 3,
                    "resampler_head_dim": 20,
                    "qk_layer_norms_perceiver": True,
                },
            },
        },
    ),
    "fuyu": (
        "FuyuForCausalLM",
        {
            "text_config": {
                "model_type": "persimmon",
                "vocab_size": 1009,
                "hidden_size": 192,
                "intermediate_size": 352,
                "num_hidden_layers": 3,
                "num_attention_heads": 6,
            },
            "patch_size": 12,
        },
        {
            "small": {},
            "tied, no norms": TIED | {"text_config": {"qk_layernorm": False}, "num_channels": 4},
            "Llama": {"text_config": TEXT | {"model_type": "llama"}},
        },
    ),
}
TRANSPOSED = {
    "aria": ("experts.fc1.weight", "experts.fc2.weight"),
    "ernie4_5_vl_moe": ("mlp.gate.weight", "mlp.gate.weight_1"),
}
BUFFERS = {
    "apertus1p5": (".inited", ".cluster_size", ".embed", ".embed_avg"),
    "florence2": ("pos_idx_to_embed", "final_logits_bias"),
    "step3p7": ("router_bias",),
    "ernie4_5_vl_moe": (),
}  # its score bias is a parameter
NO_DEFAULT = {
    "emu3": "transformers builds none without a vocabulary_map",
    "molmo2": "parting its joined embedding again, transformers cuts it in halves; here both tables are of one size",
    "chameleon": "transformers builds none without a vocabulary_map",
    "hunyuan_vl": "transformers builds none without num_key_value_heads and head_dim",
}
RENAMED = {
    "hy_v4_vl": (
        (r"\.(hc_\w+_layer)\.hc_pre\.", r".hc_pre.\1."),
        (r"\.hc_head\.hc_", ".hc_head.hc_pre.hc_"),
        (r"\.mlp\.(shared_experts\.)?gate_proj\.", r".mlp.\1linear_gate."),
    ),
}
NOTES = {"hy_v4_vl": f"{MLA_NOTE}; {INDEX_NOTE}"}
CANNOT_RUN = {
    ("idefics", name): "transformers insists on an image, which the layers between those of the text attend to"
    for name in TYPES["idefics"][2]
}
