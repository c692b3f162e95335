"""Adapters of the peft library. The sizes are those of peft 0.21 on torch's meta device with transformers 5.24."""

from __future__ import annotations

import json
import struct

import pytest

from calculator import CalculatorError, estimate, explain, load_model
from calculator.cli import main
from calculator.record.workload import Workload
from calculator.sources.adapters.build import adapted

LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000, "dtype": "bfloat16"}  # fmt: skip
QWEN2 = LLAMA | {"model_type": "qwen2", "tie_word_embeddings": True}
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 500, "dtype": "bfloat16"}
MIXTURE = LLAMA | {"model_type": "qwen3_moe", "moe_intermediate_size": 48, "num_experts": 8, "head_dim": 16,
                   "num_experts_per_tok": 2, "num_hidden_layers": 3}  # fmt: skip
LATENT = LLAMA | {"model_type": "deepseek_v3", "moe_intermediate_size": 48, "n_routed_experts": 8,
                  "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
                  "num_hidden_layers": 3, "first_k_dense_replace": 1, "q_lora_rank": 24, "kv_lora_rank": 16,
                  "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}  # fmt: skip
MAMBA = {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 500, "state_size": 8}
VISION = {"model_type": "qwen2_vl", "text_config": {**QWEN2, "model_type": "qwen2_vl_text"},
          "vision_config": {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4}}  # fmt: skip


def lora(**fields):
    return {"peft_type": "LORA", "r": 8, **fields}


EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
RANKS = {"down_proj": 4, r"layers\.1\.self_attn\.q_proj": 16}


SIZES: list[tuple[dict, dict, int]] = [
    (LLAMA, lora(target_modules=["q_proj", "v_proj"]), 7168),
    (LLAMA, lora(target_modules="all-linear"), 37376),
    (LLAMA, lora(target_modules=r".*\.(q|k)_proj"), 7168),
    (LLAMA, lora(target_modules=["q_proj", "down_proj"], use_dora=True, rank_pattern=RANKS), 9472),
    (LLAMA, lora(target_modules=["q_proj"], layers_to_transform=[0, 2]), 2048),
    (LLAMA, lora(target_modules=["q_proj", "k_proj"], layers_to_transform=1, layers_pattern="layers"), 1792),
    (LLAMA, lora(target_modules=None), 7168),
    (LLAMA, lora(target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"]), 132096),
    (LLAMA, lora(target_modules=["embed_tokens", "lm_head", "q_proj"]), 21120),
    (LLAMA, lora(target_modules="all-linear", exclude_modules=["down_proj"]), 29696),
    (QWEN2, lora(target_modules="all-linear", lora_bias=True), 39808),
    (QWEN2, lora(target_modules=["q_proj"], bias="all"), 4096),
    (GPT2, lora(target_modules=None), 6144),
    (GPT2, lora(target_modules="all-linear"), 24576),
    (GPT2, lora(target_modules=["c_proj"]), 10752),
    (MIXTURE, lora(target_modules="all-linear"), 95424),
    (MIXTURE, lora(target_modules=["gate_proj", "up_proj", "down_proj"]), 82944),
    (MIXTURE, lora(target_modules=["q_proj"], target_parameters=EXPERTS), 55296),
    (LATENT, lora(target_modules=["q_a_proj", "kv_b_proj", "o_proj"]), 8640),
    (MAMBA, lora(target_modules=["in_proj", "x_proj"]), 11232),
    (VISION, lora(target_modules="all-linear"), 49152),
    (VISION, lora(target_modules=["q_proj", "v_proj"]), 7168),
    (VISION, lora(target_modules=r".*visual.*\.qkv"), 2048),
    (LLAMA, {"peft_type": "IA3", "target_modules": ["k_proj", "v_proj", "down_proj"],
             "feedforward_modules": ["down_proj"]}, 960),
    (LLAMA, {"peft_type": "LOHA", "r": 4, "target_modules": ["q_proj", "o_proj"]}, 8192),
    # without the rank's counter, one number a module
    (LLAMA, {"peft_type": "ADALORA", "init_r": 6, "target_modules": ["q_proj"]}, 3096),
    (LLAMA, {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 20}, 1280),
    (LLAMA, {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20}, 5120),
]  # fmt: skip


@pytest.mark.parametrize(("base", "adapter", "parameters"), SIZES)
def test_an_adapters_own_size(base, adapter, parameters):
    alone = load_model(base)
    both = adapted(alone, adapter)
    assert both.parameters.total - alone.parameters.total == parameters
    assert f" of {parameters:,} parameters" in both.notes[0]
    held = [estimate(m, mode="prefill", sequence_length=8).memory.weights for m in (alone, both)]
    assert held[1] - held[0] == 2 * parameters


def folder(tmp_path, **fields):
    (tmp_path / "adapter_config.json").write_text(json.dumps(lora(**fields)))
    return tmp_path


def test_a_folder_with_adapter_config_alone(tmp_path):
    """unslothai/unsloth#1093"""
    where = folder(
        tmp_path, r=16, target_modules=["q_proj", "v_proj"], base_model_name_or_path="meta-llama/Llama-3.1-8B"
    )
    model = load_model(where)
    assert model.parameters.total == 8_030_261_248 + 6_815_744
    assert model.name == tmp_path.name
    assert load_model(where / "adapter_config.json").parameters.total == 8_037_076_992


def test_a_folder_whose_base_is_a_path(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(LLAMA))
    model = load_model(folder(tmp_path, target_modules=["q_proj"], base_model_name_or_path=str(tmp_path / "base")))
    assert model.parameters.total == load_model(LLAMA).parameters.total + 4096


def test_an_adapter_that_names_itself(tmp_path):
    where = folder(tmp_path, target_modules=["q_proj"], base_model_name_or_path=str(tmp_path))
    with pytest.raises(CalculatorError, match="one of another adapter in turn"):
        load_model(where)


def test_an_adapter_on_another(tmp_path):
    for name, base in (("a", "Qwen/Qwen3-8B"), ("b", str(tmp_path / "a"))):
        (tmp_path / name).mkdir()
        folder(tmp_path / name, target_modules=["q_proj"] if name == "a" else ["k_proj"], base_model_name_or_path=base)
    added = load_model(tmp_path / "b").parameters.total - 8_190_735_360
    assert added == 36 * 8 * ((4096 + 4096) + (4096 + 1024))


def test_another_base_may_be_named(tmp_path, capsys):
    where = folder(tmp_path, r=16, target_modules=["q_proj", "v_proj"], base_model_name_or_path="gone/away")
    total = 8_190_735_360 + 36 * 16 * (4096 + 4096 + 4096 + 1024)
    assert load_model(where, base="Qwen/Qwen3-8B").parameters.total == total
    assert main([str(where), "--base", "Qwen/Qwen3-8B", "--format", "csv"]) == 0
    assert f"parameters,{total}" in capsys.readouterr().out


def test_the_tensors_beside_it_change_nothing(tmp_path):
    header = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight":
              {"dtype": "BF16", "shape": [8, 4096], "data_offsets": [0, 65536]}}  # fmt: skip
    text = json.dumps(header).encode()
    (tmp_path / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(65536))
    where = folder(tmp_path, r=32, target_modules=["q_proj", "v_proj"], layers_to_transform=[0, 1],
                   base_model_name_or_path="mistralai/Mistral-7B-v0.1")  # fmt: skip
    assert load_model(where, base="mistralai/Mistral-7B-v0.1").parameters.total == 7_242_584_064


def test_the_adapter_stays_in_16_bit_beside_a_quantized_base():
    alone = load_model("meta-llama/Llama-3.1-8B")
    both = adapted(alone, lora(target_modules="all-linear", use_dora=True))
    own = both.parameters.total - alone.parameters.total
    for dtype in ("auto", "int4", "q4_k"):
        bits = 2 if dtype != "q4_k" else None
        held = [estimate(m, mode="decode", dtype=dtype).memory.weights for m in (alone, both)]
        assert bits is None or held[1] - held[0] == bits * own


@pytest.mark.parametrize(
    ("stated", "rows"),
    [([1, 2, 3], 3), ({"embed_tokens": [0, 1]}, 2), ({"embed_tokens": [0, 1], "lm_head": [4, 5, 6]}, 5), ({}, 0)],
)
def test_rows_of_tables_that_were_trained(stated, rows):
    """As peft 0.21 saves them: trainable_tokens_delta beside each table."""
    raw = lora(target_modules=["q_proj"], base_model_name_or_path="Qwen/Qwen3-8B", trainable_token_indices=stated)
    plain = lora(target_modules=["q_proj"], base_model_name_or_path="Qwen/Qwen3-8B")
    assert load_model(raw).parameters.total - load_model(plain).parameters.total == rows * 4096


def test_work_and_formulas_of_an_adapter():
    alone = load_model("meta-llama/Llama-3.1-8B")
    both = adapted(alone, lora(r=16, target_modules=["q_proj"]))
    flops = [estimate(m, mode="prefill", sequence_length=128).flops.matmul for m in (alone, both)]
    assert flops[1] - flops[0] == 32 * 2 * 128 * 16 * (4096 + 4096)
    caches = [estimate(m, mode="decode", sequence_length=128).memory.kv_cache for m in (alone, both)]
    assert caches[0] == caches[1]
    assert any(x.operation.name == "self_attn.q_proj.lora_A" for x in explain(both, Workload(mode="decode")))


def test_a_token_touches_the_pairs_of_its_experts():
    alone = load_model(MIXTURE)
    both = adapted(alone, lora(target_modules=["down_proj"]))
    assert both.parameters.total - alone.parameters.total == 3 * 8 * 8 * (48 + 64)
    assert both.parameters.active - alone.parameters.active == 3 * 2 * 8 * (48 + 64)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            {"fine_tune_type": "lora", "lora_parameters": {"rank": 8}, "model": "mlx/Some-4bit"},
            "of mlx-lm, rank 8.*Some-4bit",
        ),
        ({"peft_type": "LOKR", "base_model_name_or_path": "a/b"}, r"adapter \(LOKR\) of a/b, whose size is not known"),
        (lora(target_modules=["nope"], base_model_name_or_path="Qwen/Qwen3-8B"), "none of its target_modules"),
        (lora(target_modules=["q_proj"]), "names no base model"),
        (lora(trainable_token_indices=5, base_model_name_or_path="Qwen/Qwen3-8B"), "must be a list of tokens"),
        (lora(r=-1), "r in adapter_config.json is -1"),
        (lora(target_modules="((a+)+)+", base_model_name_or_path="Qwen/Qwen3-8B"), "none of its target_modules"),
        (lora(target_modules="(", base_model_name_or_path="Qwen/Qwen3-8B"), "opens a group that it does not close"),
        (lora(target_modules=5, base_model_name_or_path="Qwen/Qwen3-8B"), "must be a list of names"),
        (lora(rank_pattern=[1], target_modules=["q_proj"], base_model_name_or_path="Qwen/Qwen3-8B"), "rank_pattern"),
        (lora(target_modules=["q_proj"], base_model_name_or_path="/etc/passwd"), "could not be read"),
        (lora(base_model_name_or_path="google/switch-base-8"), "target_modules in adapter_config.json is null"),
    ],
)
def test_adapters_that_are_refused(raw, words):
    with pytest.raises(CalculatorError, match=words):
        load_model(raw)


CATASTROPHIC = (r"((.|\w))+Z", r"(.?){26}Z", r"(?:(?:.+))+Z", r"(a*)*b", "(x+x+)+y", "((.*)*)*Z")


@pytest.mark.parametrize("pattern", CATASTROPHIC)
@pytest.mark.parametrize(
    "fields",
    [
        lambda p: {"target_modules": p},
        lambda p: {"target_modules": "all-linear", "exclude_modules": p},
        lambda p: {"target_modules": ["q_proj"], "rank_pattern": {p: 4}},
        lambda p: {"target_modules": ["q_proj"], "modules_to_save": [p]},
        lambda p: {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": p},
    ],
)
def test_patterns_of_strangers_run_in_time_linear_in_the_name(pattern, fields):
    """Each of them takes Python's `re` longer than the age of the universe; here, fewer than the allowed steps."""
    said = ""
    try:
        adapted(load_model(LLAMA), lora(**fields(pattern)))
    except CalculatorError as error:
        said = str(error)
    assert not said or "none of its target_modules" in said


def test_layers_are_those_behind_the_named_list():
    model = load_model(LLAMA)
    one = adapted(model, lora(target_modules=["q_proj"])).parameters.total - model.parameters.total

    def share(**fields):
        both = adapted(model, lora(target_modules=["q_proj"], **fields))
        return (both.parameters.total - model.parameters.total) * 4 // one

    assert share(layers_to_transform=[1, 3]) == 2
    assert share(layers_to_transform=2, layers_pattern="layers") == 1
    assert share(layers_to_transform=[0], layers_pattern=["blocks", "layers|h"]) == 1
    with pytest.raises(CalculatorError, match="none of its target_modules"):
        share(layers_to_transform=[1], layers_pattern="blocks")


@pytest.mark.parametrize("source", ["gpt2", {"model_type": "llama"}])
def test_what_is_no_adapter_has_no_base(source: object) -> None:
    with pytest.raises(CalculatorError, match="is no adapter, so it stands beside no base model"):
        load_model(source, base="Qwen/Qwen3-8B")
