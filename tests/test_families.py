"""Model types that transformers does not build, against counts that were published or follow from the published code."""

from __future__ import annotations

import pytest

from calculator.sources import model_from_config


# ------------------------------------------------------------ dense decoders whose code is on the Hub (families/remote)

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
