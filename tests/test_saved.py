"""What a training step keeps of its forward pass, for each kind of kernels. The numbers are torch's own, read with
saved_tensors_hooks on the meta device (tests/oracle/test_saved.py), and the closed forms of the papers."""

from __future__ import annotations

from typing import Any

import pytest

from calculator import Model, Workload, estimate, load_model
from calculator.record.saved import KERNELS

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
TOKENS = 64


def layer(config: dict[str, Any], kernels: str, **options: Any) -> tuple[int, int]:
    """Bytes that one layer keeps: a token, and fixed."""
    workload = Workload(mode="pretraining", sequence_length=TOKENS, kernels=kernels, **options)
    listed = [op for op in estimate(load_model(config), workload).operations if op.layers]
    tensors = [tensor for op in listed for tensor in op.keeps]
    growing, fixed = (sum(t.bytes(kernels) for t in tensors if t.fixed is kind) for kind in (False, True))
    assert growing % TOKENS == 0
    return growing // TOKENS, fixed


@pytest.mark.parametrize(
    ("kernels", "a_token", "fixed"),
    [
        ("formula", 7200, 0),  # 8d + 4(h + g)e + 4h + 6f
        ("compiled", 7208, 0),  # and two norms' 1/rms
        ("plain", 10536, 0),  # 16d + 8 + 4(h + g)e + 4h + 8f
        ("autocast", 13096, 2 * (2 * 256 * 256 + 2 * 256 * 64 + 3 * 256 * 640)),  # 26d + …, and casts of the matrices
    ],
)
def test_a_llama_layer(kernels: str, a_token: int, fixed: int) -> None:
    assert layer(LLAMA, kernels) == (a_token, fixed)


def test_unfused_attention_repeats_keys_and_keeps_scores_twice() -> None:
    """q and k of every head instead of keys once, v likewise, scores in 32 and in 16 bit; no logarithms."""
    assert layer(LLAMA, "plain", attention="eager")[0] == 10536 - 4 * 8 + 2 * 2 * 6 * 32 + 6 * 8 * TOKENS


def test_a_mixtral_layer() -> None:
    """14d + 8 + 4(h + g)e + 4h + [2d + 4E + 12k + 4] + k(4d + 8fe + 28), and the ends of the experts' rows."""
    d, h, g, e, f, experts, k = 256, 8, 2, 32, 640, 8, 2
    formula = 14 * d + 8 + 4 * (h + g) * e + 4 * h + 2 * d + 4 * experts + 12 * k + 4 + k * (4 * d + 8 * f + 28)
    workload = Workload(mode="pretraining", sequence_length=TOKENS, kernels="plain")
    listed = [op for op in estimate(load_model(MIXTRAL), workload).operations if op.layers]
    assert sum(op.saved for op in listed) == formula * TOKENS + 4 * experts


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-7B", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3.1"])
def test_the_default_is_what_the_formula_counts(name: str) -> None:
    model = load_model(name)
    e = estimate(model, mode="pretraining")
    kept = sum(t.formula * op.count for op in e.operations for t in op.keeps)
    assert e.memory.activations == kept == estimate(model, mode="pretraining", kernels="formula").memory.activations


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-7B", "openai/gpt-oss-20b", "google/gemma-2-9b"])
def test_plain_modules_keep_one_and_a_half_to_two_and_a_half_times_as_much(name: str) -> None:
    model: Model = load_model(name)
    kept = {k: estimate(model, mode="pretraining", kernels=k).memory.activations for k in KERNELS}
    assert 1.2 < kept["plain"] / kept["formula"] < 2.6


def test_every_saved_tensor_says_what_it_is_for() -> None:
    """A tensor has a need, a region and a producer that passes over the list know."""
    for name in ("openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V3.1", "openai-community/gpt2"):
        for op in estimate(load_model(name), mode="pretraining", attention="eager").operations:
            names = [t.tensor for t in op.keeps]
            assert len(set(names)) == len(names)
            for tensor in op.keeps:
                assert tensor.need in ("weight", "input", "both")
                assert tensor.region in ("sequence", "tensor", "whole")
                assert tensor.producer in ("matmul", "attention", "elementwise")
