"""The constants of GGUF files against gguf-py's own: the numbers, blocks and bytes of its tensor types, and of its
metadata values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calculator import load_checkpoint
from calculator.formats.ggml import GGML_TYPES

gguf = pytest.importorskip("gguf")


Q8_1 = 9
"""gguf-py has 40 bytes, of two 32-bit scales; llama.cpp's block_q8_1 has two of 16 bits (ggml-common.h). No file holds
the type: activations are quantized to it."""
ELSEWHERE = {"Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "Q2_0"}
"""Layouts for processors that llama.cpp wrote for a while and gguf-py dropped, and a type newer than gguf-py 0.19."""


def test_every_type_of_gguf_is_known_as_it_is_there() -> None:
    theirs = {kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind]) for kind in gguf.GGMLQuantizationType}
    ours = {t.number: (t.name, t.block, t.size) for t in GGML_TYPES.values()}
    assert theirs.pop(Q8_1) == ("Q8_1", 32, 40)
    assert ours[Q8_1] == ("Q8_1", 32, 36)
    assert {number: ours.get(number) for number in theirs} == theirs
    assert {name for number, (name, _, _) in ours.items() if number not in {*theirs, Q8_1}} <= ELSEWHERE


def test_what_gguf_py_writes_is_read(tmp_path: Path) -> None:
    """Its magic number, version, alignment and kinds of values."""
    file = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_float32("a.float", 0.5)
    writer.add_bool("a.switch", True)
    writer.add_array("a.list", ["one", "two"])
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((8, 32), np.float16))
    writer.add_tensor("blk.0.attn_norm.weight", np.zeros(3, np.float32))  # 12 bytes: what follows is aligned
    writer.add_tensor("blk.0.attn_k.weight", np.zeros((4, 32), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = load_checkpoint(file)
    assert {t.name: t.nbytes for t in found.tensors} == {
        "blk.0.attn_q.weight": 512,
        "blk.0.attn_norm.weight": 12,
        "blk.0.attn_k.weight": 256,
    }
    assert gguf.GGUF_DEFAULT_ALIGNMENT == 32
