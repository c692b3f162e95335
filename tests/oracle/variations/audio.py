"""Language models that listen, or listen, look and speak; the FLOPs are those of the language model."""

from __future__ import annotations

from variations.pieces import DENSE, NO_IDS, Type

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
}
BUFFERS = {
    **dict.fromkeys(("granite_speech", "granite_speech_plus"), ("running_mean", "running_var", "num_batches_tracked")),
    "phi4_multimodal": ("global_mean", "global_invstd"),
}
NO_FORWARD = {"voxtral_realtime": "it adds what it hears to every token, and refuses to run without"}
