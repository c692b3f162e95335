"""The memory of a training step: published closed forms to their last digit, and what a device measured."""

from __future__ import annotations

import pytest

from calculator import Layout, Training, load_model, train
from calculator.errors import CalculatorError, WorkloadError
from calculator.training.stage import LayerKept, StageKept
from calculator.training.timeline import states

LLAMA = "meta-llama/Llama-3.1-8B"
DEGREES = (1, 4, 16, 64, 256, 1024)
ZERO_TABLE_1 = {
    (7.5e9, 1): (120, 52.5, 35.6, 31.4, 30.4, 30.1),
    (7.5e9, 2): (120, 41.3, 21.6, 16.6, 15.4, 15.1),
    (7.5e9, 3): (120, 30, 7.5, 1.88, 0.47, 0.12),
    (128e9, 1): (2048, 896, 608, 536, 518, 513),
    (128e9, 2): (2048, 704, 368, 284, 263, 257),
    (128e9, 3): (2048, 512, 128, 32, 8, 2),
    (1e12, 1): (16000, 7000, 4750, 4187, 4046, 4011),
    (1e12, 2): (16000, 5500, 2875, 2218, 2054, 2013),
    (1e12, 3): (16000, 4000, 1000, 250, 62.5, 15.6),
}
"""arXiv:1910.02054, table 1: GB a device by parameters, stage and copies. Its half-precision gradients are those of one
device that has the model to itself, so the states are of `fp16-mixed` without the 32-bit gradients of Megatron-LM."""


@pytest.mark.parametrize(("parameters", "stage"), ZERO_TABLE_1)
def test_zero_divides_the_states_as_its_paper_says(parameters, stage, monkeypatch):
    monkeypatch.setattr(Training, "states", lambda self, layout: PLAIN_FP16)
    kept = StageKept(layers=[LayerKept(parameters=parameters)])
    for copies, printed in zip(DEGREES, ZERO_TABLE_1[parameters, stage], strict=True):
        held = states(kept, Training(precision="fp16-mixed", zero=stage), Layout(dp=copies))
        assert (held.total + held.gradients) / 1e9 == pytest.approx(printed, rel=0.005, abs=0.006)


PLAIN_FP16 = {"weights": 2, "gradients": 2, "master": 4, "state": 4}


@pytest.mark.parametrize(
    ("precision", "layout", "zero", "weights", "gradients", "master", "states"),
    [
        ("bf16", Layout(), 0, 2, 2, 0, 4),
        ("bf16-mixed", Layout(), 0, 4, 4, 0, 8),
        ("bf16-mixed", Layout(dp=8), 3, 4, 4, 0, 8),
        ("bf16-mixed", Layout(tp=2), 0, 2, 4, 4, 8),
        ("bf16-mixed", Layout(dp=8), 1, 2, 4, 4, 8),
        ("fp16-mixed", Layout(), 0, 2, 2, 4, 8),
        ("fp16-mixed", Layout(pp=2), 0, 2, 4, 4, 8),
        ("fp32", Layout(), 0, 4, 4, 0, 8),
    ],
)
def test_mixed_precision_is_what_a_layouts_framework_keeps(precision, layout, zero, weights, gradients, master, states):
    row = Training(precision=precision, zero=zero).states(layout)
    assert (row["weights"], row["gradients"], row["master"], 2 * row["state"]) == (weights, gradients, master, states)


def test_pure_bf16_adamw_ends_at_the_optimizer():
    """Five copies of 8,030,261,248 parameters in 2 bytes: weights, gradients, two moments and what foreach makes."""
    step = train(load_model(LLAMA), batch_size=1, sequence_length=2048, kernels="plain")
    assert step.peak == 5 * 2 * 8_030_261_248
    assert step.fullest.peak_event.name == "optimizer"
    assert train(load_model(LLAMA), sequence_length=64, optimizer="adamw-fused", kernels="plain").states == (
        8 * 8_030_261_248
    )


def test_adapters_beside_every_linear_module_of_llama_are_as_many_as_peft_counts():
    step = train(load_model(LLAMA), method="lora", rank=16, sequence_length=64)
    held = step.fullest.states
    assert held.adapters == 4 * 41_943_040
    assert held.optimizer == 8 * 41_943_040
    assert held.weights == 2 * 8_030_261_248


def test_a_quantized_base_keeps_embedding_head_and_norms_in_16_bit():
    wide = 2 * 128_256 * 4096 + 65 * 4096
    held = train(load_model(LLAMA), method="qlora", base_format="nf4", sequence_length=64).fullest.states
    assert held.weights == (8_030_261_248 - wide) * 0.5625 + wide * 2


def test_in_flight_micro_batches_of_a_pipeline():
    """One forward, one backward: the first of four stages holds four, the last one; interleaved more (2205.05198)."""
    model = load_model(LLAMA)
    kept = [s.activations for s in train(model, layout=Layout(pp=4), micro_batches=8, loss="fused").stages]
    assert (kept[0] / 4, kept[1] / 3) == (kept[2] / 2, kept[2] / 2)
    twice = train(model, layout=Layout(pp=4, interleave=2), micro_batches=8, loss="fused").stages[0].activations
    assert twice / kept[0] == pytest.approx(1 + 3 / 8)


def test_routed_experts_have_copies_of_their_own():
    """Eight devices that divide the experts hold each of them once, so their optimizer states cannot be divided."""
    model = load_model("Qwen/Qwen3-30B-A3B")
    recipe = {"precision": "bf16-mixed", "zero": 1, "sequence_length": 512}
    apart = train(model, layout=Layout(dp=8, ep=8), **recipe).fullest.states
    experts = 48 * 128 * 3 * 2048 * 768
    dense = model.parameters.total - experts
    assert apart.optimizer + apart.master == 12 * (dense / 8 + experts / 8)
    assert apart.weights == 2 * (dense + experts / 8)


def test_offloaded_parameters_take_their_gradients_along():
    model = load_model(LLAMA)
    held = train(model, layout=Layout(dp=8), zero=3, offload=("parameters", "optimizer")).fullest.states
    assert (held.weights, held.optimizer, held.master, held.gradients) == (0, 0, 0, 0)


def test_what_a_framework_does_otherwise():
    """torchtune repeats keys and values for each of four query heads, 3 · 2 · 2 · 8 · 128 bytes a token more; litgpt
    leaves the products that adapters stand beside in 16 bit, and k_proj, which is packed with two of them; Megatron-LM
    can compute the experts again."""
    model = load_model(LLAMA)
    once, repeated = (train(model, sequence_length=1024, repeats_kv=each).activations for each in (False, True))
    assert repeated - once == 32 * 1024 * 3 * 2 * 2 * 8 * 128
    given = {"method": "qlora", "base_format": "nf4", "targets": ("q_proj", "v_proj"), "sequence_length": 64}
    wide = train(model, quantizes_targets=False, **given).fullest.states.weights
    assert wide - train(model, **given).fullest.states.weights == 32 * (4096 * 4096 + 2 * 1024 * 4096) * (2 - 0.5625)
    mixture = load_model("Qwen/Qwen3-30B-A3B")
    kept = [train(mixture, recompute=how, sequence_length=1024).activations for how in ("none", "experts", "full")]
    assert kept[0] > 1.5 * kept[1] > 1.5 * kept[2]


def test_a_verdict_needs_fragments_and_context():
    """74.8 GiB allocated ran on an 80 GiB A100 and 76.3 were refused (fms-acceleration; LLaMA-Factory, issue 6999)."""
    model = load_model("meta-llama/Meta-Llama-3-8B")
    fits = train(model, batch_size=4, sequence_length=4096, device="a100-sxm4-80gb", recompute="full", loss="fused")
    assert fits.peak / 2**30 == pytest.approx(74.8, abs=0.02)
    assert fits.fits
    assert fits.required == int(fits.peak * 1.05) + 805_306_368
    assert fits.reserved <= fits.device.memory


def test_fixes_are_tried_and_fit():
    step = train(load_model(LLAMA), batch_size=1, sequence_length=2048, device="rtx-4090")
    assert step.fits is False
    assert step.short_by > 0
    fixes = {fix.words: fix for fix in step.fixes}
    assert "QLoRA of rank 16, full recomputation and a fused loss" in fixes
    assert "a fused loss" not in fixes
    assert all(fix.peak < step.device.memory and fix.saved == step.peak - fix.peak for fix in fixes.values())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"optimizer": "adam"}, "optimizer 'adam' is not known; choose one of adamw"),
        ({"zero": 4}, "zero must be 0, 1, 2 or 3"),
        ({"recompute": 0}, "recompute 0 is not known"),
        ({"loss": "chunked:0"}, "loss 'chunked:0' is not known"),
        ({"offload": "gradients"}, "offload 'gradients' is not known"),
        ({"ranks": 8}, "A recipe has no 'ranks'"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(wrong, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        train(load_model(LLAMA), **wrong)
    with pytest.raises(CalculatorError):
        train(load_model(LLAMA), batch_size=0)
