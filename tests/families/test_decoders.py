"""Model types that transformers does not build, against counts that were published or follow from their code."""

from __future__ import annotations

import pytest

from calculator import Model, Workload, estimate
from calculator.errors import ConfigError
from calculator.sources.load import model_from_config


def outside_the_embedding(model: Model) -> int:
    """Parameters without the embedding and, where it is stored, the head."""
    parts = model.parameters.by_component
    return model.parameters.total - parts["embedding"] - parts.get("head", 0)


# Dense decoders whose code is on the Hub

LLAMA_SIZES = {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "vocab_size": 100278,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize("model_type", ["xverse", "aquila"])
def test_llama_under_another_name(model_type: str) -> None:
    model = model_from_config(LLAMA_SIZES | {"model_type": model_type})
    # XVERSE-13B: 2 × 100278 × 5120 + 40 × (4 × 5120² + 3 × 5120 × 13824 + 2 × 5120) + 5120
    assert model.parameters.total == 13_715_031_040
    assert list(model.tensors()) == list(model_from_config(LLAMA_SIZES | {"model_type": "llama"}).tensors())


def test_stablelm_by_its_older_name() -> None:
    model = model_from_config(
        {
            "model_type": "stablelm_epoch",
            "hidden_size": 2560,
            "intermediate_size": 6912,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 50304,
            "rope_pct": 0.25,
            "norm_eps": 1e-05,
            "tie_word_embeddings": False,
        }
    )
    # the model card of stabilityai/stablelm-3b-4e1t
    assert model.parameters.total == 2_795_443_200


MINICPM_2B = {
    "model_type": "minicpm",
    "hidden_size": 2304,
    "intermediate_size": 5760,
    "num_hidden_layers": 40,
    "num_attention_heads": 36,
    "num_key_value_heads": 36,
    "vocab_size": 122753,
}
MINICPM_1B = MINICPM_2B | {
    "hidden_size": 1536,
    "intermediate_size": 3840,
    "num_hidden_layers": 52,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "vocab_size": 73440,
}


@pytest.mark.parametrize(("config", "expected"), [(MINICPM_2B, 2_442_057_984), (MINICPM_1B, 1_247_442_432)])
def test_minicpm_has_the_parameters_of_its_paper(config: dict, expected: int) -> None:
    # arXiv:2404.06395, table 2: non-embedding parameters; the head is the embedding
    assert outside_the_embedding(model_from_config(config)) == expected


def test_minicpm_says_that_sparse_attention_is_priced_as_full() -> None:
    assert not any("Sparse" in note for note in model_from_config(MINICPM_2B).notes)
    assert any("Sparse" in note for note in model_from_config(MINICPM_2B | {"sparse_config": {"topk": 64}}).notes)


def test_minicpm_moe() -> None:
    model = model_from_config(MINICPM_2B | {"num_experts": 8, "num_experts_per_tok": 2})
    # the model card of openbmb/MiniCPM-MoE-8x2B: 13.6B non-embedding, 4.0B of them active
    assert outside_the_embedding(model) == 13_590_468_864
    assert model.parameters.active - model.parameters.embedding == 4_035_320_064
    assert ("model.layers.39.mlp.experts.7.w2.weight", (2304, 5760)) in model.tensors()
    assert ("model.layers.0.mlp.gate.weight", (8, 2304)) in model.tensors()


EXAONE_24B = {
    "model_type": "exaone",
    "hidden_size": 2560,
    "intermediate_size": 7168,
    "num_layers": 30,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 102400,
    "tie_word_embeddings": True,
}
EXAONE_78B = EXAONE_24B | {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_layers": 32,
    "tie_word_embeddings": False,
}
EXAONE_32B = EXAONE_78B | {
    "hidden_size": 5120,
    "intermediate_size": 27392,
    "num_layers": 64,
    "num_attention_heads": 40,
}


@pytest.mark.parametrize(
    ("config", "outside", "total"),
    [
        (EXAONE_24B, 2_143_183_360, 2_405_327_360),
        (EXAONE_78B, 6_979_588_096, 7_818_448_896),
        (EXAONE_32B, 30_954_624_000, 32_003_200_000),
    ],
)
def test_exaone(config: dict, outside: int, total: int) -> None:
    # the model cards of EXAONE 3.5: 2.14B, 6.98B and 30.95B parameters without embeddings
    model = model_from_config(config)
    assert outside_the_embedding(model) == outside
    assert model.parameters.total == total
    assert ("transformer.h.0.attn.attention.out_proj.weight", (config["hidden_size"],) * 2) in model.tensors()


def test_orion() -> None:
    model = model_from_config(
        {
            "model_type": "orion",
            "hidden_size": 5120,
            "intermediate_size": 15360,
            "num_hidden_layers": 40,
            "num_attention_heads": 40,
            "num_key_value_heads": 40,
            "vocab_size": 84608,
            "tie_word_embeddings": False,
        }
    )
    # OrionStarAI/Orion-14B: 2 × 84608 × 5120 + 40 × (4 × 5120² + 3 × 5120 × 15360 + 4 × 5120) + 2 × 5120
    assert model.parameters.total == 14_498_703_360
    assert ("model.layers.0.input_layernorm.bias", (5120,)) in model.tensors()


DECI = {
    "model_type": "deci",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 4,
    "num_attention_heads": 32,
    "num_key_value_heads_per_layer": [4, 2, 1, 4],
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}


def test_deci_counts_the_key_value_heads_of_each_layer() -> None:
    model = model_from_config(DECI)
    # 2 × 32000 × 4096 + 4 × (2 × 4096² + 3 × 4096 × 14336 + 2 × 4096) + 4096, and 2 × 4096 × 128 a key-value head
    assert model.parameters.total == 1_101_041_664 + 11 * 1_048_576
    held = estimate(model, Workload(mode="decode", batch_size=1, sequence_length=1000)).memory.kv_cache
    assert held == 11 * 2 * 128 * 2 * 1000


def test_deci_wants_one_entry_a_layer() -> None:
    with pytest.raises(ConfigError, match="one entry for each of the 4 layers"):
        model_from_config(DECI | {"num_key_value_heads_per_layer": [4, 2, 1]})


def test_telechat() -> None:
    model = model_from_config(
        {
            "model_type": "telechat",
            "hidden_size": 4096,
            "ffn_hidden_size": 12288,
            "n_layer": 30,
            "n_head": 32,
            "vocab_size": 160256,
            "seq_length": 8192,
        }
    )
    # Tele-AI/telechat-7B: 2 × 160256 × 4096 + 30 × (4 × 4096² + 3 × 4096 × 12288 + 2 × 4096 of biases and 2 × 4096 of
    # norms) + 4096
    assert model.parameters.total == 7_856_427_008
    assert ("transformer.h.0.self_attention.key_value.weight", (8192, 4096)) in model.tensors()
    assert ("transformer.h.0.mlp.down_proj.bias", (4096,)) in model.tensors()
    assert model.context_length == 8192


def test_phi3small() -> None:
    model = model_from_config(
        {
            "model_type": "phi3small",
            "hidden_size": 4096,
            "ff_intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 100352,
            "dense_attention_every_n_layers": 2,
        }
    )
    # the model page of microsoft/Phi-3-small-8k-instruct: 7.39B
    assert model.parameters.total == 7_392_272_384
    assert ("model.layers.0.self_attn.query_key_value.bias", (6144,)) in model.tensors()
    assert "sparse in blocks" in " ".join(model.notes)


def test_phi3_v() -> None:
    model = model_from_config(
        {
            "model_type": "phi3_v",
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 32064,
            "sliding_window": 262144,
            "tie_word_embeddings": False,
        }
    )
    # the safetensors metadata of microsoft/Phi-3.5-vision-instruct; the language model is Phi-3-mini
    assert model.parameters.total == 4_146_621_440
    assert model.parameters.total - model.parameters.by_component["vision"] == 3_821_079_552
    assert ("model.vision_embed_tokens.glb_GN", (1, 1, 4096)) in model.tensors()
