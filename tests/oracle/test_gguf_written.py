"""GGUF files written by gguf-py's own writer, with its keys and names of tensors, against the configs they are of."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")
sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoint"))

from converter import metadata, tensors  # noqa: E402
from test_gguf_families import BESIDE_DECODERS, CASES, as_converted  # noqa: E402
from writers import Tensors  # noqa: E402

from calculator import estimate, load_model  # noqa: E402

EVERY = CASES | BESIDE_DECODERS
ARCHITECTURES = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
LISTED = (
    *("llama", "qwen2", "qwen3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "gemma", "gemma2", "gemma3"),
    *("gemma3n", "gemma4", "phi2", "phi3", "gpt-oss", "deepseek2", "glm4", "glm4moe", "granite", "granitemoe"),
    *("granitehybrid", "lfm2", "lfm2moe", "nemotron", "nemotron_h", "falcon-h1", "mamba", "mamba2", "rwkv6"),
    *("starcoder2", "command-r", "olmo2", "minimax-m2", "bert", "nomic-bert", "t5", "t5encoder", "mistral3"),
)


def texts(values: Any) -> Iterator[str]:
    """All the keys that gguf-py writes."""
    for value in vars(values).values():
        if isinstance(value, type):
            yield from texts(value)
        elif isinstance(value, str):
            yield value


KEYS = frozenset(texts(gguf.Keys))


def put(writer: Any, key: str, value: Any) -> None:
    """A value in the type that gguf-py's setters write it in."""
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
    kinds |= {str: writer.add_string, list: writer.add_array}
    kinds[type(value)](key, value)


def names_of(architecture: str) -> frozenset[str]:
    """The names of tensors that the architecture has in llama.cpp, with * for the layer."""
    listed = set(gguf.MODEL_TENSORS[ARCHITECTURES[architecture]])
    if architecture in ("qwen35", "qwen35moe"):  # llama.cpp has read their prediction layers since gguf-py 0.19
        listed |= {tensor for tensor in gguf.MODEL_TENSORS[gguf.MODEL_ARCH.GLM4_MOE] if "NEXTN" in tensor.name}
    return frozenset(gguf.TENSOR_NAMES[tensor].format(bid="*") for tensor in listed)


def starred(name: str) -> str:
    """The name of a tensor without its layer and its last word."""
    words = name.removesuffix(".weight").removesuffix(".bias").split(".")
    return ".".join("*" if word.isdigit() else word for word in words)


def write(path: Path, architecture: str, kind: str, stored: Tensors, said: dict[str, Any]) -> dict[str, int]:
    """The file, with a hole in place of the data; the bytes of each tensor."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in said.items():
        if key != "general.architecture":  # which the writer adds itself
            assert key.replace(architecture, "{arch}", 1) in KEYS, key
            put(writer, key, value)
    held, known = {}, names_of(architecture)
    for name, (_, shape) in stored.items():
        assert starred(name) in known, name
        whole = kind == "F32" or len(shape) < 2 or shape[-1] % 32 > 0
        number = gguf.GGMLQuantizationType["F32" if whole else kind]
        block, size = gguf.GGML_QUANT_SIZES[number]
        held[name] = math.prod(shape) // block * size
        if whole:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), held[name])
        else:
            rows = (*shape[:-1], shape[-1] // block * size)
            writer.add_tensor_info(name, rows, np.dtype(np.uint8), held[name], raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, path.stat().st_size + sum(size + 32 for size in held.values()))
    return held


@pytest.mark.parametrize(("kind", "dtype"), [("F32", "float32"), ("Q8_0", "bfloat16")])
@pytest.mark.parametrize("case", EVERY)
def test_a_file_of_gguf_py_is_the_model_of_its_config(tmp_path: Path, case: str, kind: str, dtype: str) -> None:
    architecture, model_type, config, more = EVERY[case]
    known = as_converted({**config, "model_type": model_type}, dtype)
    layers = len(known.text.layers)
    said = metadata(architecture, known.config, more(known.config))
    held = write(tmp_path / "x.gguf", architecture, kind, tensors(architecture, known, layers), said)
    found = load_model(tmp_path / "x.gguf")
    assert found.certainty == {}, "read from the headers alone"
    assert found.model_type == model_type
    assert found.parameters == known.parameters
    run = sum(size for name, size in held.items() if not name.startswith(f"blk.{layers}."))  # of no prediction layer
    for mode in ("prefill", "decode") if known.text.causal else ("prefill",):
        mine, theirs = (estimate(m, mode=mode, sequence_length=500, kv_dtype="fp16") for m in (found, known))
        assert mine.flops.total == theirs.flops.total
        assert mine.memory.kv_cache == theirs.memory.kv_cache
        assert mine.memory.weights == run


def test_every_listed_architecture_is_written() -> None:
    assert set(LISTED) <= {architecture for architecture, *_ in EVERY.values()}
