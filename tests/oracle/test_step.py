"""The most bytes that live during a whole training step of transformers' plain modules, followed storage by storage on
the meta device, against the timeline of `calculator.train`: within 1 %."""

from __future__ import annotations

import gc
from typing import Any
from unittest import mock

import keeping
import oracle
import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from calculator import Training, load_model, train

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "max_position_embeddings": 16384,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "pad_token_id": 0,
}


def step(
    config: dict[str, Any],
    batch: int,
    tokens: int,
    *,
    recompute: bool = False,
    autocast: bool = False,
    lora: int = 0,
    dora: bool = False,
    in_backward: bool = False,
    micro_batches: int = 1,
) -> int:
    """The peak of the second step, whose optimizer has its states."""
    name = "autocast" if autocast else "plain"
    model = keeping.built(config, name=name).train()
    if recompute:
        model.activation_checkpointing_enable()
    if lora:
        peft = pytest.importorskip("peft")
        adapters = peft.LoraConfig(r=lora, target_modules="all-linear", lora_dropout=0.0, use_dora=dora)
        model = peft.get_peft_model(model, adapters)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizers: list[torch.optim.Optimizer]
    if in_backward:
        optimizers = []
        for p in trained:
            one = torch.optim.AdamW([p], foreach=False)
            p.register_post_accumulate_grad_hook(lambda p, one=one: updated(one))
    else:
        optimizers = [torch.optim.AdamW(trained, foreach=True)]
    ids = torch.zeros(batch, tokens, dtype=torch.int64, device="meta")
    with mock.patch.dict(ALL_ATTENTION_FUNCTIONS._global_mapping, {"fused": keeping.fused}), oracle._valueless():
        living = keeping.Living(*model.parameters(), *model.buffers())
        with living:
            for _ in range(2):
                living.reset()
                for _ in range(micro_batches):
                    cast = keeping.Autocast() if autocast else None
                    if cast is not None:
                        cast.__enter__()
                    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
                    if cast is not None:
                        cast.__exit__(None, None, None)
                    loss.backward()
                    del loss, cast
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                gc.collect()
    return living.peak


def updated(optimizer: torch.optim.Optimizer) -> None:
    """The update of the one tensor that an optimizer has, whose gradient is then gone."""
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


CASES: dict[str, tuple[dict[str, Any], int, int, dict[str, Any], dict[str, Any]]] = {
    "loss": ({"vocab_size": 128000}, 1, 4096, {}, {}),
    "activations": ({"vocab_size": 2000}, 4, 4096, {}, {}),
    "optimizer": ({"vocab_size": 2000}, 1, 64, {}, {}),
    "recompute": ({"vocab_size": 32000}, 2, 4096, {"recompute": True}, {"recompute": "full"}),
    "recompute, small vocabulary": ({"vocab_size": 1000}, 4, 4096, {"recompute": True}, {"recompute": "full"}),
    "autocast": ({"vocab_size": 32000}, 2, 4096, {"autocast": True}, {"precision": "bf16-mixed"}),
    "lora": ({"vocab_size": 32000}, 2, 4096, {"lora": 16}, {"method": "lora", "rank": 16}),
    "dora": ({"vocab_size": 32000}, 2, 4096, {"lora": 16, "dora": True}, {"method": "lora", "rank": 16, "dora": True}),
    "optimizer in backward": ({"vocab_size": 2000}, 1, 64, {"in_backward": True}, {"optimizer_in_backward": True}),
    "tied": ({"vocab_size": 32000, "tie_word_embeddings": True}, 1, 256, {}, {}),
    "lora, recompute": (
        {"vocab_size": 8000},
        2,
        4096,
        {"lora": 16, "recompute": True},
        {"method": "lora", "recompute": "full"},
    ),
    "autocast, accumulation": (
        {"vocab_size": 32000},
        1,
        1024,
        {"autocast": True, "micro_batches": 2},
        {"precision": "bf16-mixed"},
    ),
    "accumulation": ({"vocab_size": 32000}, 1, 1024, {"micro_batches": 2}, {}),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks in transformers' older words
@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_step_is_that_of_its_storages(name):
    shape, batch, tokens, run, recipe = CASES[name]
    config = LLAMA | shape
    predicted = train(
        load_model(config),
        batch_size=batch,
        sequence_length=tokens,
        micro_batches=run.get("micro_batches", 1),
        training=Training(kernels="plain", **recipe),
    )
    measured = step(config, batch, tokens, **run)
    assert predicted.peak == pytest.approx(measured, rel=0.01)
