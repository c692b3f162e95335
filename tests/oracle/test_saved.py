"""What training keeps, tensor by tensor: the record's `plain` and `autocast` kernels against autograd's own hooks on
the meta device, equal to the byte."""

from __future__ import annotations

from typing import Any

import keeping
import pytest

from calculator import Workload, estimate
from calculator.sources.load import model_from_config

BATCH, TOKENS = 2, 64
SMALL: dict[str, Any] = {
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}
MIXTURE: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 128}
TYPES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"head_dim": 32},
    "mistral": SMALL | {"sliding_window": None},
    "qwen2": SMALL,
    "qwen3": SMALL | {"head_dim": 32},
    "phi3": SMALL,
    "olmo2": SMALL,
    "gemma2": SMALL | {"head_dim": 32, "query_pre_attn_scalar": 32},
    "gemma3_text": SMALL | {"head_dim": 32, "query_pre_attn_scalar": 32},
    "mixtral": SMALL | {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen3_moe": SMALL | MIXTURE | {"head_dim": 32, "num_experts": 8, "decoder_sparse_step": 1, "mlp_only_layers": []},
    "gpt_oss": SMALL | {"head_dim": 32, "num_local_experts": 8, "num_experts_per_tok": 2},
    "deepseek_v3": SMALL
    | MIXTURE
    | {
        "num_key_value_heads": 8,
        "q_lora_rank": 96,
        "kv_lora_rank": 64,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 32,
        "v_head_dim": 32,
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "n_shared_experts": 1,
    },
    "gpt2": {
        "vocab_size": 1000,
        "n_embd": 256,
        "n_layer": 2,
        "n_head": 8,
        "n_positions": 512,
        "resid_pdrop": 0,
        "embd_pdrop": 0,
        "attn_pdrop": 0,
    },
    "bert": {
        "vocab_size": 1000,
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "hidden_dropout_prob": 0,
        "attention_probs_dropout_prob": 0,
    },
}
CASES = [
    (kind, kernels, attention)
    for kind in TYPES
    for kernels, attention in (("plain", "flash"), ("plain", "eager"), ("autocast", "flash"))
]


@pytest.mark.parametrize(("kind", "kernels", "attention"), CASES)
def test_what_is_kept_is_what_autograd_keeps(kind: str, kernels: str, attention: str) -> None:
    built = keeping.built({**TYPES[kind], "model_type": kind, "dtype": "bfloat16"}, attention, kernels)
    torch_keeps = sum(keeping.kept(built, BATCH, TOKENS, name=kernels).values())
    model = model_from_config(built.config.to_dict())
    workload = Workload(
        mode="pretraining", batch_size=BATCH, sequence_length=TOKENS, kernels=kernels, attention=attention
    )
    e = estimate(model, workload)
    ours = sum(
        tensor[workload.saved_column] * op.count
        for op in e.operations
        for tensor in op.keeps
        if tensor.tensor != "log-probabilities"  # the loss is not run here
    )
    assert ours == torch_keeps


@pytest.mark.parametrize("kind", TYPES)
def test_compiled_kernels_keep_the_formula_and_the_statistics(kind: str) -> None:
    built = keeping.built({**TYPES[kind], "model_type": kind, "dtype": "bfloat16"})
    model = model_from_config(built.config.to_dict())
    kept = {
        kernels: [
            (tensor.tensor, tensor.bytes(kernels))
            for op in estimate(model, mode="pretraining", sequence_length=TOKENS, kernels=kernels).operations
            for tensor in op.keeps
        ]
        for kernels in ("formula", "compiled")
    }
    for (name, formula), (_, compiled) in zip(kept["formula"], kept["compiled"], strict=True):
        if not name.endswith((".statistics", ".scores")) and name != "log-probabilities":
            assert formula == compiled, name
