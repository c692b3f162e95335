"""A device's share of weights and caches: literals that follow from the models' shapes, not from the code."""

from __future__ import annotations

import pytest

from calculator import Layout, estimate, load_model
from calculator.errors import DeviceError, WorkloadError


def share(name: str, layout: Layout, **workload: object):
    options = {"mode": "decode", "batch_size": 1, "sequence_length": 4096} | workload
    return estimate(load_model(name), layout=layout, **options).per_device


@pytest.mark.parametrize(("tp", "heads"), [(1, 8), (2, 4), (8, 1), (16, 1)])
def test_a_device_holds_whole_key_value_heads(tp, heads):
    """Llama-3.1-8B: 32 layers, keys and values of heads of 128 numbers in 2 bytes."""
    assert share("meta-llama/Llama-3.1-8B", Layout(tp=tp)).memory.kv_cache == 32 * 2 * heads * 128 * 2 * 4096


@pytest.mark.parametrize("tp", [1, 8, 16])
def test_every_device_holds_the_whole_latent(tp):
    """DeepSeek-V3.1: 61 layers, 512 latent and 64 rotary numbers a token."""
    assert share("deepseek-ai/DeepSeek-V3.1", Layout(tp=tp)).memory.kv_cache == 61 * (512 + 64) * 2 * 4096


def test_copies_of_the_attention_divide_the_latents():
    whole = 61 * (512 + 64) * 2 * 4096
    assert share("deepseek-ai/DeepSeek-V3.1", Layout(tp=8, attention_dp=8), batch_size=8).memory.kv_cache == whole


def test_windows_divide_as_their_heads():
    """gpt-oss-20b: 12 windows of 128 tokens and 12 whole layers, 8 key-value heads of 64."""
    assert share("openai/gpt-oss-20b", Layout(tp=8)).memory.kv_cache == 12 * 2 * 64 * 2 * (4096 + 128)


def test_recurrent_states_divide_as_their_channels():
    """Mamba 2.8B: 64 layers of 5120 channels, 16 numbers of state and three tokens before a convolution, in 4 bytes."""
    for tp in (1, 8):
        held = share("state-spaces/mamba-2.8b-hf", Layout(tp=tp)).memory.kv_cache
        assert held == 64 * 5120 // tp * (16 + 3) * 4


def test_linear_attention_beside_two_key_value_heads():
    """Qwen3-Next: 12 full layers with 2 heads of 256, whose cache halves and no more; 36 states that divide by 8."""
    full = 12 * 2 * 256 * 2 * 4096
    one, eight = (share("Qwen/Qwen3-Next-80B-A3B-Instruct", Layout(tp=tp)).memory.kv_cache for tp in (1, 8))
    assert (one - 2 * full) == 8 * (eight - full)


def test_weights_of_llama_on_eight():
    """Matrices divide by eight, the embedding and the head too; norms are on every device."""
    layer = 4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336
    divided, norms = 32 * layer + 2 * 128256 * 4096, (2 * 32 + 1) * 4096
    assert share("meta-llama/Llama-3.1-8B", Layout(tp=8)).memory.weights == 2 * (divided // 8 + norms)


def test_heads_below_the_devices_are_repeated():
    """On sixteen devices a key head of Llama-3.1-8B's eight stands on two of them."""
    layer = 4096 * 4096 * 2 + 3 * 4096 * 14336
    keys = 2 * 4096 * 1024
    divided, norms = 32 * layer + 2 * 128256 * 4096, (2 * 32 + 1) * 4096
    assert share("meta-llama/Llama-3.1-8B", Layout(tp=16)).memory.weights == 2 * (
        divided // 16 + 32 * keys // 8 + norms
    )


def test_one_all_reduce_for_each_addition():
    found = share("meta-llama/Llama-3.1-8B", Layout(tp=4)).operations
    counted = {op.name: op.count for op in found if op.phase == "communication"}
    assert sum(n for name, n in counted.items() if name.endswith("all-reduce")) == 2 * 32 + 1
    assert sum(n for name, n in counted.items() if name.endswith("all-gather")) == 1


def test_routed_and_shared_experts_are_summed_first():
    found = share("deepseek-ai/DeepSeek-V3.1", Layout(tp=8)).operations
    assert sum(op.count for op in found if op.name.endswith("all-reduce")) == 2 * 61 + 1


def test_whole_experts_by_ep():
    """A device of eight holds 32 of 256 experts: 58 layers of 3 matrices 7168 x 2048, in 8 bit with a scale of 4 bytes
    for each block of 128 x 128."""
    found = share("deepseek-ai/DeepSeek-V3.1", Layout(tp=8, ep=8)).operations
    held = sum(op.weight_bytes * op.stored for op in found if op.component == "experts")
    matrix = 7168 * 2048
    assert held == 58 * 32 * 3 * (matrix + 4 * matrix // 128**2)


def test_stages_hold_whole_layers():
    found = share("meta-llama/Llama-3.1-8B", Layout(pp=5)).stages
    assert [len(s.layers) for s in found] == [7, 7, 6, 6, 6]
    assert sum(op.name.endswith("send") for s in found for op in s.operations) == 4


def test_one_device_is_the_estimate():
    e = estimate(load_model("Qwen/Qwen3-8B"), mode="prefill", sequence_length=512)
    assert (e.per_device.memory.total, e.per_device.flops.total) == (e.memory.total, e.flops.total)
    assert e.per_device.sent == 0


@pytest.mark.parametrize(
    ("name", "layout", "said"),
    [
        ("Qwen/Qwen3-8B", Layout(tp=2, ep=2), "has no experts"),
        ("Qwen/Qwen3-8B", Layout(pp=64), "64 pipeline stages need as many layers"),
        ("Qwen/Qwen3-30B-A3B", Layout(tp=256, ep=256), "more than the 128 experts"),
    ],
)
def test_impossible_layouts_say_why(name, layout, said):
    with pytest.raises(DeviceError, match=said):
        share(name, layout)


def test_a_time_needs_a_device():
    e = estimate(load_model("Qwen/Qwen3-8B"), mode="decode")
    with pytest.raises(WorkloadError, match="needs a device"):
        _ = e.time
    with pytest.raises(WorkloadError, match=r"calculator\.train"):
        _ = estimate(load_model("Qwen/Qwen3-8B"), mode="pretraining").per_device
