"""Encoders before decoders: BART and its kin. The class of a type's small config is the one with both; what the other
classes build is put into a variation's `architectures`."""

from __future__ import annotations

from variations.pieces import Type

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
}
BUFFERS = {kind: ("final_logits_bias",) for kind in TYPES}
