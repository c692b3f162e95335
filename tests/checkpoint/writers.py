"""Writes safetensors and GGUF files byte by byte. Data are left as a hole in the file, so that they cost nothing."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

BITS = {"F32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "F8_E8M0": 8, "U8": 8, "I8": 8, "I32": 32, "U32": 32, "I64": 64}
BITS |= {"F4": 4, "F6_E2M3": 6, "BOOL": 8}
GGML = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144)}
GGML |= {"Q6_K": (14, 256, 210), "MXFP4": (39, 32, 17), "BF16": (30, 1, 2)}

Tensors = dict[str, tuple[str, tuple[int, ...]]]


def safetensors_bytes(tensors: Tensors, metadata: dict[str, str] | None = None) -> tuple[bytes, int]:
    """The header with its length, and the bytes of data that follow it."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text, end


def write_safetensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> Path:
    header, data = safetensors_bytes(tensors, metadata)
    return write(path, header, data)


def write(path: Path, header: bytes, data: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + data)
    return path


def write_shards(folder: Path, shards: dict[str, Tensors], config: dict[str, Any] | None = None) -> Path:
    for name, tensors in shards.items():
        write_safetensors(folder / name, tensors)
    index = {"metadata": {}, "weight_map": {tensor: name for name, tensors in shards.items() for tensor in tensors}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def gguf_bytes(
    tensors: Tensors, metadata: dict[str, Any], *, version: int = 3, order: str = "<", alignment: int = 32
) -> tuple[bytes, int]:
    """A header with its padding, and the bytes of data that follow it. Shapes are given with the inputs last."""

    def p(code: str, *values: Any) -> bytes:
        return struct.pack(order + code, *values)

    def text(words: str) -> bytes:
        return p("Q", len(words.encode())) + words.encode()

    def value(v: Any) -> bytes:
        if isinstance(v, bool):
            return p("I", 7) + p("?", v)
        if isinstance(v, int):
            return p("I", 4) + p("I", v)
        if isinstance(v, float):
            return p("I", 6) + p("f", v)
        if isinstance(v, str):
            return p("I", 8) + text(v)
        inner = value(v[0])[:4] if v else p("I", 4)
        return p("I", 9) + inner + p("Q", len(v)) + b"".join(value(each)[4:] for each in v)

    body = b"GGUF" + p("I", version) + p("Q", len(tensors)) + p("Q", len(metadata))
    body += b"".join(text(k) + value(v) for k, v in metadata.items())
    end = 0
    for name, (kind, shape) in tensors.items():
        number, block, size = GGML[kind]
        start = -(-end // alignment) * alignment
        body += text(name) + p("I", len(shape)) + b"".join(p("Q", n) for n in reversed(shape))
        body += p("I", number) + p("Q", start)
        end = start + math.prod(shape) // block * size
    return body + bytes(-len(body) % alignment), end


def write_gguf(path: Path, tensors: Tensors, metadata: dict[str, Any], **options: Any) -> Path:
    header, data = gguf_bytes(tensors, metadata, **options)
    return write(path, header, data)
