"""The command line's exact numbers, and its options on their way to a workload."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest
from command import DEEPSEEK, LLAMA, MIXTRAL, QWEN, Run, sheet, tables


def test_json_holds_the_exact_numbers(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(QWEN, "--seq-len", "2048", "--logits", "all", "--format", "json"))
    assert found["parameters"]["total"] == 7_615_616_512
    assert found["parameters"]["active"] == 7_615_616_512
    assert found["flops"]["matmul"] == 30_643_517_915_136
    assert found["memory"]["weights"] == 7_615_616_512 * 2
    assert found["memory"]["kv_cache"] == 2048 * 2 * 4 * 128 * 28 * 2
    assert found["workload"]["sequence_length"] == 2048


def test_kv_cache_of_4096_tokens_is_224_mib(outcome: Callable[..., str]) -> None:
    text = outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--table", "memory")
    rows = tables(text)["Memory (1 GiB = 2^30 bytes)"]
    assert rows[0] == ["Component", "Weights", "KV cache", "Activations", "Total", "Share"]
    assert rows[-1][:3] == ["Total", "14.19 GiB", "224.00 MiB"]
    assert rows[-1][-2:] == ["14.40 GiB", "100.00 %"]
    found = json.loads(outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--format", "json"))
    assert found["memory"]["kv_cache"] == 224 * 2**20


def test_decode_step_of_a_batch(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(QWEN, "--mode", "decode", "--seq-len", "4096", "--batch-size", "4", "--format", "json"))
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944) + 152064 * 3584
    assert found["flops"]["matmul"] == 4 * (2 * matrices + 28 * 4 * 4097 * 28 * 128)
    assert found["generation"]["tokens"] == 64
    assert found["generation"]["kv_cache"] == 4 * (4096 + 64) * 2 * 4 * 128 * 28 * 2


def test_int8_keeps_embedding_head_and_norms_in_16_bit(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(LLAMA, "--dtype", "int8", "--format", "json"))
    matrices = 32 * (4 * 4096 * (4096 + 2) + 2 * 11008 * (4096 + 2) + 4096 * (11008 + 2))
    assert found["memory"]["weights"] == matrices + 2 * (2 * 32000 * 4096 + 65 * 4096)


def test_pretraining_columns(outcome: Callable[..., str]) -> None:
    rows = sheet(outcome(QWEN, "--mode", "pretraining", "--table", "memory", "--format", "csv"))
    (row,) = [row for row in rows if row["component"] == "norm"]
    assert (row["weights"], row["kv_cache"]) == (str(57 * 3584 * 2), "0")
    assert (row["gradients"], row["optimizer_states"]) == (str(57 * 3584 * 2), str(57 * 3584 * 12))


def test_deepseek_latent_cache(outcome: Callable[..., str]) -> None:
    found = json.loads(outcome(DEEPSEEK, "--mode", "decode", "--seq-len", "4096", "--format", "json"))
    assert found["parameters"]["total"] == 671_026_404_352
    assert found["memory"]["kv_cache"] == 61 * (512 + 64) * 4096 * 2


def test_options_reach_the_workload(run: Run) -> None:
    options = (
        "--mode decode --seq-len max --batch-size 2 --decode-len 3 --dtype INT4 --kv-dtype float16 --attention eager "
        "--attention-flops causal --logits last --routing uniform --expert-capacity-factor 1.5 --share-experts "
        "--flash-block-size 64 --no-flash-decode --flash-decode-block-size 32 --gradient-dtype fp32 "
        "--encoder-len 77 --kernels plain --format json"
    )
    code, out, err = run(MIXTRAL, *shlex.split(options))
    assert code == 0
    assert err.splitlines() == [
        "warning: --gradient-dtype changes nothing in --mode decode; it is of --mode pretraining.",
        "warning: --kernels changes nothing in --mode decode; it is of --mode pretraining.",
        "warning: --flash-block-size changes nothing in --mode decode; it is of --mode prefill and --mode pretraining.",
        "warning: --encoder-len changes nothing here; it is of models with an encoder before their decoder.",
    ]
    assert json.loads(out)["workload"] == {
        "mode": "decode",
        "batch_size": 2,
        "sequence_length": 32768,
        "decode_length": 3,
        "dtype": "int4",
        "kv_dtype": "fp16",
        "attention": "eager",
        "attention_flops": "causal",
        "logits": "last",
        "flash_decode": False,
        "flash_block_size": 64,
        "flash_decode_block_size": 32,
        "expert_capacity_factor": 1.5,
        "routing": "uniform",
        "share_experts_across_layers": True,
        "gradient_dtype": "fp32",
        "encoder_length": 77,
        "past_length": 0,
        "kernels": "plain",
    }


@pytest.mark.parametrize(
    "command",
    [
        '--hf-model "Qwen/Qwen2.5-7B" --mode prefill --table all',
        '--hf-model "deepseek-ai/DeepSeek-V3.1-Terminus" --mode decode --table memory',
        '--hf-model "Qwen/Qwen2.5-7B" --seq-len 4096 --mode prefill --table all',
        '--hf-model "deepseek-ai/DeepSeek-V3.1-Terminus" --batch-size 4 --mode decode --table memory',
        '--hf-model "meta-llama/Llama-2-7b-hf" --mode prefill --table all',
        '--hf-model "meta-llama/Llama-2-7b-hf" --dtype int8 --mode prefill --table all',
        '--hf-model "Qwen/Qwen2.5-72B" --batch-size 1 --mode prefill --table memory',
    ],
)
def test_the_earlier_readme_s_commands(command: str, outcome: Callable[..., str]) -> None:
    titles = list(tables(outcome(*shlex.split(command))))
    kinds = ["Memory", "FLOPs", "Arithmetic"] if command.endswith("all") else ["Memory"]
    assert [title.split()[0] for title in titles] == kinds
