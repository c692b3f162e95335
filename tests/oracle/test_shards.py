"""What FSDP2 and tensor parallelism leave on each of two to four processes after a step, against `calculator.train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shards

from calculator import Layout, Training, load_model, train

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "vocab_size": 256,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "pad_token_id": 0,
}


@pytest.mark.parametrize(("copies", "tensor"), [(2, 1), (4, 1), (1, 2), (1, 4), (2, 2)])
def test_every_process_holds_its_share(copies: int, tensor: int, tmp_path: Path) -> None:
    held = train(
        load_model(LLAMA),
        sequence_length=16,
        layout=Layout(dp=copies, tp=tensor),
        training=Training(precision="fp32", zero=3 if copies > 1 else 0, kernels="plain"),
    ).fullest.states
    expected = {"weights": held.weights, "gradients": held.gradients, "optimizer": held.optimizer}
    if copies == 1:  # DTensor's lookup gives its gradient whole, which FSDP alone would scatter
        expected["gradients"] += 256 * 64 * 4 * (1 - 1 / tensor)
    for found in shards.step(LLAMA, copies, tensor, tmp_path / "store"):
        assert found == expected
