"""Files and configs of strangers: whatever is in them, the answer is a checkpoint or a sentence, soon."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from models import DEEPSEEK, QWEN3_MOE, folder, tensors
from writers import gguf_bytes, safetensors_bytes, write

from calculator import Workload, compare, estimate, load_checkpoint, load_model
from calculator.errors import CalculatorError
from calculator.sources.checkpoint import model_from_checkpoint
from calculator.sources.checkpoint.tensors import Checkpoint, StoredTensor

ODD: list[Any] = [None, 0, -1, 1, 3, 10**30, 1.5, True, "", "x", "8", [], [1], [None], {}, {"a": 1}, [[1, 2], 3]]


def sentence(words: str) -> bool:
    return words.endswith(".") and "\n" not in words


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The bytes with a few of them changed, removed or repeated."""
    found = bytearray(body)
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(found))
        kind = chance.randrange(4)
        if kind == 0:
            found[place] = chance.randrange(256)
        elif kind == 1:
            del found[place : place + chance.randrange(1, 9)]
        elif kind == 2:
            found[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        else:
            found[place : place + 8] = chance.choice([b"\xff" * 8, bytes(8), b"\x00" * 7 + b"\x80"])
    return bytes(found)


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_changed_bytes(tmp_path: Path, kind: str) -> None:
    chance = random.Random(7)
    if kind == "safetensors":
        header, data = safetensors_bytes({f"model.layers.{i}.w.weight": ("BF16", (4, 4)) for i in range(4)}, {"a": "b"})
    else:
        said = {"general.architecture": "llama", "llama.block_count": 2, "tokens": ["a", "b"], "x": [1, 2], "y": 0.5}
        stored = {f"blk.{i}.attn_q.weight": ("Q4_0", (32, 32)) for i in range(2)}
        header, data = gguf_bytes(stored, said)
    path = tmp_path / f"x.{kind}"
    read, complaints = 0, []
    for _ in range(400):
        write(path, mutated(header, chance), data)
        try:
            model = model_from_checkpoint(load_checkpoint(path))
            estimate(model, sequence_length=8)
            read += 1
        except CalculatorError as error:
            complaints.append(str(error))
    assert 0 < read < 400
    assert all(map(sentence, complaints))


def test_configs_of_any_kind(tmp_path: Path) -> None:
    chance, complaints = random.Random(11), []
    stored = tensors(QWEN3_MOE)
    for _ in range(150):
        config = dict(
            QWEN3_MOE | {"model_type": "brand_new", "layer_types": ["full_attention"] * 3, "sliding_window": 4}
        )
        for name in chance.sample(sorted(config), 3):
            config[name] = chance.choice(ODD)
        for name in ("quantization_config", "quantization", "text_config"):
            if chance.random() < 0.2:
                config[name] = chance.choice([*ODD, {"quant_method": chance.choice(ODD)}, {"bits": chance.choice(ODD)}])
        path = folder(tmp_path, config | {"model_type": "brand_new"}, stored)
        try:
            model = load_model(path)
            estimate(model, Workload(mode="decode", sequence_length=8))
        except CalculatorError as error:
            complaints.append(str(error))
    assert all(map(sentence, complaints))


def test_names_of_any_kind() -> None:
    chance, complaints = random.Random(13), []
    words = ["model", "layers", "experts", "0", "1", "17", "weight", "qweight", "scales", "", "bias", "mlp", "gate"]
    words += ["weight_scale", "absmax", "blocks", "_blocks", "mtp", "norm", "embed_tokens", "99999999", "q_proj"]
    for _ in range(200):
        names = {".".join(chance.choices(words, k=chance.randrange(1, 8))) for _ in range(12)}
        shapes = [(), (1,), (4, 4), (2, 4, 4), (0, 3), (4, 1, 3)]
        found = tuple(
            StoredTensor(n, chance.choice(["BF16", "U8", "I32"]), chance.choice(shapes), 32, "x") for n in sorted(names)
        )
        headers = Checkpoint("x", "x", "safetensors", found)
        try:
            model = model_from_checkpoint(headers)
            estimate(model, sequence_length=8)
            compare(model, headers)
        except CalculatorError as error:
            complaints.append(str(error))
    assert all(map(sentence, complaints))


def test_a_long_name_is_refused(tmp_path: Path) -> None:
    header, data = safetensors_bytes({"mtp" * 100_000: ("BF16", (1,))})
    with pytest.raises(CalculatorError, match="the name of a tensor has 300,000 characters"):
        load_checkpoint(write(tmp_path / "x.safetensors", header, data))


def test_many_tensors(tmp_path: Path) -> None:
    wide = DEEPSEEK | {"n_routed_experts": 512, "num_hidden_layers": 6}
    path = folder(tmp_path, wide, tensors(wide))
    found = compare(load_model(path), load_checkpoint(path))
    assert found.tensors > 7_000
    assert found.equal
    (path / "config.json").write_text(json.dumps(wide | {"model_type": "brand_new"}))
    assert load_model(path).certainty["linear_flops"] == "exact"
