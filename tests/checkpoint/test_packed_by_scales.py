"""What scales give away of how many elements a stored number holds (DeepSeek-V4 and others): a type that no family
reads, so that everything follows from the headers. Elements and bytes are summed over the shapes by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from writers import Tensors, write_safetensors

from calculator import estimate, load_model
from calculator.sources.checkpoint.packing import bits_by_scale
from calculator.sources.checkpoint.tensors import StoredTensor

CONFIG = {
    "model_type": "a_type_to_come",
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_experts_per_tok": 2,
    "num_local_experts": 4,
    "vocab_size": 1024,
    "torch_dtype": "bfloat16",
}
ATTENTION = {"q_proj": (256, 256), "k_proj": (128, 256), "v_proj": (128, 256), "o_proj": (256, 256)}
EXPERT = {"gate_proj": (128, 256), "up_proj": (128, 256), "down_proj": (256, 128)}
PARAMETERS = 1_707_264  # 2 × 1024 × 256, a norm, and per layer 196,608 + 512 + 1,024 + 4 × 98,304
PACKED = 2 * 4 * 98_304  # of the experts
REST = 2 * (PARAMETERS - PACKED)  # bytes


def tensors(data: str, per_byte: int, scale: str, block: int, kind: str = "scale") -> Tensors:
    """Experts in `data`, so many elements a byte, with a scale for `block` elements of a row."""
    found: Tensors = {"model.embed_tokens.weight": ("BF16", (1024, 256)), "model.norm.weight": ("BF16", (256,))}
    found["lm_head.weight"] = ("BF16", (1024, 256))
    for i in range(2):
        layer = f"model.layers.{i}"
        found |= {f"{layer}.self_attn.{name}.weight": ("BF16", shape) for name, shape in ATTENTION.items()}
        found |= {f"{layer}.{n}.weight": ("BF16", (256,)) for n in ("input_layernorm", "post_attention_layernorm")}
        found[f"{layer}.mlp.gate.weight"] = ("BF16", (4, 256))
        for e in range(4):
            for name, (rows, columns) in EXPERT.items():
                module = f"{layer}.mlp.experts.{e}.{name}"
                found[f"{module}.weight"] = (data, (rows, columns // per_byte))
                found[f"{module}.{kind}"] = (scale, (rows, max(columns // block, 1)))
    return found


def loaded(folder: Path, stored: Tensors, **more: Any):
    write_safetensors(folder / "model.safetensors", stored)
    (folder / "config.json").write_text(json.dumps(CONFIG | more))
    return load_model(folder)


@pytest.mark.parametrize(
    ("stored", "experts"),
    [
        (tensors("I8", 2, "F8_E8M0", 32), PACKED // 2 + PACKED // 32),  # DeepSeek-V4
        (tensors("U8", 2, "F8_E8M0", 32, "weight_scale"), PACKED // 2 + PACKED // 32),
        (tensors("U8", 2, "U8", 32, "weight_scale"), PACKED // 2 + PACKED // 32),  # gpt-oss's, experts apart
        (tensors("U8", 2, "F8_E4M3", 16, "weight_scale"), PACKED // 2 + PACKED // 16),  # NVFP4
        (tensors("I8", 1, "F8_E8M0", 32), PACKED + PACKED // 32),  # MXFP8 or MXINT8
        (tensors("I8", 1, "F32", 256, "weight_scale"), PACKED + 4 * 8 * 512),  # W8A8: a scale a row
    ],
    ids=["two FP4 in I8", "two FP4 in U8", "MXFP4, U8 scales", "NVFP4", "8 bits", "W8A8"],
)
def test_elements_and_bytes(tmp_path: Path, stored: Tensors, experts: int):
    model = loaded(tmp_path, stored)
    assert model.parameters.total == PARAMETERS
    assert model.parameters.active == PARAMETERS - PACKED // 2
    assert estimate(model).memory.weights == REST + experts
    assert model.certainty["parameters"] == "exact"


def test_a_guess_is_never_called_exact(tmp_path: Path):
    """16-bit scales for some groups of a row of bytes: 8-bit integers in groups of 64, or 4-bit ones in groups of 128;
    the config does not say."""
    for data in ("I8", "U8", "I32"):
        model = loaded(tmp_path, tensors(data, 2, "F16", 128, "weight_scale"))
        assert model.certainty["parameters"] == "unknown"
        assert model.certainty["weight_bytes"] == "exact"
        assert "counted as stored" in " ".join(model.notes)


def test_integers_without_scales_are_no_weights_of_a_known_kind(tmp_path: Path):
    stored = {n: e for n, e in tensors("U8", 2, "F8_E8M0", 32).items() if not n.endswith(".scale")}
    assert loaded(tmp_path, stored).certainty["parameters"] == "unknown"


def test_experts_in_one_tensor():
    """Leading axes are experts: [experts, rows, bytes] with [experts, rows, scales]."""

    def stored(dtype: str, *shape: int) -> StoredTensor:
        size = {"U32": 4, "BF16": 2}.get(dtype, 1)
        count = 1
        for n in shape:
            count *= n
        return StoredTensor("x", dtype, shape, count * size, "file")

    assert bits_by_scale(stored("U8", 8, 64, 128), stored("F8_E8M0", 8, 64, 8)) == 4
    assert bits_by_scale(stored("U8", 8, 64, 192), stored("F8_E8M0", 8, 64, 8)) == 6  # MXFP6
    assert bits_by_scale(stored("U32", 64, 32), stored("U8", 64, 8)) == 4  # mxfp4 of MLX
    assert bits_by_scale(stored("U32", 64, 32), stored("U8", 64, 16)) == 4  # nvfp4 of MLX
    assert bits_by_scale(stored("U32", 64, 64), stored("U8", 64, 8)) == 8  # mxfp8 of MLX
    assert bits_by_scale(stored("I8", 128, 256), stored("F8_E8M0", 1, 2)) is None  # blocks of 128 × 128
    assert bits_by_scale(stored("U8", 64, 100), stored("F8_E8M0", 64, 8)) is None  # rows that are no whole blocks
