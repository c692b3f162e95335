"""Encoders before decoders: BART and its kin. The class of a type's small config is the one with both; what the other
classes build is put into a variation's `architectures`."""

from __future__ import annotations

from variations.beyond import padded_heads, sums_as_products, tokens_nothing_reads
from variations.pieces import DENSE, FULL, SLIDING, Type

IDS = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
BART = IDS | {
    "vocab_size": 1009,
    "d_model": 192,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 320,
    "decoder_ffn_dim": 352,
    "max_position_embeddings": 96,
}
WIDER = {"d_model": 240, "encoder_attention_heads": 5, "decoder_attention_heads": 10, "decoder_ffn_dim": 136}
DEEP_ENCODER = {"encoder_layers": 5, "decoder_layers": 1, "encoder_ffn_dim": 72, "encoder_attention_heads": 3}
UNTIED = {"tie_word_embeddings": False}


def classes(prefix: str, *endings: str) -> dict[str, dict]:
    """A variation for each class, the decoder alone without ties too."""
    named = {ending: {"architectures": [prefix + ending]} for ending in endings}
    return named | {f"{e} untied": named[e] | UNTIED | WIDER for e in endings if e == "ForCausalLM"}


def like_bart(prefix: str, whole: str = "ForConditionalGeneration", **more: dict) -> Type:
    """A type whose configs have BART's fields."""
    usual = {"small": {}, "wider": WIDER, "deep encoder": DEEP_ENCODER, "untied": UNTIED | DEEP_ENCODER}
    return prefix + whole, BART, usual | classes(prefix, "ForCausalLM", "Model") | more


T5 = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0} | {
    "vocab_size": 1009,
    "d_model": 192,
    "d_kv": 24,
    "d_ff": 352,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 6,
    "relative_attention_num_buckets": 20,
}
SWITCH = T5 | {
    "num_layers": 4,
    "num_decoder_layers": 6,
    "num_sparse_encoder_layers": 2,
    "num_sparse_decoder_layers": 2,
    "num_experts": 5,
}
GEMMA = DENSE | {"head_dim": 24, "sliding_window": 12, "pad_token_id": 0, "bos_token_id": 0}
WHISPER = BART | {"num_mel_bins": 80, "max_source_positions": 50, "max_target_positions": 96}
SPEECH = BART | {
    "input_feat_per_channel": 24,
    "conv_channels": 56,
    "conv_kernel_sizes": [5, 3],
    "max_source_positions": 200,
    "max_target_positions": 96,
}
MOONSHINE = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "intermediate_size": 352,
    "encoder_num_hidden_layers": 2,
    "decoder_num_hidden_layers": 3,
    "encoder_num_attention_heads": 6,
    "decoder_num_attention_heads": 6,
}
LED = BART | {"attention_window": 12, "max_encoder_position_embeddings": 160, "max_decoder_position_embeddings": 96}
PROPHET = IDS | {
    "vocab_size": 1009,
    "hidden_size": 192,
    "num_encoder_layers": 2,
    "num_decoder_layers": 3,
    "num_encoder_attention_heads": 6,
    "num_decoder_attention_heads": 4,
    "encoder_ffn_dim": 320,
    "decoder_ffn_dim": 352,
    "max_position_embeddings": 96,
    "num_buckets": 20,
}
RELU, GATED = {"feed_forward_proj": "relu"}, {"feed_forward_proj": "gated-gelu"}


def like_t5(prefix: str, **more: dict) -> Type:
    """A type whose configs have T5's fields."""
    usual = {
        "relu": RELU,
        "gated": GATED | {"num_heads": 5, "d_kv": 36},
        "symmetric": {"num_decoder_layers": None, "num_layers": 4, "d_ff": 136},
        "deep encoder": {"num_decoder_layers": 1, "num_layers": 5, "relative_attention_num_buckets": 44} | GATED,
        "silu": {"feed_forward_proj": "gated-silu", "d_model": 136},
        "Model": {"architectures": [f"{prefix}Model"], "d_kv": 40},
        "EncoderModel": {"architectures": [f"{prefix}EncoderModel"]} | GATED,
    }
    return f"{prefix}ForConditionalGeneration", T5, usual | more


def t5_heads(prefix: str) -> dict[str, dict]:
    """The classes with other heads."""
    ends = {"ForQuestionAnswering": 2, "ForTokenClassification": 7}
    return {e: {"architectures": [prefix + e], "id2label": {str(i): str(i) for i in range(n)}} for e, n in ends.items()}


TYPES: dict[str, Type] = {
    "bart": like_bart("Bart", answers={"architectures": ["BartForQuestionAnswering"], "num_labels": 2} | WIDER),
    "mbart": like_bart("MBart", answers={"architectures": ["MBartForQuestionAnswering"]}),
    "plbart": like_bart("PLBart"),
    "mvp": like_bart("Mvp"),
    "pegasus": like_bart("Pegasus"),
    "blenderbot": like_bart("Blenderbot"),
    "blenderbot-small": like_bart("BlenderbotSmall"),
    "marian": like_bart(
        "Marian",
        "MTModel",
        **{
            "two vocabularies": {"decoder_vocab_size": 777, "share_encoder_decoder_embeddings": False},
            "two vocabularies untied": {"decoder_vocab_size": 777, "share_encoder_decoder_embeddings": False} | UNTIED,
            "ForCausalLM of 777": {"architectures": ["MarianForCausalLM"], "decoder_vocab_size": 777},
        },
    ),
    "m2m_100": (
        "M2M100ForConditionalGeneration",
        BART,
        {"small": {}, "wider": WIDER, "deep encoder": DEEP_ENCODER, "untied": UNTIED | DEEP_ENCODER}
        | classes("M2M100", "Model"),
    ),
    "t5": like_t5("T5", gate={"is_gated_act": True}, **t5_heads("T5")),
    "mt5": like_t5("MT5", **t5_heads("MT5")),
    "umt5": like_t5("UMT5", **t5_heads("UMT5")),
    "switch_transformers": (
        "SwitchTransformersForConditionalGeneration",
        SWITCH,
        {
            "small": {},
            "every layer": {"num_sparse_encoder_layers": 4, "num_sparse_decoder_layers": 6, "num_heads": 5},
            "decoder only": {"num_sparse_encoder_layers": 0, "num_layers": 1, "num_sparse_decoder_layers": 2}
            | {"num_experts": 3, "d_ff": 136},
            "uneven": {"num_layers": 5, "num_sparse_encoder_layers": 2, "num_decoder_layers": 7},
            "symmetric": {"num_decoder_layers": None, "num_sparse_decoder_layers": 1, "router_bias": True},
            "untied": UNTIED | {"d_kv": 40},
            "steps stated": {"encoder_sparse_step": 1, "decoder_sparse_step": 5},
            "Model": {"architectures": ["SwitchTransformersModel"], "num_experts": 11},
            "EncoderModel": {"architectures": ["SwitchTransformersEncoderModel"], "relative_attention_num_buckets": 28},
        },
    ),
    "nllb-moe": (
        "NllbMoeForConditionalGeneration",
        BART | {"num_experts": 5, "encoder_sparse_step": 2, "decoder_sparse_step": 3, "encoder_layers": 4},
        {
            "small": {},
            "every layer": {"encoder_sparse_step": 1, "decoder_sparse_step": 1, "router_bias": True} | WIDER,
            "dense encoder": {"encoder_sparse_step": 0, "decoder_sparse_step": 2, "num_experts": 7},
            "untied": UNTIED | DEEP_ENCODER,
            "Model": {"architectures": ["NllbMoeModel"], "encoder_layers": 6},
        },
    ),
    "t5gemma": (
        "T5GemmaForConditionalGeneration",
        {"encoder": GEMMA, "decoder": GEMMA | {"num_hidden_layers": 4}},
        {
            "small": {},
            "unlike sides": {
                "encoder": {"hidden_size": 96, "intermediate_size": 136, "num_attention_heads": 4, "vocab_size": 777},
                "decoder": {"head_dim": 40, "num_key_value_heads": 3, "attention_bias": True, "sliding_window": 30},
            },
            "patterns": {
                "encoder": {"layer_types": [FULL, SLIDING, FULL], "sliding_window": 7},
                "decoder": {"layer_types": [FULL, FULL, FULL, SLIDING], "num_key_value_heads": 1},
            },
            "untied": UNTIED | {"encoder": {"num_key_value_heads": 6}},
            "Model": {"architectures": ["T5GemmaModel"], "decoder": {"intermediate_size": 104}},
            "EncoderModel": {"architectures": ["T5GemmaEncoderModel"], "is_encoder_decoder": False},
            "tokens": {"architectures": ["T5GemmaForTokenClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}},
        },
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        WHISPER,
        {
            "small": {},
            "wider": WIDER | {"num_mel_bins": 128, "max_source_positions": 70},
            "deep encoder": DEEP_ENCODER | {"max_target_positions": 120},
            "untied": UNTIED | {"encoder_ffn_dim": 200},
        }
        | classes("Whisper", "ForCausalLM", "Model"),
    ),
    "speech_to_text": (
        "Speech2TextForConditionalGeneration",
        SPEECH,
        {
            "small": {},
            "wider": WIDER | {"input_feat_per_channel": 30, "input_channels": 2},
            "three convolutions": {"num_conv_layers": 3, "conv_kernel_sizes": [7, 3, 5], "conv_channels": 88},
            "one convolution": {"num_conv_layers": 1, "conv_kernel_sizes": [5]} | DEEP_ENCODER,
            "untied": UNTIED,
            "Model": {"architectures": ["Speech2TextModel"]},
        },
    ),
    "moonshine": (
        "MoonshineForConditionalGeneration",
        MOONSHINE,
        {
            "small": {},
            "biases": {"attention_bias": True, "hidden_size": 240, "intermediate_size": 136},
            "deep encoder": {"encoder_num_hidden_layers": 5, "decoder_num_hidden_layers": 1},
            "untied": UNTIED | {"encoder_num_attention_heads": 4, "decoder_num_attention_heads": 4},
            "other heads": {"encoder_num_attention_heads": 4, "decoder_num_attention_heads": 8},
            "padded heads": {"pad_head_dim_to_multiple_of": 20},
            "Model": {"architectures": ["MoonshineModel"]},
        },
    ),
    "trocr": (
        "TrOCRForCausalLM",
        BART,
        {
            "small": {},
            "wider": WIDER | {"cross_attention_hidden_size": 88},
            "bare": {"layernorm_embedding": False, "use_learned_position_embeddings": False, "decoder_layers": 5},
            "untied": UNTIED,
        },
    ),
    "led": (
        "LEDForConditionalGeneration",
        LED,
        {
            "small": {},
            "wider": WIDER | {"attention_window": 16, "max_encoder_position_embeddings": 80},
            "windows": {"attention_window": [4, 12, 6, 12, 4], "encoder_layers": 5, "encoder_ffn_dim": 72},
            "untied": UNTIED | {"decoder_layers": 1, "max_decoder_position_embeddings": 88},
            "Model": {"architectures": ["LEDModel"]},
        },
    ),
    "bigbird_pegasus": like_bart(
        "BigBirdPegasus",
        **{
            "sparse": {"block_size": 4, "num_random_blocks": 1, "use_bias": True},
            "sparser": {"block_size": 4, "num_random_blocks": 2, "encoder_layers": 3} | WIDER,
            "sparse and random": {"block_size": 3, "num_random_blocks": 3, "encoder_ffn_dim": 72},
            "full": {"attention_type": "original_full", "use_bias": True} | DEEP_ENCODER,
        },
    ),
    "prophetnet": (
        "ProphetNetForConditionalGeneration",
        PROPHET,
        {
            "small": {},
            "three": {"ngram": 3, "num_buckets": 12, "hidden_size": 240, "num_decoder_attention_heads": 10},
            "deep encoder": {"num_encoder_layers": 5, "num_decoder_layers": 1, "encoder_ffn_dim": 72, "ngram": 1},
            "untied": UNTIED | {"num_encoder_attention_heads": 3},
            "ForCausalLM": {"architectures": ["ProphetNetForCausalLM"]},
            "ForCausalLM untied": {"architectures": ["ProphetNetForCausalLM"], "ngram": 3} | UNTIED,
            "ForCausalLM alone": {"architectures": ["ProphetNetForCausalLM"], "add_cross_attention": False},
        },
    ),
    "pegasus_x": (
        "PegasusXForConditionalGeneration",
        BART | {"block_size": 12, "num_global_tokens": 5},
        {
            "small": {},
            "wider": WIDER | {"block_size": 8, "num_global_tokens": 3, "encoder_layers": 3},
            "in place": {"stagger_local_blocks": False, "block_size": 18, "encoder_ffn_dim": 72},
            "untied": UNTIED | {"decoder_layers": 1},
            "Model": {"architectures": ["PegasusXModel"], "block_size": 50},
        },
    ),
    "longt5": like_t5(
        "LongT5",
        blocks={"local_radius": 10},
        narrow={"local_radius": 6, "num_heads": 4},
        **{
            "sums": {"encoder_attention_type": "transient-global", "local_radius": 14, "global_block_size": 6},
            "sums gated": GATED
            | {"encoder_attention_type": "transient-global", "local_radius": 8, "global_block_size": 9, "num_heads": 4},
            "sums EncoderModel": {"architectures": ["LongT5EncoderModel"], "encoder_attention_type": "transient-global"}
            | {"local_radius": 4, "global_block_size": 5},
        },
    ),
}
BUFFERS = dict.fromkeys(TYPES, ("final_logits_bias",))
BEYOND = {"pegasus_x": (tokens_nothing_reads,), "longt5": (sums_as_products,), "moonshine": (padded_heads,)}
