"""Encoders that are no BERT any more: other names, other attention, other shapes of layer."""

from __future__ import annotations

from variations.beyond import windows_in_chunks
from variations.encoders import BERT, DECODER, UNTIED, headed

XLM = {"vocab_size": 1009, "emb_dim": 96, "n_layers": 3, "n_heads": 6, "max_position_embeddings": 134}

TYPES = {
    "xlm": (
        "XLMWithLMHeadModel",
        XLM,
        {
            "small": {"n_heads": 4},
            "languages": UNTIED | {"n_langs": 5, "n_layers": 2},
            "left to right": {"causal": True, "n_langs": 5, "use_lang_emb": False},
            **headed("XLM", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "flaubert": (
        "FlaubertWithLMHeadModel",
        XLM,
        {
            "small": {"n_heads": 4, "pre_norm": True},
            "languages": UNTIED | {"n_langs": 5, "n_layers": 2},
            **headed("Flaubert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "big_bird": (
        "BigBirdForMaskedLM",
        BERT | {"block_size": 4, "num_random_blocks": 1},
        {
            "blocks": {"num_attention_heads": 4},
            "short sequences": {"block_size": 8, "num_random_blocks": 2, "use_bias": False},
            "full": {"attention_type": "original_full", "intermediate_size": 320},
            "decoder": DECODER
            | UNTIED
            | {"architectures": ["BigBirdForCausalLM"], "attention_type": "original_full", "add_cross_attention": True},
            **headed("BigBird", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
            **headed("BigBird", "ForTokenClassification", labels=3),
        },
    ),
    "nystromformer": (
        "NystromformerForMaskedLM",
        BERT | {"conv_kernel_size": 5},
        {
            "small": {"num_attention_heads": 4},
            "landmarks": {"num_landmarks": 4, "segment_means_seq_len": 16},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("Nystromformer", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("Nystromformer", "ForQuestionAnswering"),
        },
    ),
    "squeezebert": (
        "SqueezeBertForMaskedLM",
        BERT | {"embedding_size": 192, "intermediate_size": 384},
        {
            "small": {"num_attention_heads": 4},
            "groups": {
                "q_groups": 2,
                "k_groups": 3,
                "v_groups": 6,
                "post_attention_groups": 8,
                "intermediate_groups": 12,
                "output_groups": 16,
            },
            "untied": UNTIED | {"num_hidden_layers": 2},
            **headed("SqueezeBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("SqueezeBert", "ForQuestionAnswering"),
        },
    ),
    "esm": (
        "EsmForMaskedLM",
        {k: v for k, v in BERT.items() if k != "type_vocab_size"} | {"vocab_size": 33, "pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4},
            "rotary": {"position_embedding_type": "rotary", "emb_layer_norm_before": True},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("Esm", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "ibert": (
        "IBertForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("IBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "convbert": (
        "ConvBertForMaskedLM",
        BERT | {"embedding_size": 72, "conv_kernel_size": 5},
        {
            "small": {"num_attention_heads": 4},
            "groups": UNTIED | {"num_groups": 4, "head_ratio": 3, "embedding_size": 192},
            "one head": {"head_ratio": 12, "conv_kernel_size": 7},
            **headed("ConvBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "mobilebert": (
        "MobileBertForMaskedLM",
        BERT | {"embedding_size": 72, "intra_bottleneck_size": 96, "num_feedforward_networks": 3},
        {
            "small": {"num_attention_heads": 4},
            "norms": UNTIED
            | {"normalization_type": "layer_norm", "trigram_input": False, "classifier_activation": False},
            "no bottleneck": {"use_bottleneck": False, "num_feedforward_networks": 1},
            "narrow attention": {"use_bottleneck_attention": True, "key_query_shared_bottleneck": False},
            "held bottleneck": {"use_bottleneck_attention": True},
            **headed("MobileBert", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
            **headed("MobileBert", "ForTokenClassification", labels=7),
        },
    ),
    "fnet": (
        "FNetForMaskedLM",
        {k: v for k, v in BERT.items() if k != "num_attention_heads"},
        {
            "small": {"num_hidden_layers": 2},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("FNet", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
        },
    ),
    "xlnet": (
        "XLNetLMHeadModel",
        {"vocab_size": 1009, "d_model": 96, "n_layer": 3, "n_head": 6, "d_inner": 136},
        {
            "small": {"n_head": 4},
            "one way": UNTIED | {"attn_type": "uni", "d_inner": 152},
            **headed("XLNet", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "longformer": (
        "LongformerForMaskedLM",
        BERT | {"pad_token_id": 1, "attention_window": 16},
        {
            "small": {"num_attention_heads": 4, "attention_window": 8},
            "windows": UNTIED | {"attention_window": [16, 8, 4], "hidden_size": 144},
            **headed("Longformer", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "luke": (
        "LukeForMaskedLM",
        BERT | {"pad_token_id": 1, "entity_vocab_size": 77, "entity_emb_size": 40},
        {
            "small": {"num_attention_heads": 4},
            "plain": UNTIED | {"use_entity_aware_attention": False, "entity_emb_size": 192},
            **headed("Luke", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
}

CANNOT_RUN = {
    ("flaubert", "small"): "with pre_norm its code indexes a cache that has no index",
    ("nystromformer", "landmarks"): "it runs on sequences of segment_means_seq_len tokens alone",
}
RENAMED = {"esm": ((r"LayerNorm\.weight$", "LayerNorm.gamma"), (r"LayerNorm\.bias$", "LayerNorm.beta"))}
NO_DEFAULT = {"esm": "the class states no vocabulary"}
BEYOND = {"longformer": (windows_in_chunks,)}
