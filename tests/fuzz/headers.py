"""Headers of safetensors and GGUF files: mutations of whole ones, byte by byte and field by field, with a config of a
type that no family reads beside them; and what is made of them: the checkpoint, the model, and the comparison."""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "checkpoint"))

from models import EVERY, LLAMA, tensors
from writers import gguf_bytes, safetensors_bytes

from calculator.errors import MissingFileError
from calculator.estimation import estimate
from calculator.limits import HeaderBudget
from calculator.sources.checkpoint import Checkpoint, compare, gguf, report, safetensors
from calculator.sources.checkpoint.unknown import model_from_checkpoint
from calculator.sources.load import model_from_config

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    3,
    2**31,
    2**32,
    2**53,
    2**63,
    2**64 - 1,
    10**30,
    1.5,
    None,
    True,
    "x",
    [],
    {},
    [1],
    float("inf"),
)


class Held:
    """A file held in memory."""

    name = source = "fuzzed"

    def __init__(self, body: bytes, length: int) -> None:
        self.body, self.length = body, length
        self.budget = HeaderBudget(self.name)

    def listing(self) -> Mapping[str, int]:
        return {"model.safetensors": self.length}

    def read(self, file: str, first: int, count: int) -> tuple[bytes, int | None]:
        return self.body[first : first + count], self.length

    def whole(self, file: str, limit: int) -> bytes:
        raise MissingFileError("There is no such file.")

    def all(self, calls: Sequence[Any]) -> list[Any]:
        return [call() for call in calls]

    def headers(self, index: str) -> None:
        """Not offered."""


@cache
def wholes() -> list[dict[str, Any]]:
    """Headers of small models, as objects."""
    found = []
    for config in EVERY.values():
        header, _ = safetensors_bytes(tensors(config), {"format": "pt"})
        found.append(json.loads(header[8:]))
    return found


def safetensors_headers(count: int, seed: int) -> Iterator[tuple[bytes, int, dict[str, Any]]]:
    """(bytes, length of the file, the config beside it)."""
    rng = random.Random(seed)
    for _ in range(count):
        header = json.loads(json.dumps(rng.choice(wholes())))
        config = dict(rng.choice(list(EVERY.values()))) | {"model_type": "never_heard_of"}
        for _ in range(rng.randint(0, 2)):
            config[rng.choice(list(config)[1:])] = rng.choice(NUMBERS)
        for _ in range(rng.randint(0, 3)):
            _change_header(rng, header)
        text = bytearray(json.dumps(header).encode())
        if rng.random() < 0.3:
            _change_bytes(rng, text)
        length = len(text) if rng.random() < 0.9 else rng.choice((0, 7, 2**40, 2**63, len(text) + 5))
        data = max((e["data_offsets"][1] for e in header.values() if _placed(e)), default=0)
        yield struct.pack("<Q", length % 2**64) + bytes(text), 8 + len(text) + data, config


def _placed(entry: Any) -> bool:
    where = entry.get("data_offsets") if isinstance(entry, dict) else None
    return isinstance(where, list) and len(where) == 2 and isinstance(where[1], int) and 0 <= where[1] < 2**60


def _change_header(rng: random.Random, header: dict[str, Any]) -> None:
    name = rng.choice(list(header))
    entry = header[name]
    choice = rng.random()
    if choice < 0.2:
        header[rng.choice(("\x1b[2J", "![x](http://x/y)", "=1+1", "a" * 5000, "", "model.layers.999999999.x", "*"))] = (
            header.pop(name)
        )
    elif choice < 0.35:
        del header[name]
    elif choice < 0.45:
        header[name] = rng.choice(NUMBERS)
    elif isinstance(entry, dict) and "shape" in entry:
        field = rng.choice(("dtype", "shape", "data_offsets"))
        if field == "dtype":
            entry[field] = rng.choice(("F32", "F4", "BOOL", "F8_E4M3", "Q4", "", 3, None))
        elif isinstance(entry[field], list) and entry[field] and rng.random() < 0.7:
            entry[field][rng.randrange(len(entry[field]))] = rng.choice(NUMBERS)
        else:
            entry[field] = rng.choice((*NUMBERS, [2] * 200, [0], [0, 0], [0] * 101, [2**62] * 50))
    else:
        header[name] = rng.choice(({}, {"a": 1}, {"a": "b" * 100_000}))


def _change_bytes(rng: random.Random, text: bytearray) -> None:
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text))
        choice = rng.random()
        if choice < 0.4:
            text[place] = rng.randrange(256)
        elif choice < 0.6:
            del text[place : place + rng.randint(1, 40)]
        elif choice < 0.8:
            text[place:place] = rng.choice((b"[" * 2000, b'{"a":' * 500, b"9" * 5000, b'"', b"\xff", b"\x00", b"NaN"))
        else:
            text[place:place] = text[place : place + rng.randint(1, 200)]


def gguf_headers(count: int, seed: int) -> Iterator[tuple[bytes, int]]:
    rng = random.Random(seed)
    for _ in range(count):
        layers = rng.choice((1, 2, 3))
        kinds = ("F32", "F16", "Q4_0", "Q8_0", "Q4_K", "BF16")
        stored: dict[str, tuple[str, tuple[int, ...]]] = {"token_embd.weight": (rng.choice(kinds), (512, 256))}
        for i in range(layers):
            for name, shape in {
                "attn_q": (256, 256),
                "attn_k": (128, 256),
                "attn_v": (128, 256),
                "attn_output": (256, 256),
                "ffn_gate": (512, 256),
                "ffn_up": (512, 256),
                "ffn_down": (256, 512),
                "attn_norm": (256,),
            }.items():
                stored[f"blk.{i}.{name}.weight"] = (rng.choice(kinds), shape)
        said: dict[str, Any] = {
            "general.architecture": rng.choice(("llama", "qwen3", "gemma3", "mamba", "", "never_heard_of")),
            "general.alignment": 32,
            "llama.block_count": layers,
            "llama.embedding_length": 256,
            "llama.attention.head_count": 8,
            "llama.attention.head_count_kv": 4,
            "llama.attention.sliding_window": 128,
            "llama.attention.sliding_window_pattern": 3,
            "llama.context_length": 2048,
            "llama.vocab_size": 512,
            "tokenizer.ggml.tokens": ["a"] * rng.choice((3, 5000)),
        }
        for _ in range(rng.randint(0, 3)):
            name = rng.choice(list(said))
            said[name] = rng.choice((0, 1, 3, 2**32 - 1, 1.5, "x", "a" * 3000, [1, 2], [0], ["a"], True, [True, False]))
        header, data = gguf_bytes(
            stored, said, version=rng.choice((3, 3, 3, 2)), order=rng.choice(("<", "<", "<", ">"))
        )
        text = bytearray(header)
        for _ in range(rng.choice((0, 0, 1, 3))):
            place = rng.randrange(len(text))
            value = rng.choice((0, 1, 8, 9, 255, 4096, 2**31, 2**32 - 1, 2**40, 2**63))
            width = rng.choice((1, 4, 8))
            text[place : place + width] = (value % 256**width).to_bytes(width, "little")
        if rng.random() < 0.1:
            del text[rng.randrange(len(text)) :]
        yield bytes(text), len(text) + data


def run_safetensors(case: tuple[bytes, int, dict[str, Any]]) -> None:
    body, length, config = case
    found, metadata = safetensors.read_model(Held(body, length))
    checkpoint = Checkpoint("fuzzed", "fuzzed", "safetensors", found, metadata, config)
    _use(checkpoint, config)


def run_gguf(case: tuple[bytes, int]) -> None:
    body, length = case
    found, metadata = gguf.read_header(Held(body, length), "fuzzed.gguf")
    _use(Checkpoint("fuzzed", "fuzzed", "gguf", found, metadata), None)


def _use(checkpoint: Checkpoint, config: dict[str, Any] | None) -> None:
    compared = compare(model_from_config(LLAMA), checkpoint)
    report.csv_rows(compared)
    report.as_dict(compared)
    list(report.blocks(compared))
    model = model_from_checkpoint(checkpoint, config)
    for mode in ("prefill", "decode") if model.text.causal else ("prefill",):
        e = estimate(model, mode=mode)
        for op in e.operations:
            assert op.flops >= 0, op
            assert op.cache_bytes >= 0, op
        assert e.memory.total >= 0
        e.rows("operations")
