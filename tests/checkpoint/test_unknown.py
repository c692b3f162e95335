"""Models whose type no family reads: weights, FLOPs and cache from headers, against the families that do read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from models import DEEPSEEK, EVERY, GPT_OSS, LLAMA, MAMBA, QWEN3_MOE, folder, tensors
from writers import Tensors, write_gguf, write_safetensors

from calculator import Workload, compare, estimate, explain, load_checkpoint, load_model
from calculator.errors import CheckpointError, SourceError, UnknownModelTypeError
from calculator.record.options import MODES
from calculator.sources.checkpoint import model_from_checkpoint
from calculator.sources.load import model_from_config

CERTAIN = {
    "parameters": "exact",
    "weight_bytes": "exact",
    "linear_flops": "exact",
    "attention_flops": "derived",
    "kv_cache": "derived",
}


def unknown(path: Path, config: dict[str, Any], stored: Tensors | None = None) -> Any:
    stored = tensors(config) if stored is None else stored
    return load_model(folder(path, config | {"model_type": "brand_new"}, stored))


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("counting", ["full", "causal"])
def test_it_equals_the_family(tmp_path: Path, config: dict[str, Any], mode: str, counting: str) -> None:
    found, known = unknown(tmp_path, config), model_from_config(config)
    assert found.certainty == CERTAIN
    assert found.parameters.total == known.parameters.total
    assert found.parameters.active == known.parameters.active
    w = Workload(mode=mode, batch_size=3, sequence_length=20, attention_flops=counting, decode_length=5)
    mine, theirs = estimate(found, w), estimate(known, w)
    assert mine.flops.matmul == theirs.flops.matmul
    assert mine.memory.weights == theirs.memory.weights
    assert mine.memory.kv_cache == theirs.memory.kv_cache
    if mode == "decode":
        assert mine.generation is not None
        assert theirs.generation is not None
        assert mine.generation.flops.matmul == theirs.generation.flops.matmul
        assert mine.generation.kv_cache == theirs.generation.kv_cache


@pytest.mark.parametrize("config", [*EVERY.values(), MAMBA], ids=[*EVERY, "mamba2"])
def test_it_equals_its_own_headers(tmp_path: Path, config: dict[str, Any]) -> None:
    stored = tensors(config)
    stored |= {name: ("F32", shape) for name, (_, shape) in stored.items() if "norm" in name}
    found = compare(unknown(tmp_path, config, stored), load_checkpoint(tmp_path))
    assert found.equal
    assert found.rows == ()


def test_tables_formulas_and_words_work_as_for_any_model(tmp_path: Path) -> None:
    found = unknown(tmp_path, QWEN3_MOE)
    e = estimate(found, sequence_length=16)
    assert sum(row["total"] for row in e.rows("memory")) == e.memory.total
    assert sum(row["flops"] for row in e.rows("operations")) == e.flops.total
    assert json.loads(json.dumps(e.to_dict()))["model"]["model_type"] == "brand_new"
    assert e.to_dict()["certainty"] == CERTAIN
    flops = {
        x.operation.name: x.formulas["flops"]
        for x in explain(found, Workload(sequence_length=16))
        if "flops" in x.formulas
    }
    assert flops["self_attn.q_proj"].symbols == "2·B·S·d_in·d_out"
    assert flops["attention_core"].value == 4 * 16 * 16 * 64
    assert "exact: parameters, weight bytes, FLOPs of the linear layers; derived from the config" in e.notes[0]
    assert e.precision == "as the safetensors headers say (BF16)"


def test_other_precisions_and_training(tmp_path: Path) -> None:
    found, known = unknown(tmp_path, LLAMA), model_from_config(LLAMA)
    for dtype in ("int4", "fp32", "q8_0"):
        assert estimate(found, dtype=dtype, sequence_length=8).memory.weights == (
            estimate(known, dtype=dtype, sequence_length=8).memory.weights
        )
    a, b = (estimate(m, mode="pretraining", sequence_length=8).memory for m in (found, known))
    assert (a.weights, a.gradients, a.optimizer_states) == (b.weights, b.gradients, b.optimizer_states)


def test_experts_whose_number_a_token_visits_is_not_stated(tmp_path: Path) -> None:
    config = {k: v for k, v in QWEN3_MOE.items() if k != "num_experts_per_tok"}
    found = unknown(tmp_path, config, tensors(QWEN3_MOE))
    assert found.certainty == CERTAIN | {"linear_flops": "unknown"}
    assert found.parameters.active == found.parameters.total
    assert any("How many experts a token visits is not stated" in note for note in found.notes)


def test_attention_that_the_config_does_not_describe(tmp_path: Path) -> None:
    config = {k: v for k, v in LLAMA.items() if "heads" not in k}
    found = unknown(tmp_path, config, tensors(LLAMA))
    assert found.certainty == CERTAIN | {"attention_flops": "unknown", "kv_cache": "unknown"}
    e, known = estimate(found, sequence_length=8), estimate(model_from_config(LLAMA), sequence_length=8)
    assert e.memory.kv_cache == 0
    assert e.flops.matmul == known.flops.matmul - 3 * 4 * 8 * 8 * 64
    assert any("of 3 attention layer(s) are not stated" in note for note in e.notes)


def test_recurrent_mixers_are_not_guessed(tmp_path: Path) -> None:
    known = model_from_config(MAMBA)
    found = unknown(tmp_path, MAMBA)
    assert found.parameters.total == known.parameters.total
    assert found.certainty == CERTAIN | {"attention_flops": "unknown", "kv_cache": "unknown"}
    assert any("recurrent mixer" in note for note in found.notes)


def test_windows_by_layer(tmp_path: Path) -> None:
    found = unknown(tmp_path, GPT_OSS)
    e = estimate(found, mode="decode", sequence_length=20)
    assert e.memory.kv_cache == (8 + 20 + 8) * 2 * 2 * 16 * 2


def test_prediction_layers_stand_apart(tmp_path: Path) -> None:
    more: Tensors = {
        "model.layers.3.eh_proj.weight": ("BF16", (64, 128)),
        "model.layers.3.enorm.weight": ("BF16", (64,)),
    }
    found = unknown(tmp_path, DEEPSEEK, tensors(DEEPSEEK) | more)
    assert found.parameters.total == model_from_config(DEEPSEEK).parameters.total
    assert found.parameters.apart == 64 * 128 + 64
    assert dict(found.tensors(apart=True)).keys() >= more.keys()


def test_towers_are_held(tmp_path: Path) -> None:
    more: Tensors = {
        "vision_tower.blocks.0.qkv.weight": ("BF16", (192, 64)),
        "multi_modal_projector.weight": ("BF16", (64, 64)),
    }
    found = unknown(tmp_path, LLAMA, tensors(LLAMA) | more)
    known = model_from_config(LLAMA)
    assert found.parameters.total == known.parameters.total + 192 * 64 + 64 * 64
    assert found.parameters.by_component["vision"] == 192 * 64 + 64 * 64
    assert estimate(found, sequence_length=8).flops.matmul == estimate(known, sequence_length=8).flops.matmul


def test_a_tied_head_that_is_stored_too(tmp_path: Path) -> None:
    config = LLAMA | {"tie_word_embeddings": True}
    found = unknown(tmp_path, config, tensors(LLAMA))
    assert found.parameters.total == model_from_config(config).parameters.total


def test_a_nested_config(tmp_path: Path) -> None:
    inner = {k: v for k, v in LLAMA.items() if k not in ("model_type", "architectures", "torch_dtype")}
    found = load_model(folder(tmp_path, {"model_type": "omni", "text_config": inner}, tensors(LLAMA)))
    assert found.certainty == CERTAIN
    assert estimate(found, sequence_length=8).flops.matmul == (
        estimate(model_from_config(LLAMA), sequence_length=8).flops.matmul
    )


def test_without_a_config(tmp_path: Path) -> None:
    found = load_model(folder(tmp_path, None, tensors(LLAMA)))
    assert found.certainty == CERTAIN | {"attention_flops": "unknown", "kv_cache": "unknown"}
    assert found.parameters.total == model_from_config(LLAMA).parameters.total
    assert load_model(tmp_path / "model.safetensors").parameters.total == found.parameters.total


def test_an_unknown_type_without_headers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"model_type": "lama"}))
    with pytest.raises(UnknownModelTypeError) as caught:
        load_model(tmp_path)
    for part in ("'lama' is not known", "nearest known types", "no safetensors", "Give the path or id of a checkpoint"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"model_type": "dots3_note", "text_config": {"model_type": "dots3_note_text"}},
            "give text_config as a config",
        ),
        ({"model_type": "newest", "llm_config": {"model_type": "qwen3"}}, r"is \(llm_config, qwen3\)"),
        (
            {"model_type": "musicgen", "decoder": {"model_type": "musicgen_decoder"}},
            "nearest known types are musicflamingo",
        ),
        ({"model_type": "zzzzzz", "text_config": {"model_type": "zzz"}}, "no known type is called alike"),
    ],
)
def test_a_type_that_nothing_reads_is_met_with_what_is_known(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownModelTypeError, match=words):
        load_model(config)


def test_a_folder_with_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is no file .*config\.json"):
        load_model(tmp_path)


def test_headers_that_are_no_model(tmp_path: Path) -> None:
    headers = load_checkpoint(folder(tmp_path, None, {"a": ("F32", (2, 2))}) / "model.safetensors")
    with pytest.raises(CheckpointError, match="no numbered layers"):
        model_from_checkpoint(headers)


# GGUF

SAID: dict[str, Any] = {
    "general.architecture": "unheard",
    "unheard.block_count": 2,
    "unheard.embedding_length": 256,
    "unheard.attention.head_count": 8,
    "unheard.attention.head_count_kv": 2,
    "unheard.context_length": 4096,
}


def blocks(kind: str = "Q4_K", kv: int = 64) -> Tensors:
    found: Tensors = {"token_embd.weight": ("Q6_K", (512, 256)), "output_norm.weight": ("F32", (256,))}
    for i in range(2):
        found |= {
            f"blk.{i}.attn_norm.weight": ("F32", (256,)),
            f"blk.{i}.attn_q.weight": (kind, (256, 256)),
            f"blk.{i}.attn_k.weight": (kind, (kv, 256)),
            f"blk.{i}.attn_v.weight": (kind, (kv, 256)),
            f"blk.{i}.attn_output.weight": (kind, (256, 256)),
            f"blk.{i}.ffn_norm.weight": ("F32", (256,)),
        }
    return found


def dense(kind: str = "Q4_K") -> Tensors:
    found = blocks(kind)
    for i in range(2):
        found |= {f"blk.{i}.ffn_{n}.weight": (kind, (512, 256)) for n in ("gate", "up")}
        found |= {f"blk.{i}.ffn_down.weight": (kind, (256, 512))}
    return found


def test_a_gguf_file(tmp_path: Path) -> None:
    found = load_model(write_gguf(tmp_path / "some-Q4_K.gguf", dense(), SAID))
    config = LLAMA | {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "vocab_size": 512}
    known = model_from_config(config | {"num_attention_heads": 8, "tie_word_embeddings": True})
    assert (found.name, found.model_type, found.context_length) == ("some-Q4_K", "unheard", 4096)
    assert found.certainty == CERTAIN
    assert found.parameters.total == known.parameters.total
    for mode in ("prefill", "decode"):
        mine, theirs = (estimate(m, mode=mode, sequence_length=100, batch_size=2) for m in (found, known))
        assert mine.flops.matmul == theirs.flops.matmul
        assert mine.memory.kv_cache == theirs.memory.kv_cache
    matrices = 2 * (2 * 256 * 256 + 2 * 64 * 256 + 3 * 512 * 256)
    assert mine.memory.weights == matrices * 144 // 256 + 512 * 256 * 210 // 256 + 5 * 256 * 4
    assert "derived from the file's metadata" in mine.notes[0]
    assert mine.precision == "as the gguf headers say (Q4_K, Q6_K, F32)"
    head = next(op for op in mine.operations if op.component == "head")
    assert head.weight_bytes == 512 * 256 * 210 // 256


def test_a_gguf_file_with_experts(tmp_path: Path) -> None:
    stored = blocks()
    for i in range(2):
        stored[f"blk.{i}.ffn_gate_inp.weight"] = ("F32", (4, 256))
        stored |= {f"blk.{i}.ffn_{n}_exps.weight": ("Q4_K", (4, 256, 256)) for n in ("gate", "up", "down")}
        stored |= {f"blk.{i}.ffn_{n}_shexp.weight": ("Q8_0", (256, 256)) for n in ("gate", "up", "down")}
    found = load_model(write_gguf(tmp_path / "x.gguf", stored, SAID | {"unheard.expert_used_count": 2}))
    assert found.certainty == CERTAIN
    assert found.parameters.total - found.parameters.active == 2 * 2 * 3 * 256 * 256
    assert found.parameters.by_component["experts"] == 2 * 4 * 3 * 256 * 256
    assert found.parameters.by_component["router"] == 2 * 4 * 256
    one = estimate(found, mode="decode", sequence_length=8)
    assert {op.weight_reads for op in one.operations if op.component == "experts"} == {2 * 256 * 144}


def test_head_counts_and_windows_of_single_layers(tmp_path: Path) -> None:
    said = SAID | {"unheard.attention.head_count_kv": [2, 1], "unheard.attention.key_length": 32}
    said |= {"unheard.attention.sliding_window": 16, "unheard.attention.sliding_window_pattern": [True, False]}
    stored = dense() | {"blk.1.attn_k.weight": ("Q4_K", (32, 256)), "blk.1.attn_v.weight": ("Q4_K", (32, 256))}
    found = load_model(write_gguf(tmp_path / "x.gguf", stored, said))
    assert found.certainty == CERTAIN
    assert estimate(found, mode="decode", sequence_length=100).memory.kv_cache == (16 * 2 + 100) * 2 * 32 * 2


def test_a_window_without_its_layers_is_not_guessed(tmp_path: Path) -> None:
    found = load_model(write_gguf(tmp_path / "x.gguf", dense(), SAID | {"unheard.attention.sliding_window": 16}))
    assert found.certainty["kv_cache"] == found.certainty["attention_flops"] == "unknown"


def test_a_folder_with_one_gguf_file(tmp_path: Path) -> None:
    write_gguf(tmp_path / "some.gguf", dense(), SAID)
    assert load_model(tmp_path).name == "some"
    with pytest.raises(SourceError, match="There is no file"):
        load_model(tmp_path / "other.gguf")


LORA = {"blk.0.attn_q.weight.lora_a": ("F32", (16, 256)), "blk.0.attn_q.weight.lora_b": ("F32", (256, 16))}
NAMED = {"general.base_model.0.repo_url": "https://huggingface.co/Qwen/Qwen3-8B"}


@pytest.mark.parametrize(
    ("kind", "stored", "words"),
    [
        (
            "adapter",
            LORA,
            r"adapter \(LoRA\) of https://huggingface.co/Qwen/Qwen3-8B, with 8,192 parameters in 32,768 bytes",
        ),
        ("imatrix", {"blk.0.attn_q.weight.in_sum2": ("F32", (256,))}, "is an importance matrix"),
    ],
)
def test_a_gguf_file_that_is_no_model(tmp_path: Path, kind: str, stored: Tensors, words: str) -> None:
    said = {"general.architecture": "llama", "general.type": kind} | NAMED
    with pytest.raises(CheckpointError, match=words):
        load_model(write_gguf(tmp_path / "x.gguf", stored, said))


def test_a_projectors_gguf_file_says_that_it_is_no_language_model(tmp_path: Path) -> None:
    stored: Tensors = {f"v.blk.{i}.attn_q.weight": ("F16", (64, 64)) for i in range(2)}
    stored |= {"mm.0.weight": ("F16", (256, 64))}
    said = {"general.architecture": "clip", "general.type": "mmproj"}
    model = load_model(write_gguf(tmp_path / "x.gguf", stored, said))
    assert model.parameters.total == 2 * 64 * 64 + 256 * 64
    assert any("mmproj" in note for note in model.notes)


def test_an_adapters_tensors_without_their_config_say_what_they_are(tmp_path: Path) -> None:
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    stored: Tensors = {f"{name}A.weight": ("BF16", (32, 4096)), f"{name}B.weight": ("BF16", (4096, 32))}
    model = load_model(write_safetensors(tmp_path / "adapter_model.safetensors", stored))
    assert model.parameters.total == 2 * 32 * 4096
    assert any("an adapter's tensors alone" in note for note in model.notes)
