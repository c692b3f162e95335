"""Layouts of a cluster, the largest batch, the longest sequence, and the recipe in other tools' words."""

from __future__ import annotations

import json
import tomllib

import pytest

from calculator import Layout, load_model, train
from calculator.errors import CalculatorError, WorkloadError
from calculator.training.search import fewest, largest_batch, layouts, longest, plans

LLAMA = "meta-llama/Llama-3.1-8B"


def test_layouts_use_all_devices_and_divide_what_can_be_divided():
    from calculator import device

    found = list(layouts(load_model("meta-llama/Llama-3.1-70B"), device("h100-sxm-80gb"), 64, 4096))
    assert all(layout.devices == 64 for layout in found)
    assert {layout.tp for layout in found} == {1, 2, 4, 8}
    assert {layout.pp for layout in found} == {1, 2, 4, 8, 16, 32, 64}
    assert all(layout.cp == 1 and layout.ep == 1 for layout in found)
    long = list(layouts(load_model("Qwen/Qwen3-30B-A3B"), device("h100-sxm-80gb"), 16, 32768))
    assert {layout.cp for layout in long} == {1, 2, 4, 8}
    assert {layout.ep for layout in long} == {1, 8, 16}


def test_plans_fit_and_the_fastest_is_first():
    found = plans(load_model(LLAMA), device="h100-sxm-80gb", devices=16, precision="bf16-mixed", kernels="fused")
    times = [plan.step_time.expected for plan in found]
    assert times == sorted(times)
    assert all(plan.fits and plan.layout.devices == 16 and plan.tokens == 2**22 for plan in found)
    best = found[0]
    again = train(
        best.model,
        batch_size=best.batch_size,
        sequence_length=4096,
        micro_batches=best.micro_batches,
        device="h100-sxm-80gb",
        layout=best.layout,
        training=best.training,
    )
    assert (again.peak, again.step_time) == (best.peak, best.step_time)


def test_the_smallest_cluster_for_a_full_fine_tune():
    assert (
        fewest(load_model(LLAMA), device="h100-sxm-80gb", precision="bf16-mixed", global_batch=8)[0].layout.devices == 2
    )
    assert fewest(load_model("meta-llama/Llama-3.1-70B"), device="rtx-4090", most=4, global_batch=8) == ()


def test_the_next_larger_batch_or_sequence_does_not_fit():
    model = load_model(LLAMA)
    given = {"device": "rtx-4090", "method": "qlora", "recompute": "full", "loss": "fused"}
    most = largest_batch(model, **given, sequence_length=2048)
    assert most is not None
    assert not train(model, **given, sequence_length=2048, batch_size=most.batch_size + 1).fits
    far = longest(model, **given)
    assert far is not None
    assert not train(model, **given, sequence_length=far.sequence_length + 256).fits
    assert largest_batch(model, device="rtx-4090") is None


def test_flops_by_every_convention():
    """Llama-3.1-8B at 4,096 tokens: 6·(N − embedding), and 12·L·H·Q·S a token beside it."""
    step = train(load_model(LLAMA), sequence_length=4096, recompute="full")
    matrices = 8_030_261_248 - 128_256 * 4096
    assert step.flops_by("6n") == 6 * matrices * 4096
    attention = 12 * 32 * 32 * 128 * 4096 * 4096
    assert step.flops_by("palm") == 6 * matrices * 4096 + attention
    norms = 65 * 4096
    assert step.flops_by("full") == 6 * (matrices - norms) * 4096 + attention
    assert step.flops_by("model") == step.flops_by("full") - attention / 2
    layers = matrices - norms - 128_256 * 4096
    assert step.flops_by("hardware") == step.flops + 2 * layers * 4096 + step.attention_flops * (4.5 / 3 - 1)
    with pytest.raises(WorkloadError, match="choose model, full, hardware, 6n or palm"):
        step.flops_by("all")


def test_exports():
    model = load_model(LLAMA)
    full = train(
        model,
        batch_size=2,
        micro_batches=4,
        layout=Layout(tp=2, dp=4, sequence_parallel=True),
        zero=1,
        recompute="full",
    )
    titan = tomllib.loads(full.export("torchtitan"))
    assert titan["training"]["global_batch_size"] == 32
    assert titan["parallelism"]["tensor_parallel_degree"] == 2
    assert titan["activation_checkpoint"] == {"mode": "full"}
    flags = full.export("megatron")
    assert "--tensor-model-parallel-size 2" in flags
    assert "--use-distributed-optimizer" in flags
    assert "--recompute-granularity full" in flags
    config = json.loads(train(model, zero=3, offload="optimizer", layout=Layout(dp=2)).export("deepspeed"))
    assert config["zero_optimization"] == {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": True}}
    lora = train(model, method="qlora", rank=8, targets=("q_proj", "v_proj"))
    assert "lora_r: 8\n" in lora.export("axolotl")
    assert "--load_in_4bit true" in lora.export("trl")
    with pytest.raises(WorkloadError, match="torchtitan has no words for adapters"):
        lora.export("torchtitan")
    with pytest.raises(CalculatorError, match="choose one of torchtitan, deepspeed, megatron, axolotl, trl"):
        lora.export("nemo")


def test_dora_trains_a_magnitude_for_each_output():
    model = load_model(LLAMA)
    beside = train(model, method="lora", dora=True).fullest.states.adapters
    outputs = 32 * (4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096)
    assert beside == train(model, method="lora").fullest.states.adapters + 4 * outputs
    with pytest.raises(WorkloadError, match="dora is of adapters"):
        train(model, dora=True)


def test_a_budget_of_tokens():
    step = train(load_model(LLAMA), device="h100-sxm-80gb", layout=Layout(dp=8), zero=3)
    days = step.days(1e12)
    assert days == 1e12 / step.tokens_per_second / 86400
    assert step.cost(1e12, price=2.0) == days * 24 * 2.0 * 8
    assert step.energy(1e12) == days * 24 * 700 * 8 / 1e3
    assert step.chinchilla_tokens == 20 * 8_030_261_248
