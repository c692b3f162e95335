"""BERT and the types that keep its layers, as encoders, as decoders, and with the heads their classes name."""

from __future__ import annotations

from variations.pieces import DENSE, FULL, NO_IDS, SLIDING

BERT = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "intermediate_size": 352,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 134,
    "type_vocab_size": 3,
} | NO_IDS
DECODER = {"is_decoder": True}
MODERN = {
    "vocab_size": 1009,
    "hidden_size": 192,
    "intermediate_size": 352,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "max_position_embeddings": 134,
    "pad_token_id": 0,
}
RELATIVE = {"relative_attention": True}
UNTIED = {"tie_word_embeddings": False}


def headed(root: str, *kinds: str, labels: int = 2) -> dict[str, dict]:
    """A variation for each ending of the class's name."""
    named = {"id2label": {str(i): f"LABEL_{i}" for i in range(labels)}} if labels != 2 else {}
    fixed = ("Model", "ForPreTraining", "ForQuestionAnswering", "ForNextSentencePrediction")
    return {kind: {"architectures": [root + kind]} | ({} if kind in fixed else named) for kind in kinds}


TYPES = {
    "bert": (
        "BertForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4},
            "untied": UNTIED | {"num_hidden_layers": 2, "intermediate_size": 320},
            "decoder": DECODER | {"architectures": ["BertLMHeadModel"], "num_attention_heads": 8},
            "decoder for an encoder": DECODER
            | UNTIED
            | {"architectures": ["BertLMHeadModel"], "add_cross_attention": True, "hidden_size": 144},
            "without a class": {"architectures": None},
            **headed(
                "Bert", "Model", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification", labels=5
            ),
            **headed("Bert", "ForQuestionAnswering", "ForNextSentencePrediction"),
        },
    ),
    "roberta": (
        "RobertaForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4, "type_vocab_size": 1},
            "untied": UNTIED | {"num_hidden_layers": 2, "intermediate_size": 320},
            "decoder": DECODER | {"architectures": ["RobertaForCausalLM"], "num_attention_heads": 8},
            "decoder for an encoder": DECODER
            | {"architectures": ["RobertaForCausalLM"], "add_cross_attention": True, "hidden_size": 144},
            **headed("Roberta", "Model", "ForSequenceClassification", "ForTokenClassification", labels=5),
            **headed("Roberta", "ForQuestionAnswering"),
        },
    ),
    "xlm-roberta": (
        "XLMRobertaForMaskedLM",
        BERT | {"pad_token_id": 1, "type_vocab_size": 1},
        {
            "small": {"num_attention_heads": 4},
            "untied decoder": DECODER | UNTIED | {"architectures": ["XLMRobertaForCausalLM"], "intermediate_size": 320},
            **headed("XLMRoberta", "Model", "ForSequenceClassification", labels=1),
            **headed("XLMRoberta", "ForTokenClassification", labels=9),
        },
    ),
    "camembert": (
        "CamembertForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4, "type_vocab_size": 1},
            "decoder": DECODER | {"architectures": ["CamembertForCausalLM"], "hidden_size": 144},
            **headed("Camembert", "Model", "ForTokenClassification", labels=7),
        },
    ),
    "data2vec-text": (
        "Data2VecTextForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4},
            "untied decoder": DECODER | UNTIED | {"architectures": ["Data2VecTextForCausalLM"], "hidden_size": 144},
            **headed("Data2VecText", "Model", "ForSequenceClassification", labels=3),
        },
    ),
    "roberta-prelayernorm": (
        "RobertaPreLayerNormForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4},
            "decoder for an encoder": DECODER
            | {
                "architectures": ["RobertaPreLayerNormForCausalLM"],
                "add_cross_attention": True,
                "hidden_size": 144,
            },
            **headed("RobertaPreLayerNorm", "Model", "ForSequenceClassification", labels=3),
        },
    ),
    "xlm-roberta-xl": (
        "XLMRobertaXLForMaskedLM",
        BERT | {"pad_token_id": 1},
        {
            "small": {"num_attention_heads": 4},
            "decoder for an encoder": DECODER
            | UNTIED
            | {"architectures": ["XLMRobertaXLForCausalLM"], "add_cross_attention": True, "hidden_size": 144},
            **headed("XLMRobertaXL", "Model", "ForSequenceClassification", labels=3),
        },
    ),
    "xmod": (
        "XmodForMaskedLM",
        BERT | {"pad_token_id": 1, "languages": ["en_XX", "fr_XX", "de_DE"], "default_language": "en_XX"},
        {
            "small": {"adapter_reduction_factor": 4},
            "norms": {
                "adapter_layer_norm": True,
                "pre_norm": True,
                "languages": ["en_XX"],
                "default_language": "en_XX",
            },
            "decoder for an encoder": DECODER | {"architectures": ["XmodForCausalLM"], "add_cross_attention": True},
            **headed("Xmod", "Model", "ForSequenceClassification", labels=3),
        },
    ),
    "ernie": (
        "ErnieForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4},
            "tasks": {"use_task_id": True, "task_type_vocab_size": 5},
            "decoder": DECODER | UNTIED | {"architectures": ["ErnieForCausalLM"], "add_cross_attention": True},
            **headed("Ernie", "Model", "ForPreTraining", "ForTokenClassification", labels=7),
        },
    ),
    "layoutlm": (
        "LayoutLMForMaskedLM",
        BERT | {"max_2d_position_embeddings": 71},
        {
            "small": {"num_attention_heads": 4},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("LayoutLM", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("LayoutLM", "ForQuestionAnswering"),
        },
    ),
    "roc_bert": (
        "RoCBertForMaskedLM",
        BERT
        | {
            "pronunciation_vocab_size": 91,
            "pronunciation_embed_dim": 56,
            "shape_vocab_size": 77,
            "shape_embed_dim": 40,
        },
        {
            "small": {"num_attention_heads": 4},
            "no shape": {"enable_shape": False},
            "no sound": {"enable_pronunciation": False},
            "decoder": DECODER
            | UNTIED
            | {
                "architectures": ["RoCBertForCausalLM"],
                "concat_input": False,
                "pronunciation_embed_dim": 192,
                "shape_embed_dim": 192,
                "add_cross_attention": True,
            },
            **headed("RoCBert", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
        },
    ),
    "megatron-bert": (
        "MegatronBertForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4},
            "decoder": DECODER | UNTIED | {"architectures": ["MegatronBertForCausalLM"], "add_cross_attention": True},
            **headed("MegatronBert", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
        },
    ),
    "bert-generation": (
        "BertGenerationDecoder",
        {k: v for k, v in BERT.items() if k != "type_vocab_size"},
        {
            "encoder with a head": {"num_attention_heads": 4},
            "decoder": DECODER | {"hidden_size": 144},
            "untied decoder": DECODER | UNTIED | {"add_cross_attention": True},
            "encoder": {"architectures": ["BertGenerationEncoder"]},
        },
    ),
    "rembert": (
        "RemBertForMaskedLM",
        BERT | {"input_embedding_size": 40, "output_embedding_size": 88},
        {
            "small": {"num_attention_heads": 4},
            "tied all the same": {"tie_word_embeddings": True},
            "decoder": DECODER | {"architectures": ["RemBertForCausalLM"], "add_cross_attention": True},
            **headed("RemBert", "Model", "ForSequenceClassification", labels=7),
        },
    ),
    "electra": (
        "ElectraForMaskedLM",
        BERT | {"embedding_size": 72},
        {
            "small": {"num_attention_heads": 4},
            "as wide as the layers": {"embedding_size": 192},
            "decoder": DECODER | UNTIED | {"architectures": ["ElectraForCausalLM"], "add_cross_attention": True},
            **headed("Electra", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
            **headed("Electra", "ForTokenClassification", labels=4),
        },
    ),
    "roformer": (
        "RoFormerForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4, "rotary_value": True},
            "narrow": {"embedding_size": 72},
            "decoder": DECODER | UNTIED | {"architectures": ["RoFormerForCausalLM"], "add_cross_attention": True},
            **headed("RoFormer", "Model", "ForSequenceClassification", labels=7),
            **headed("RoFormer", "ForQuestionAnswering"),
        },
    ),
    "mpnet": (
        "MPNetForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4, "relative_attention_num_buckets": 12},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("MPNet", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "modernbert": (
        "ModernBertForMaskedLM",
        MODERN,
        {
            "small": {"num_attention_heads": 4, "local_attention": 18},
            "biases": {
                "attention_bias": True,
                "mlp_bias": True,
                "norm_bias": True,
                "classifier_bias": True,
                "decoder_bias": False,
                "global_attn_every_n_layers": 2,
            },
            "untied": UNTIED | {"layer_types": [FULL, FULL, SLIDING, FULL, SLIDING], "hidden_size": 144},
            **headed("ModernBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("ModernBert", "ForQuestionAnswering"),
        },
    ),
    "modernbert-decoder": (
        "ModernBertDecoderForCausalLM",
        MODERN,
        {
            "small": {"num_attention_heads": 4, "local_attention": 36},
            "biases": {
                "attention_bias": True,
                "mlp_bias": True,
                "norm_bias": True,
                "classifier_bias": True,
                "decoder_bias": False,
                "global_attn_every_n_layers": 2,
            },
            "untied": UNTIED | {"layer_types": [FULL, FULL, SLIDING, FULL, SLIDING], "hidden_size": 144},
            "ForSequenceClassification": {
                "architectures": ["ModernBertDecoderForSequenceClassification"],
                "classifier_bias": True,
            },
            "Model": {"architectures": ["ModernBertDecoderModel"]},
        },
    ),
    "eurobert": (
        "EuroBertForMaskedLM",
        DENSE | NO_IDS,
        {
            "small": {"num_attention_heads": 4},
            "biases, tied": {
                "attention_bias": True,
                "mlp_bias": True,
                "tie_word_embeddings": True,
                "head_dim": 40,
                "num_key_value_heads": 3,
            },
            "pooled": {"architectures": ["EuroBertForSequenceClassification"], "classifier_pooling": "mean"},
            **headed("EuroBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "nomic_bert": (
        "NomicBertForMaskedLM",
        BERT | {"pad_token_id": 0},
        {
            "small": {"num_attention_heads": 4},
            "untied": UNTIED | {"head_dim": 40},
            **headed("NomicBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "gte": (
        "GteForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4, "type_vocab_size": 0},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("Gte", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "jina_embeddings_v3": (
        "JinaEmbeddingsV3ForMaskedLM",
        BERT,
        {
            "small": {"num_attention_heads": 4},
            "untied": UNTIED | {"hidden_size": 144},
            **headed("JinaEmbeddingsV3", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("JinaEmbeddingsV3", "ForQuestionAnswering"),
        },
    ),
    "deberta": (
        "DebertaForMaskedLM",
        BERT,
        {
            "absolute positions": {"num_attention_heads": 4},
            "both": RELATIVE | {"pos_att_type": "c2p|p2c", "position_biased_input": False, "type_vocab_size": 0},
            "few distances": RELATIVE | {"pos_att_type": ["c2p"], "max_relative_positions": 20, "legacy": False},
            "narrow": RELATIVE | {"pos_att_type": ["p2c"], "embedding_size": 72, "talking_head": True},
            **headed("Deberta", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "deberta-v2": (
        "DebertaV2ForMaskedLM",
        BERT,
        {
            "absolute positions": {"num_attention_heads": 4},
            "version 3": RELATIVE
            | {
                "pos_att_type": ["p2c", "c2p"],
                "position_biased_input": False,
                "type_vocab_size": 0,
                "position_buckets": 14,
                "share_att_key": True,
                "norm_rel_ebd": "layer_norm",
            },
            "convolution": RELATIVE
            | {"pos_att_type": ["c2p"], "max_relative_positions": 20, "conv_kernel_size": 5, "conv_groups": 2},
            "shared, one way": RELATIVE | {"pos_att_type": ["p2c"], "share_att_key": True, "legacy": False},
            "narrow": RELATIVE | {"pos_att_type": ["p2c"], "embedding_size": 72, "type_vocab_size": 4},
            **headed("DebertaV2", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
        },
    ),
    "distilbert": (
        "DistilBertForMaskedLM",
        {
            "vocab_size": 1009,
            "dim": 192,
            "hidden_dim": 352,
            "n_layers": 3,
            "n_heads": 6,
            "max_position_embeddings": 134,
        },
        {
            "small": {"n_heads": 4},
            "untied, other names": UNTIED | {"num_hidden_layers": 2, "num_attention_heads": 8},
            **headed("DistilBert", "Model", "ForSequenceClassification", "ForTokenClassification", labels=7),
            **headed("DistilBert", "ForQuestionAnswering"),
        },
    ),
    "albert": (
        "AlbertForMaskedLM",
        BERT | {"embedding_size": 72, "num_hidden_layers": 5},
        {
            "small": {"num_attention_heads": 4},
            "groups": UNTIED | {"num_hidden_groups": 2, "inner_group_num": 3, "embedding_size": 192},
            "more groups than layers": {"num_hidden_groups": 3, "num_hidden_layers": 2},
            **headed("Albert", "Model", "ForPreTraining", "ForSequenceClassification", labels=7),
            **headed("Albert", "ForTokenClassification", labels=4),
        },
    ),
}
