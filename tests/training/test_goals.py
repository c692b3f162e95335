"""Goals of training, the sentences that answer them, and recipes that cannot be."""

from __future__ import annotations

import json

import pytest

from calculator import Layout, Training, load_model, solve_training, train
from calculator.cli import main
from calculator.errors import WorkloadError

LLAMA = "meta-llama/Llama-3.1-8B"


def test_an_8b_on_one_24_gb_card():
    """All weights only with a paged optimizer whose step runs in the backward pass (torchtune's recipe for the card
    took 18.9 GiB), adapters with room to spare."""
    step = train(load_model(LLAMA), device="rtx-4090", kernels="plain", sequence_length=2048)
    assert step.fits is False
    words = [fix.words for fix in step.fixes]
    assert words == [
        "paged 8-bit AdamW in the backward pass, full recomputation and a fused loss",
        "LoRA of rank 16, full recomputation and a fused loss",
        "QLoRA of rank 16, full recomputation and a fused loss",
    ]
    assert "does not fit one GeForce RTX 4090: it needs 79.3 GiB of 24.0 GiB" in step.verdict
    assert "QLoRA of rank 16" in step.verdict
    adapters = step.with_(method="qlora", recompute="full", loss="fused")
    assert adapters.fits
    assert adapters.verdict.startswith("QLoRA of meta-llama/Llama-3.1-8B fits one GeForce RTX 4090: it needs ")
    assert adapters.required < 9 * 2**30


def test_single_changes_are_named_with_what_they_save():
    step = train(load_model(LLAMA), device="rtx-4090", batch_size=4, kernels="plain")
    saved = {change.words: change.saved for change in step.savings}
    assert list(saved.values()) == sorted(saved.values(), reverse=True)
    assert saved["full recomputation"] == step.peak - step.with_(recompute="full").peak
    assert "LoRA of rank 16, full recomputation and a fused loss" not in saved


def test_a_70b_on_64_h100():
    found = solve_training(load_model("meta-llama/Llama-3.1-70B"), "fastest", "h100-sxm-80gb", devices=64, tokens=1e12)
    best = found.best
    assert best is not None
    assert best.layout.devices == 64
    assert best.training.precision == "bf16-mixed"
    assert best.fits
    assert 0.35 < best.mfu < 0.5
    assert 150 < best.days(1e12) < 230
    assert found.value == best.tokens_per_second
    assert found.verdict.startswith("meta-llama/Meta-Llama-3.1-70B trains fastest on 64 × H100 SXM5 80GB (")
    assert "1T tokens take " in found.verdict
    assert len(found.rows()) == len(found.plans) == len(found.to_dict()["plans"])


@pytest.mark.parametrize(
    ("goal", "given", "value"),
    [("min-devices", {"global_batch": 8}, 2), ("max-batch", {"method": "qlora", "recompute": "full"}, None)],
)
def test_other_goals(goal, given, value):
    found = solve_training(load_model(LLAMA), goal, "h100-sxm-80gb", sequence_length=2048, **given)
    assert found.best is not None
    assert found.value == (value or found.best.batch_size)
    assert found.verdict.count("meta-llama/Llama-3.1-8B") == 1
    if goal == "max-batch":
        assert not train(
            found.model,
            batch_size=found.best.batch_size + 1,
            sequence_length=2048,
            device="h100-sxm-80gb",
            training=found.best.training,
        ).fits


def test_the_cheapest_of_two_devices():
    model = load_model("Qwen/Qwen2-0.5B")
    found = solve_training(model, "cheapest", "rtx-4090", global_batch=8, devices=4, tokens=1e9)
    assert found.value == found.best.cost(1e9)
    nothing = solve_training(load_model(LLAMA), "min-devices", "rtx-4090", devices=2, global_batch=8)
    assert nothing.best is None
    assert nothing.value is None
    assert "does not fit" in nothing.verdict


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"layout": Layout(tp=3)}, "tp 3 does not divide the 32 attention heads of meta-llama/Llama-3.1-8B; choose"),
        ({"optimizer_in_backward": True, "micro_batches": 2}, "give 1 micro-batch, not 2"),
        ({"layout": Layout(interleave=2)}, "interleave 2 divides pipeline stages"),
        ({"recompute": 33}, "recompute 33 is every 33th layer; meta-llama/Llama-3.1-8B has 32"),
        ({"offload": "parameters", "layout": Layout(dp=2)}, "give zero 3 with offload parameters"),
        ({"method": "lora", "targets": ("c_attn",)}, "has no such modules; choose from down_proj, gate_proj, k_proj"),
    ],
)
def test_what_cannot_be_says_why(given, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        train(load_model(LLAMA), **given)


def test_a_goal_or_a_device_that_is_missing():
    with pytest.raises(WorkloadError, match="is not of training; choose one of fastest, min-devices"):
        solve_training(load_model(LLAMA), "max-concurrency", "rtx-4090")
    with pytest.raises(WorkloadError, match="The goal fastest needs a device"):
        solve_training(load_model(LLAMA), "fastest")


def test_a_target_may_be_a_part_of_what_a_model_packs():
    """litgpt's q_proj and v_proj of Phi-1.5 are parts of Wqkv."""
    model = load_model("microsoft/phi-1_5")
    parts, packed = (train(model, method="lora", targets=names, rank=8) for names in (("q_proj", "v_proj"), "Wqkv"))
    assert parts.peak == packed.peak
    assert parts.fullest.states.adapters == 4 * 24 * 8 * (2048 + 3 * 2048)


def test_gradients_in_16_bit():
    wide, narrow = (
        train(load_model(LLAMA), precision="bf16-master", sequence_length=64, gradient_dtype=kind).fullest.states
        for kind in ("auto", "bf16")
    )
    assert (wide.gradients, narrow.gradients) == (4 * 8_030_261_248, 2 * 8_030_261_248)


def test_the_command_line_answers_in_a_sentence_first(capsys):
    assert main(["--mode", "finetune", "--table", "device", "--device", "rtx-4090", LLAMA]) == 0
    assert capsys.readouterr().out.startswith("Full training of meta-llama/Llama-3.1-8B does not fit one GeForce")
    asked = ["--mode", "train", "--solve", "fastest", "--device", "h100-sxm-80gb", "--devices", "8", "--tokens", "300B"]
    assert main([LLAMA, *asked, "--kernels", "fused", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == 3e11
    assert found["plans"][0]["devices"] == 8
    assert main([LLAMA, *asked]) == 0
    assert " trains fastest on 8 × H100 SXM5 80GB (" in capsys.readouterr().out.splitlines()[0]


def test_a_card_may_be_named_by_its_memory(capsys):
    assert main([LLAMA, "--mode", "finetune", "--device", "24GB", "--method", "lora", "--table", "device"]) == 0
    assert " one device of 24GB: it needs " in capsys.readouterr().out.splitlines()[0]
    asked = ["--solve", "max-batch", "--device", "24GB", "--method", "qlora", "--recompute", "full"]
    assert main([LLAMA, "--mode", "finetune", *asked, "--kernels", "plain"]) == 0
    assert "at the most on one a device" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--solve", "fastest", "--device", "24GB"], "name a device of the catalogue rather than its memory"),
        (["--solve", "fastest", "--device", "h100-sxm-80gb", "--tokens", "many"], "'many' is no number of tokens"),
        (["--solve", "max-concurrency", "--device", "h100-sxm-80gb"], "is not of training"),
        (["--device", "h100-sxm-80gb", "--dropout", "x"], "--dropout 'x' is no number"),
    ],
)
def test_the_command_line_says_what_is_wrong(asked, sentence, capsys):
    assert main([LLAMA, "--mode", "train", *asked]) == 2
    assert sentence in capsys.readouterr().err


def test_every_option_of_a_recipe_reaches_it(capsys):
    asked = ["--method", "lora", "--dora", "--dropout", "0.1", "--adapter-bytes", "2", "--kernels", "fused"]
    assert main([LLAMA, "--mode", "train", "--table", "device", "--format", "json", "--seq-len", "512", *asked]) == 0
    rows = {row["quantity"]: row["value"] for row in json.loads(capsys.readouterr().out)["on"]["numbers"]}
    recipe = Training(method="lora", dora=True, dropout=0.1, adapter_bytes=2, kernels="fused")
    assert rows["peak_allocated"] == train(load_model(LLAMA), sequence_length=512, training=recipe).peak


def test_a_part_of_a_sequence_holds_its_neighbours_keys_and_values():
    """Keys and values of 2,048 tokens and their gradients: twice 2 · 2 · 8 · 128 bytes a token."""
    whole, part = (
        next(
            event
            for event in train(load_model(LLAMA), layout=Layout(cp=cp), sequence_length=n).events
            if event.name == "first layer"
        )
        for cp, n in ((1, 2048), (2, 4096))
    )
    assert part.terms["work"] - whole.terms["work"] == 2 * 2048 * 2 * 2 * 8 * 128


def test_activations_on_the_host_take_time():
    given = {"device": "h100-sxm-80gb", "sequence_length": 4096, "method": "lora"}
    step = train(load_model(LLAMA), offload="activations", **given)
    assert step.activations < train(load_model(LLAMA), **given).activations / 10
    assert step.step_time.expected > train(load_model(LLAMA), **given).step_time.expected


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"dropout": 2}, "dropout must be a number from 0 to below 1, not 2"),
        ({"dropout": -0.1}, "dropout must be a number from 0 to below 1"),
        ({"imbalance": 0.5}, "imbalance must be a number from 1 to below 1,000,000, not 0.5"),
        ({"imbalance": "x"}, "imbalance must be a number"),
        ({"imbalance": float("nan")}, "imbalance must be a number"),
        ({"prefetch": -1}, "prefetch must be a whole number of layers from 0 to 1,000, not -1"),
        ({"prefetch": 1.5}, "prefetch must be a whole number"),
        ({"sequence_parallel": "yes"}, "sequence_parallel must be True or False, not 'yes'"),
    ],
)
def test_numbers_of_a_recipe_are_held_to_their_range(given, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        Training(**given)
