"""Models of codes of sound, and listeners whose encoders are of their own kind; the FLOPs are those of the language
model."""

from __future__ import annotations

from variations.linear_hybrids import TYPES as HYBRIDS
from variations.pieces import DENSE, MAMBA2_NOTE, NO_IDS, Type

GROUPED = DENSE | NO_IDS
HELIUM = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "ffn_dim": 704,
    "num_codebooks": 4,
}
MIMI = {
    "hidden_size": 96,
    "num_filters": 12,
    "intermediate_size": 136,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "codebook_size": 64,
    "num_quantizers": 6,
    "vector_quantization_hidden_dimension": 40,
    "codebook_dim": 40,
    "upsample_groups": 96,
}
VIBEVOICE = {"hidden_size": 36, "num_filters": 6, "depths": [1, 2, 3], "downsampling_ratios": [2, 3]}
NEMO_ENCODER = {"hidden_size": 96, "intermediate_size": 136, "num_hidden_layers": 3, "num_attention_heads": 4}

TYPES: dict[str, Type] = {
    "moshi": (
        "MoshiForCausalLM",
        HELIUM,
        {
            "full heads": {},
            "grouped heads, short window": {"num_key_value_heads": 2, "sliding_window": 16, "head_dim": 40},
            "asked to tie": {"tie_word_embeddings": True, "ffn_dim": 520},
        },
    ),
    "kyutai_speech_to_text": (
        "KyutaiSpeechToTextForConditionalGeneration",
        HELIUM | {"codebook_vocab_size": 65, "audio_pad_token_id": 64, "codec_config": MIMI} | NO_IDS,
        {
            "small": {},
            "tied, another codec": {
                "tie_word_embeddings": True,
                "num_key_value_heads": 3,
                "codec_config": {
                    "num_key_value_heads": 2,
                    "attention_bias": True,
                    "use_conv_shortcut": True,
                    "num_residual_layers": 2,
                    "upsampling_ratios": [6, 5, 4],
                    "num_semantic_quantizers": 2,
                    "vector_quantization_hidden_dimension": 96,
                    "codebook_dim": 96,
                    "kernel_size": 5,
                    "compress": 3,
                },
            },
        },
    ),
    "csm": (
        "CsmForConditionalGeneration",
        GROUPED
        | {
            "vocab_size": 67,
            "text_vocab_size": 1009,
            "num_codebooks": 5,
            "codebook_pad_token_id": 66,
            "audio_token_id": 1,
            "audio_eos_token_id": 2,
            "codec_config": MIMI,
            "depth_decoder_config": {
                "num_codebooks": 5,
                "backbone_hidden_size": 192,
                "vocab_size": 67,
                "hidden_size": 112,
                "intermediate_size": 152,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
            },
        },
        {
            "small": {},
            "embeddings apart, biases": {
                "tie_codebooks_embeddings": False,
                "attention_bias": True,
                "head_dim": 40,
                "depth_decoder_config": {"mlp_bias": True, "num_key_value_heads": 1},
            },
        },
    ),
    "vibevoice_asr": (
        "VibeVoiceAsrForConditionalGeneration",
        {
            "text_config": GROUPED | {"model_type": "qwen2"},
            "acoustic_tokenizer_encoder_config": VIBEVOICE,
            "semantic_tokenizer_encoder_config": VIBEVOICE | {"hidden_size": 52},
        },
        {
            "small": {},
            "other blocks": {
                "tie_word_embeddings": True,
                "acoustic_tokenizer_encoder_config": {"depths": [2, 1], "downsampling_ratios": [4], "kernel_size": 5},
                "semantic_tokenizer_encoder_config": {"ffn_expansion": 3, "channels": 2},
            },
        },
    ),
    "nemo_speechlm": (
        "Nemotron3_5TranscribeForConditionalGeneration",
        {
            "text_config": HYBRIDS["nemotron_h"][1] | {"model_type": "nemotron_h"},
            "audio_config": {
                "asr_config": NEMO_ENCODER | {"num_mel_bins": 20},
                "diarization_config": {
                    "audio_config": NEMO_ENCODER | {"hidden_size": 80, "num_hidden_layers": 2, "num_mel_bins": 20},
                    "head_config": {"hidden_size": 28, "num_speakers": 5, "audio_hidden_size": 80},
                    "streaming_config": {"num_speakers": 5},
                },
            },
            "word_timestamp_config": NEMO_ENCODER
            | {"intermediate_size": 72, "num_hidden_layers": 1, "vocab_size": 103, "blank_token_id": 102},
        },
        {
            "small": {},
            "finer times": {
                "audio_config": {"asr_config": {"num_hidden_layers": 2}},
                "word_timestamp_config": {"upsampling_factor": 3, "num_attention_heads": 6},
            },
        },
    ),
}

RENAMED = {"nemo_speechlm": ((r"\.mixer\.(A_log|D|dt_bias)$", r".mixer._fp32_params.\1"),)}
CODEBOOKS = ("codebook.initialized", "codebook.cluster_usage", "codebook.embed_sum")
BUFFERS = dict.fromkeys(("kyutai_speech_to_text", "csm"), CODEBOOKS)
SCANS = {"nemo_speechlm": MAMBA2_NOTE}
NOTES = {"nemo_speechlm": "values have all heads where num_key_value_heads says fewer, which no attention takes"}
NO_FORWARD = {"kyutai_speech_to_text": "it reads a word and all codes of a frame for each position"}
