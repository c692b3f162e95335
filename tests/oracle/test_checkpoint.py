"""Checkpoints that transformers and the gguf package write, against the formula and the readers of their headers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent)]

torch = pytest.importorskip("torch")
oracle = pytest.importorskip("oracle")
import test_golden  # noqa: E402
from transformers import CONFIG_MAPPING  # noqa: E402

from calculator import compare, estimate, load_checkpoint, load_model  # noqa: E402
from calculator.formats.ggml import GGML_TYPES  # noqa: E402
from calculator.sources.checkpoint import model_from_checkpoint  # noqa: E402

TYPES = ("llama", "qwen2", "qwen3", "gpt2", "gpt_oss", "mixtral", "qwen3_moe", "deepseek_v3", "phi3", "gemma3_text")
TYPES += (
    "mamba2",
    "qwen3_next",
    "glm4_moe",
    "olmo2",
    "falcon",
    "bloom",
    "opt",
    "llama4_text",
    "granitemoe",
    "t5",
    "gemma4_text",
)


def small() -> list[dict]:
    """The first small variation of each type."""
    found: dict[str, dict] = {}
    for case in test_golden.CASES:
        if case["name"] != "default" and case["model_type"] in TYPES:
            found.setdefault(case["model_type"], case)
    return list(found.values())


def saved(case: dict, folder: Path) -> Path:
    """The model with weights in memory, in 16 bit, as transformers saves it."""
    config = {key: value for key, value in case["config"].items() if key not in ("quantization_config", "auto_map")}
    built = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    model = oracle.model_class(config)._from_config(built, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="2MB")
    return folder


@pytest.mark.parametrize("case", small(), ids=test_golden.named)
def test_what_transformers_saves_is_what_the_formula_says(case: dict, tmp_path: Path) -> None:
    model = load_model(saved(case, tmp_path))
    headers = load_checkpoint(tmp_path)
    found = compare(model, headers)
    assert not found.unexplained
    assert found.parameters_equal
    assert found.stored.nbytes == estimate(model, sequence_length=8).memory.weights  # the headers beside the config
    # transformers writes the router and its score bias in 32 bit, whatever the config says. The published files of
    # DeepSeek-V3 and GLM hold the router in 16 (github.com/sgl-project/sglang-jax/pull/1665), which the formula prices.
    wider = [row for row in found.rows if row.reason == "stored in another type than priced"]
    assert all(row.name.endswith((".mlp.gate.weight", ".mlp.gate.e_score_correction_bias")) for row in wider)
    assert found.stored.nbytes - found.formula.nbytes == sum(row.stored_bytes - row.formula_bytes for row in wider)
    assert found.equal is not bool(wider)


@pytest.mark.parametrize("case", small(), ids=test_golden.named)
def test_headers_alone_are_exact_about_parameters_and_bytes(case: dict, tmp_path: Path) -> None:
    headers = load_checkpoint(saved(case, tmp_path))
    found = model_from_checkpoint(headers)
    assert found.certainty["parameters"] == "exact"
    assert found.parameters.total == load_model(tmp_path).parameters.total
    assert estimate(found, sequence_length=8).memory.weights == headers.nbytes


def test_headers_are_what_the_safetensors_package_says(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    kinds = (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.uint8, torch.int64, torch.bool)
    save_file({f"t{i}": torch.zeros(i + 1, 3, dtype=kind) for i, kind in enumerate(kinds)}, tmp_path / "x.safetensors")
    found = load_checkpoint(tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert {t.name for t in found.tensors} == set(file.keys())
        for t in found.tensors:
            assert (t.dtype, list(t.shape)) == (file.get_slice(t.name).get_dtype(), file.get_slice(t.name).get_shape())
            assert t.nbytes == file.get_tensor(t.name).nbytes


def test_the_gguf_package_agrees_on_every_type() -> None:
    gguf = pytest.importorskip("gguf")
    sizes = {t.name: size for t, size in gguf.GGML_QUANT_SIZES.items() if t.name != "Q8_1"}
    assert {t.name: (t.block, t.size) for t in GGML_TYPES.values() if t.name in sizes} == sizes
    assert all(GGML_TYPES[int(t)].name == t.name for t in gguf.GGML_QUANT_SIZES)


def test_a_file_that_the_gguf_package_writes(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    import numpy as np

    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_embedding_length(256)
    writer.add_token_list([f"token {i}" for i in range(10_000)])
    stored = {"token_embd.weight": ((64, 256), "Q6_K"), "blk.0.attn_q.weight": ((256, 256), "Q4_0")}
    stored |= {"blk.0.attn_k.weight": ((128, 256), "Q8_0"), "blk.0.attn_v.weight": ((128, 256), "F16")}
    for name, (shape, kind) in stored.items():
        number = gguf.GGMLQuantizationType[kind]
        data = np.zeros(shape, np.float16)
        bytes_ = data if kind == "F16" else np.zeros(gguf.quant_shape_to_byte_shape(shape, number), np.uint8)
        writer.add_tensor(name, bytes_, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = load_checkpoint(tmp_path / "x.gguf")
    assert {t.name: (t.shape, t.dtype) for t in found.tensors} == stored
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert {t.name: int(t.n_bytes) for t in reader.tensors} == {t.name: t.nbytes for t in found.tensors}
    assert found.metadata["tokenizer.ggml.tokens"].length == 10_000
    model = load_model(tmp_path / "x.gguf")
    assert model.certainty["kv_cache"] == "derived"
    assert estimate(model, mode="decode", sequence_length=10).memory.kv_cache == 10 * 2 * 2 * 64 * 2
