"""The bias of ALiBi has a flash kernel of its own."""

from __future__ import annotations

import pytest

from calculator import train
from calculator.sources.load import model_from_config

MPT = {"model_type": "mpt", "d_model": 2048, "n_heads": 16, "n_layers": 4, "vocab_size": 50368, "max_seq_len": 32768}
FALCON = {
    "model_type": "falcon",
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_hidden_layers": 4,
    "vocab_size": 50368,
    "multi_query": False,
    "parallel_attn": False,
}
BAICHUAN = {
    "model_type": "baichuan",
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_hidden_layers": 4,
    "intermediate_size": 5632,
    "vocab_size": 50368,
}


def attention(config, card):
    step = train(model_from_config(config), device=card, sequence_length=16384)
    assert step.step_time is not None
    return step.step_time.terms["attention"]


@pytest.mark.parametrize(
    ("plain", "biased"),
    [
        ({**MPT, "attn_config": {"alibi": False}}, MPT),
        ({**FALCON, "alibi": False}, {**FALCON, "alibi": True}),
        ({**BAICHUAN, "max_position_embeddings": 4096}, {**BAICHUAN, "model_max_length": 4096}),
    ],
    ids=["mpt", "falcon", "baichuan"],
)
def test_it_runs_at_the_rate_of_its_kernel(plain, biased):
    for card, flash, alibi in (("a100-sxm4-80gb", 0.5, 0.37), ("h100-sxm-80gb", 0.35, 0.2)):
        assert attention(biased, card) / attention(plain, card) == pytest.approx(flash / alibi)
