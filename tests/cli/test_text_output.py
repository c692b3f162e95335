"""What the command line writes for people: headers, aligned tables, shares."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from command import DEEPSEEK, MIXTRAL, QWEN, Run, tables


def test_text_header_names_the_model_and_the_conventions(outcome: Callable[..., str]) -> None:
    lines = outcome(QWEN).splitlines()
    assert lines[0] == QWEN
    assert lines[2:8] == [
        "  model       qwen2, 28 layers, hidden 3,584, vocabulary 152,064, context 131,072",
        "  parameters  7,615,616,512 (7.62B)",
        "  precision   weights bfloat16; KV cache bf16",
        "  workload    prefill, batch 1, 4,096 tokens a sequence",
        "  counted     a multiply-add is 2 FLOPs; flash attention, counted full (S × S); logits for the last position",
        "  note        No sequence length was given: 4,096 tokens are taken.",
    ]


def test_text_header_of_a_mixture_names_experts_and_active_parameters(outcome: Callable[..., str]) -> None:
    options = "--mode pretraining --seq-len 8 --attention eager --attention-flops causal --routing uniform"
    text = outcome(MIXTRAL, *options.split(), "--expert-capacity-factor", "1.25", "--share-experts")
    assert "8 experts, 2 per token" in text
    assert "parameters  46,702,792,704 (46.70B); active per token 12,879,925,248 (12.88B)" in text
    assert "eager attention, counted causal (S × S / 2); logits for all positions; expert capacity factor 1" in text
    assert "1.25; uniform random routing; what if all layers shared one set of experts" in text
    assert "KV cache" not in text
    assert "Activations: what the forward pass keeps for the backward pass." in text


def test_a_length_beyond_the_context_is_warned_about(run: Run) -> None:
    warned = "200,000 tokens are more than the 131,072 that Qwen/Qwen2.5-7B was configured for"
    code, out, err = run(QWEN, "--seq-len", "200000")
    assert (code, err) == (0, "")
    assert f"  warning     {warned}" in out
    code, out, err = run(QWEN, "--seq-len", "200000", "--format", "csv")
    assert (code, warned in out) == (0, False)
    assert err.startswith(f"warning: {warned}")


@pytest.mark.parametrize("mode", ["prefill", "decode", "pretraining"])
@pytest.mark.parametrize("model", [QWEN, DEEPSEEK, "state-spaces/mamba-370m-hf"])
def test_columns_are_aligned(mode: str, model: str, outcome: Callable[..., str]) -> None:
    blocks = [b.splitlines() for b in outcome(model, "--mode", mode).split("\n\n")[1:]]
    for lines in blocks:
        table = [line for line in lines[1:] if not line.startswith("Activations: ")]
        assert len({len(line) for line in table}) == 1
        assert len({len(re.split(r" {2,}", line)) for line in table if set(line) != {"-"}}) == 1


def test_shares_and_totals(outcome: Callable[..., str]) -> None:
    found = tables(outcome(QWEN))
    assert [row[0] for row in found["FLOPs (a multiply-add is 2)"]] == [
        "Component",
        "Attention",
        "MLP",
        "Norms and residuals",
        "LM head",
        "Total",
    ]
    assert found["FLOPs (a multiply-add is 2)"][-1][1:] == ["60.19 TFLOP", "84.38 GFLOP", "60.28 TFLOP", "100.00 %"]
    assert found[next(t for t in found if t.startswith("Arithmetic"))][-1] == [
        "Total",
        "60.28 TFLOP",
        "56.05 GiB",
        "1,002 FLOP/B",
        "high",
    ]


def test_operations_table(outcome: Callable[..., str]) -> None:
    (rows,) = tables(outcome(QWEN, "--table", "operations")).values()
    assert rows[0][0] == "Operation"
    q_proj = ["self_attn.q_proj", "model.layers.0-27", "matmul", "28", "359,761,920", "686.19 MiB"]
    assert q_proj in [row[:6] for row in rows]
    assert rows[-1][:2] == ["Total", "7,615,616,512"]
