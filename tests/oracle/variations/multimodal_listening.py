"""Language models that listen, or listen, look and speak; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.pieces import DENSE, MOE, NO_IDS, VISION, Type

GROUPED = DENSE | NO_IDS
WHISPER = {
    "num_mel_bins": 40,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_source_positions": 50,
}
WHISPER_OLD = {
    "num_mel_bins": 40,
    "d_model": 96,
    "encoder_ffn_dim": 136,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "max_source_positions": 50,
}
QWEN3_ENCODER = {
    "num_mel_bins": 44,
    "d_model": 96,
    "encoder_ffn_dim": 136,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "downsample_hidden_size": 20,
    "output_dim": 192,
}
QWEN2, QWEN3 = (GROUPED | {"model_type": kind} for kind in ("qwen2", "qwen3"))

GRANITE_SPEECH = {
    "text_config": GROUPED | {"model_type": "granite"},
    "encoder_config": {
        "input_dim": 40,
        "num_layers": 3,
        "hidden_dim": 96,
        "num_heads": 4,
        "output_dim": 23,
        "context_size": 20,
        "max_pos_emb": 30,
    },
    "projector_config": {
        "hidden_size": 112,
        "intermediate_size": 152,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "encoder_hidden_size": 96,
    },
}
QWEN25_EYE = {
    "depth": 3,
    "hidden_size": 96,
    "intermediate_size": 136,
    "num_heads": 4,
    "patch_size": 14,
    "out_hidden_size": 192,
    "fullatt_block_indexes": [1],
}
MROPE = {"rope_type": "default", "mrope_section": [4, 6, 6]}
OMNI25_THINKER = {
    "text_config": GROUPED | {"rope_scaling": MROPE},
    "audio_config": WHISPER_OLD | {"output_dim": 192},
    "vision_config": QWEN25_EYE,
}
OMNI25_TALKER = {
    "vocab_size": 301,
    "embedding_size": 192,
    "hidden_size": 112,
    "intermediate_size": 152,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rope_scaling": MROPE,
}
OMNI25_WAVE = {
    "dit_config": {
        "hidden_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "head_dim": 20,
        "ff_mult": 3,
        "emb_dim": 44,
        "num_embeds": 99,
        "mel_dim": 24,
        "enc_dim": 28,
        "enc_emb_dim": 36,
        "enc_channels": [32, 32, 40, 72],
        "enc_kernel_sizes": [5, 3, 3, 1],
        "enc_dilations": [1, 2, 3, 1],
        "enc_attention_channels": 12,
        "enc_se_channels": 20,
        "enc_res2net_scale": 4,
    },
    "bigvgan_config": {
        "mel_dim": 24,
        "upsample_initial_channel": 96,
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
        "upsample_rates": [4, 2, 2],
        "upsample_kernel_sizes": [8, 4, 4],
    },
}
OMNI3_THINKER = {
    "text_config": MOE
    | {
        "pad_token_id": None,
        "num_attention_heads": 6,
        "rope_parameters": {"rope_type": "default", "mrope_section": [6, 5, 5]},
    },
    "audio_config": QWEN3_ENCODER,
    "vision_config": VISION,
}
OMNI3_TALKER = {
    "thinker_hidden_size": 192,
    "spatial_merge_size": 2,
    "num_code_groups": 5,
    "text_config": {
        "vocab_size": 301,
        "hidden_size": 112,
        "intermediate_size": 152,
        "moe_intermediate_size": 44,
        "shared_expert_intermediate_size": 52,
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 5, 5]},
    },
    "code_predictor_config": {
        "vocab_size": 203,
        "hidden_size": 112,
        "intermediate_size": 136,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 20,
        "num_code_groups": 5,
    },
}
OMNI3_WAVE = {
    "codebook_size": 99,
    "num_quantizers": 5,
    "hidden_size": 80,
    "intermediate_size": 120,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "decoder_dim": 96,
    "upsample_rates": [4, 3],
    "upsampling_ratios": [2, 3],
}

TYPES: dict[str, Type] = {
    "qwen2_audio": (
        "Qwen2AudioForConditionalGeneration",
        {"text_config": QWEN2, "audio_config": WHISPER_OLD | {"model_type": "qwen2_audio_encoder"}},
        {
            "small": {},
            "asked to tie": {"tie_word_embeddings": True, "audio_config": {"encoder_layers": 2}},
            "asked to tie inside": {"text_config": {"tie_word_embeddings": True}, "audio_config": {"num_mel_bins": 36}},
        },
    ),
    "audioflamingo3": (
        "AudioFlamingo3ForConditionalGeneration",
        {"text_config": QWEN2, "audio_config": WHISPER | {"model_type": "audioflamingo3_encoder"}},
        {
            "small": {},
            "no bias, asked to tie": {
                "projector_bias": False,
                "tie_word_embeddings": True,
                "audio_config": {"encoder_ffn_dim": 152},
            },
        },
    ),
    "musicflamingo": (
        "MusicFlamingoForConditionalGeneration",
        {"text_config": QWEN2, "audio_config": WHISPER | {"model_type": "audioflamingo3_encoder"}},
        {"small": {}, "no bias": {"projector_bias": False, "audio_config": {"num_hidden_layers": 2}}},
    ),
    "omniasr": (
        "OmniASRForConditionalGeneration",
        {
            "text_config": GROUPED,
            "audio_config": {
                "model_type": "omniasr_audio",
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "conv_dim": [40, 48, 56],
                "conv_kernel": [10, 3, 2],
                "conv_stride": [5, 2, 2],
                "num_conv_pos_embeddings": 16,
                "num_conv_pos_embedding_groups": 8,
            },
        },
        {
            "small": {},
            "no bias, asked to tie": {
                "tie_word_embeddings": True,
                "audio_config": {"conv_bias": False, "num_conv_pos_embedding_groups": 4},
            },
            "asked to tie inside": {
                "text_config": {"tie_word_embeddings": True},
                "audio_config": {"conv_dim": [24, 32, 40]},
            },
        },
    ),
    "voxtral": (
        "VoxtralForConditionalGeneration",
        {"text_config": GROUPED, "audio_config": WHISPER | {"intermediate_size": 384}},
        {
            "small": {},
            "Mistral inside, asked to tie": {
                "text_config": {"model_type": "mistral", "sliding_window": 16, "head_dim": 40},
                "tie_word_embeddings": True,
            },
        },
    ),
    "glmasr": (
        "GlmAsrForConditionalGeneration",
        {"text_config": GROUPED, "audio_config": WHISPER | {"intermediate_size": 384}},
        {
            "small": {},
            "grouped keys, untied": {
                "tie_word_embeddings": False,
                "audio_config": {"num_key_value_heads": 2, "head_dim": 40},
            },
        },
    ),
    "qwen3_asr": (
        "Qwen3ASRForConditionalGeneration",
        {"text_config": QWEN3, "audio_config": QWEN3_ENCODER},
        {
            "small": {},
            "untied, other convolutions": {
                "tie_word_embeddings": False,
                "audio_config": {"downsample_hidden_size": 28, "num_mel_bins": 80, "output_dim": 160},
            },
        },
    ),
    "moss_transcribe_diarize": (
        "MossTranscribeDiarizeForConditionalGeneration",
        {"text_config": QWEN3, "audio_config": WHISPER},
        {
            "small": {},
            "no bias, untied": {
                "projector_bias": False,
                "tie_word_embeddings": False,
                "audio_merge_size": 3,
                "audio_config": {"encoder_layers": 2},
            },
        },
    ),
    "fun_asr_nano": (
        "FunAsrNanoForConditionalGeneration",
        {
            "text_config": QWEN3,
            "audio_config": {
                "num_mel_bins": 20,
                "num_stacked_frames": 5,
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 5,
                "num_timestamp_prediction_layers": 2,
                "num_attention_heads": 4,
            },
            "adaptor_config": {
                "hidden_size": 192,
                "intermediate_size": 48,
                "num_attention_heads": 4,
                "projector_hidden_size": 112,
            },
        },
        {
            "small": {},
            "untied, three adaptor layers": {
                "tie_word_embeddings": False,
                "adaptor_config": {"num_hidden_layers": 3},
                "audio_config": {"num_timestamp_prediction_layers": 1, "fsmn_kernel_size": 7},
            },
        },
    ),
    "voxtral_realtime": (
        "VoxtralRealtimeForConditionalGeneration",
        {
            "text_config": GROUPED,
            "audio_config": {
                "num_mel_bins": 40,
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "head_dim": 28,
            },
        },
        {
            "small": {},
            "short window, untied": {
                "tie_word_embeddings": False,
                "downsample_factor": 2,
                "text_config": {"sliding_window": 16, "head_dim": 40},
            },
        },
    ),
    "granite_speech": (
        "GraniteSpeechForConditionalGeneration",
        GRANITE_SPEECH,
        {
            "small": {},
            "own head size, untied": {
                "tie_word_embeddings": False,
                "window_size": 12,
                "downsample_rate": 3,
                "has_lora_adapter": False,
                "encoder_config": {
                    "dim_head": 28,
                    "feedforward_mult": 3,
                    "conv_expansion_factor": 3,
                    "max_pos_emb": 20,
                },
                "projector_config": {"cross_attention_frequency": 3, "use_qformer_text_input": True},
            },
        },
    ),
    "granite_speech_plus": (
        "GraniteSpeechPlusForConditionalGeneration",
        GRANITE_SPEECH,
        {
            "small": {},
            "an earlier layer beside the last": {
                "encoder_config": {"cat_hidden_layers": [1], "conv_kernel_size": 9},
                "projector_config": {"encoder_hidden_size": 192},
            },
        },
    ),
    "phi4_multimodal": (
        "Phi4MultimodalForCausalLM",
        GROUPED
        | {
            "vision_config": {
                "hidden_size": 96,
                "intermediate_size": 136,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "image_size": 112,
                "crop_size": 112,
                "patch_size": 14,
            },
            "audio_config": {
                "hidden_size": 80,
                "intermediate_size": 120,
                "num_blocks": 3,
                "num_attention_heads": 5,
                "input_size": 36,
                "nemo_conv_channels": 24,
                "ext_pw_out_channel": 80,
                "depthwise_separable_out_channel": 80,
                "bias_max_distance": 30,
            },
        },
        {
            "small": {},
            "tied, window": {"tie_word_embeddings": True, "sliding_window": 16, "vision_config": {"image_size": 140}},
            "other convolutions": {
                "audio_config": {
                    "time_reduction": 4,
                    "kernel_size": 5,
                    "depthwise_multiplier": 2,
                    "depthwise_separable_out_channel": 72,
                    "bias_symmetric": True,
                    "downsample_rate": 2,
                },
            },
        },
    ),
    "gemma4_unified": (
        "Gemma4UnifiedForConditionalGeneration",
        {
            "text_config": DENSE
            | {"num_hidden_layers": 6, "head_dim": 40, "global_head_dim": 56, "sliding_window": 16},
            "vision_config": None,
            "audio_config": None,
        },
        {
            "text alone": {},
            "it sees": {
                "vision_config": {
                    "patch_size": 6,
                    "mm_embed_dim": 96,
                    "output_proj_dims": 96,
                    "mm_posemb_size": 30,
                    "pooling_kernel_size": 2,
                },
            },
            "it sees and hears, untied": {
                "vision_config": {"patch_size": 4, "mm_embed_dim": 80, "output_proj_dims": 80, "mm_posemb_size": 20},
                "audio_config": {"audio_embed_dim": 44},
                "tie_word_embeddings": False,
            },
        },
    ),
    "qwen2_5_omni_thinker": (
        "Qwen2_5OmniThinkerForConditionalGeneration",
        OMNI25_THINKER,
        {
            "small": {},
            "tied, windows": {
                "tie_word_embeddings": True,
                "text_config": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
                "audio_config": {"encoder_layers": 2, "output_dim": 160},
                "vision_config": {"depth": 2, "patch_size": 12, "spatial_merge_size": 3},
            },
        },
    ),
    "qwen2_5_omni": (
        "Qwen2_5OmniForConditionalGeneration",
        {"thinker_config": OMNI25_THINKER, "talker_config": OMNI25_TALKER, "token2wav_config": OMNI25_WAVE},
        {
            "small": {},
            "it does not speak": {"enable_audio_output": False},
            "tied, other voice": {
                "thinker_config": {"tie_word_embeddings": True},
                "talker_config": {"tie_word_embeddings": True, "num_hidden_layers": 2},
                "token2wav_config": {
                    "dit_config": {"num_hidden_layers": 2, "repeats": 3},
                    "bigvgan_config": {"upsample_rates": [3, 2], "upsample_kernel_sizes": [7, 4]},
                },
            },
        },
    ),
    "qwen3_omni_moe_thinker": (
        "Qwen3OmniMoeThinkerForConditionalGeneration",
        OMNI3_THINKER,
        {
            "small": {},
            "tied, bias, a dense layer": {
                "tie_word_embeddings": True,
                "text_config": {
                    "attention_bias": True,
                    "mlp_only_layers": [1],
                    "num_experts_per_tok": 2,
                    "head_dim": 40,
                    "rope_parameters": {"mrope_section": [8, 6, 6]},
                },
                "audio_config": {"num_mel_bins": 80},
                "vision_config": {"deepstack_visual_indexes": [1]},
            },
            "every other layer dense": {"text_config": {"num_hidden_layers": 4, "decoder_sparse_step": 2}},
            "tied": {"tie_word_embeddings": True},
        },
    ),
    "qwen3_omni_moe": (
        "Qwen3OmniMoeForConditionalGeneration",
        {"thinker_config": OMNI3_THINKER, "talker_config": OMNI3_TALKER, "code2wav_config": OMNI3_WAVE},
        {
            "small": {},
            "it does not speak": {"enable_audio_output": False},
            "other voice": {
                "talker_config": {"code_predictor_config": {"num_code_groups": 4}, "text_config": {"head_dim": 40}},
                "code2wav_config": {"num_key_value_heads": 1, "attention_bias": True, "upsampling_ratios": [3]},
            },
        },
    ),
}
BUFFERS = {
    "gemma4_unified": ("layer_scalar",),
    **dict.fromkeys(("granite_speech", "granite_speech_plus"), ("running_mean", "running_var", "num_batches_tracked")),
    "phi4_multimodal": ("global_mean", "global_invstd"),
}
NO_FORWARD = {
    "voxtral_realtime": "it adds what it hears to every token, and refuses to run without",
    **dict.fromkeys(("qwen2_5_omni", "qwen3_omni_moe"), "the whole generates, and has no forward pass"),
}
NO_DEFAULT = {"qwen3_omni_moe": "the talker has no default for its shared expert"}
