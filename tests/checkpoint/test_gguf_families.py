"""GGUF files as models: metadata translated to the config of the original, whose family builds the same model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from converter import convert
from writers import GGML, Tensors, write_gguf

from calculator import estimate, load_model
from calculator.errors import CheckpointError, WorkloadError
from calculator.model import Model
from calculator.record.run import weights_of
from calculator.sources.checkpoint.llama_cpp.architectures import ARCHITECTURES
from calculator.sources.load import model_from_config

More = Callable[[Any], dict[str, Any]]


def nothing(c: Any) -> dict[str, Any]:
    return {}


def without_window(c: Any) -> dict[str, Any]:
    return {"attention.sliding_window": None}


def state(inner: int, rank: int, groups: int | None, size: int, kernel: int) -> dict[str, Any]:
    names = ("inner_size", "time_step_rank", "group_count", "state_size", "conv_kernel")
    return {f"ssm.{n}": v for n, v in zip(names, (inner, rank, groups, size, kernel), strict=True)}


def delta(c: Any) -> dict[str, Any]:
    heads = c["linear_num_value_heads"]
    sizes = (c["linear_num_key_heads"], c["linear_key_head_dim"], c["linear_conv_kernel_dim"])
    return state(c["linear_value_head_dim"] * heads, heads, *sizes) | {
        "rope.dimension_count": c["head_dim"] // 4,
        "full_attention_interval": 4,
    }


def shared(c: Any) -> dict[str, Any]:
    names = {"expert_shared_count": "n_shared_experts", "leading_dense_block_count": "first_k_dense_replace"}
    return {key: c.get(name) for key, name in names.items()}


def latent(c: Any) -> dict[str, Any]:
    rank, rope = c["kv_lora_rank"], c["qk_rope_head_dim"]
    return shared(c) | {
        "attention.head_count_kv": 1,
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": c.get("q_lora_rank"),
        "attention.key_length": rank + rope,
        "attention.value_length": rank,
        "attention.key_length_mla": c["qk_nope_head_dim"] + rope,
        "attention.value_length_mla": c["v_head_dim"],
        "rope.dimension_count": rope,
    }


def mamba2(c: Any) -> dict[str, Any]:
    inner = c.get("mamba_d_ssm") or c["mamba_expand"] * c["hidden_size"]
    return state(inner, c["mamba_n_heads"], c["mamba_n_groups"], c["mamba_d_state"], c["mamba_d_conv"])


def heads_where(kind: str) -> More:
    def more(c: Any) -> dict[str, Any]:
        heads = c["num_key_value_heads"]
        return {"attention.head_count_kv": [heads if t == kind else 0 for t in c["layer_types"]]}

    return more


def sliding(c: Any) -> dict[str, Any]:
    return {"attention.sliding_window_pattern": [t == "sliding_attention" for t in c["layer_types"]]}


def gemma3n(c: Any) -> dict[str, Any]:
    per_layer = c["hidden_size_per_layer_input"]
    kept = {"attention.shared_kv_layers": c["num_kv_shared_layers"], "embedding_length_per_layer_input": per_layer}
    return sliding(c) | kept | {"altup.num_inputs": 4}


def gemma4(c: Any) -> dict[str, Any]:
    full, windowed = c["global_head_dim"], c["head_dim"]
    return sliding(c) | {
        "attention.key_length": full,
        "attention.value_length": full,
        "attention.key_length_swa": windowed,
        "attention.value_length_swa": windowed,
        "attention.shared_kv_layers": c["num_kv_shared_layers"],
        "embedding_length_per_layer_input": c["hidden_size_per_layer_input"],
    }


def nemotron_h(c: Any) -> dict[str, Any]:
    pattern, kv, inner = c["hybrid_override_pattern"], c["num_key_value_heads"], c["intermediate_size"]
    sizes = (c["n_groups"], c["ssm_state_size"], c["conv_kernel"])
    return state(c["mamba_num_heads"] * c["mamba_head_dim"], c["mamba_num_heads"], *sizes) | {
        "block_count": len(pattern),
        "attention.head_count_kv": [kv if p == "*" else 0 for p in pattern],
        "feed_forward_length": [inner if p == "-" else 0 for p in pattern],
        "expert_count": None,
        "expert_used_count": None,
    }


def headless(c: Any) -> dict[str, Any]:
    return {"attention.head_count": 0, "feed_forward_length": 0, "attention.key_length": None}


def both(*readers: More) -> More:
    def more(c: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for reader in readers:
            found |= reader(c)
        return found

    return more


def mamba(c: Any) -> dict[str, Any]:
    return headless(c) | state(c["intermediate_size"], c["time_step_rank"], None, c["state_size"], c["conv_kernel"])


def mamba_2(c: Any) -> dict[str, Any]:
    sizes = (c["num_heads"], c["n_groups"], c["state_size"], c["conv_kernel"])
    return headless(c) | state(c["num_heads"] * c["head_dim"], *sizes)


def finch(c: Any) -> dict[str, Any]:
    return {"attention.head_count": 0, "wkv.head_size": c["head_size"], "feed_forward_length": c["intermediate_size"]}


FINCH = {"num_hidden_layers": 3, "hidden_size": 512, "head_size": 64, "intermediate_size": 1792, "vocab_size": 1024}


def predicted(c: Any) -> dict[str, Any]:
    return {"nextn_predict_layers": 1, "block_count": c["num_hidden_layers"] + 1}


LISTED = ["sliding_attention"] * 4 + ["full_attention"]
SMALL: dict[str, Any] = {"num_hidden_layers": 5, "hidden_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2}
SMALL |= {"intermediate_size": 768, "vocab_size": 1024, "torch_dtype": "bfloat16", "max_position_embeddings": 4096}
EXPERTS = SMALL | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256}
HEADS = {"head_dim": 96}
LOCAL = {"num_local_experts": 8, "num_experts_per_tok": 2}
ROUTED = SMALL | {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "n_shared_experts": 1}
ROUTED |= {"first_k_dense_replace": 1, "num_nextn_predict_layers": 0, "n_group": 1, "topk_group": 1}
LATENT = ROUTED | {"num_key_value_heads": 8, "q_lora_rank": 96, "kv_lora_rank": 64, "qk_rope_head_dim": 32}
LATENT |= {"qk_nope_head_dim": 64, "v_head_dim": 48}
MAMBA2 = {"mamba_n_heads": 16, "mamba_d_head": 64, "mamba_n_groups": 1, "mamba_d_state": 64, "mamba_expand": 2}
MAMBA2 |= {"mamba_d_conv": 4}
DELTA = {"linear_num_key_heads": 4, "linear_num_value_heads": 8, "linear_key_head_dim": 64}
DELTA |= {"linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "head_dim": 64}
DELTA |= {"partial_rotary_factor": 0.25}
SHARED = {"shared_expert_intermediate_size": 384}
HYBRID = ["mamba", "mamba", "attention", "mamba", "mamba"]
CONV = ["conv", "conv", "full_attention", "conv", "full_attention"]
NOPE = {"sliding_window": None}

CASES: dict[str, tuple[str, str, dict[str, Any], More]] = {
    "llama": ("llama", "llama", SMALL | HEADS, nothing),
    "mistral": ("llama", "llama", SMALL | {"head_dim": 128}, nothing),  # Mistral's own, less its window
    "mixtral": ("llama", "mixtral", SMALL | LOCAL, without_window),
    "qwen2": ("qwen2", "qwen2", SMALL, without_window),
    "qwen2moe": ("qwen2moe", "qwen2_moe", EXPERTS | SHARED, without_window),
    "qwen3": ("qwen3", "qwen3", SMALL | HEADS, without_window),
    "qwen3moe": ("qwen3moe", "qwen3_moe", EXPERTS | HEADS, without_window),
    "qwen3next": ("qwen3next", "qwen3_next", EXPERTS | SHARED | DELTA, delta),
    "qwen35": (
        "qwen35",
        "qwen3_5_text",
        SMALL | DELTA | {"mtp_num_hidden_layers": 1, "mamba_ssm_dtype": "float32"},
        both(delta, predicted),
    ),
    "qwen35moe": (
        "qwen35moe",
        "qwen3_5_moe_text",
        EXPERTS | SHARED | DELTA | {"mamba_ssm_dtype": "float32"},
        delta,
    ),
    "gemma": ("gemma", "gemma", SMALL | HEADS, nothing),
    "gemma2": ("gemma2", "gemma2", SMALL | HEADS | {"sliding_window": 512}, nothing),
    "gemma3": ("gemma3", "gemma3_text", SMALL | HEADS | {"sliding_window": 512, "num_hidden_layers": 7}, nothing),
    "gemma3n": (
        "gemma3n",
        "gemma3n_text",
        SMALL
        | HEADS
        | {"num_hidden_layers": 30, "intermediate_size": [768] * 30, "num_kv_shared_layers": 10, "sliding_window": 512}
        | {"layer_types": LISTED * 6},
        gemma3n,
    ),
    "gemma4": (
        "gemma4",
        "gemma4_text",
        SMALL
        | {"head_dim": 64, "global_head_dim": 128, "sliding_window": 512, "num_kv_shared_layers": 0}
        | {"layer_types": LISTED, "hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": 1024},
        gemma4,
    ),
    "phi2": ("phi2", "phi", SMALL, lambda c: {"rope.dimension_count": 32}),
    "phi3": ("phi3", "phi3", SMALL | {"sliding_window": 512}, nothing),
    "gpt-oss": (
        "gpt-oss",
        "gpt_oss",
        SMALL | LOCAL | HEADS | {"sliding_window": 128},
        lambda c: {"expert_feed_forward_length": c["intermediate_size"]},
    ),
    "deepseek": ("deepseek", "deepseek", ROUTED, shared),
    "deepseek2-v2": ("deepseek2", "deepseek_v2", LATENT, latent),
    "deepseek2-v3": ("deepseek2", "deepseek_v3", LATENT, both(latent, lambda c: {"expert_gating_func": 2})),
    "glm4": ("glm4", "glm4", SMALL | {"head_dim": 64}, lambda c: {"rope.dimension_count": 32}),
    "glm4moe": (
        "glm4moe",
        "glm4_moe",
        ROUTED | {"head_dim": 64, "num_nextn_predict_layers": 1},
        both(shared, predicted, lambda c: {"rope.dimension_count": 32}),
    ),
    "granite": ("granite", "granite", SMALL, nothing),
    "granitemoe": ("granitemoe", "granitemoe", SMALL | LOCAL, nothing),
    "granitehybrid": (
        "granitehybrid",
        "granitemoehybrid",
        SMALL
        | MAMBA2
        | LOCAL
        | {"shared_intermediate_size": 384, "layer_types": HYBRID, "position_embedding_type": "nope"},
        both(mamba2, heads_where("attention")),
    ),
    "lfm2": (
        "lfm2",
        "lfm2",
        SMALL | {"layer_types": CONV, "block_auto_adjust_ff_dim": False},
        both(heads_where("full_attention"), lambda c: {"shortconv.l_cache": c["conv_L_cache"]}),
    ),
    "lfm2moe": (
        "lfm2moe",
        "lfm2_moe",
        EXPERTS | {"layer_types": CONV, "num_dense_layers": 2},
        both(
            heads_where("full_attention"),
            lambda c: {"shortconv.l_cache": c["conv_L_cache"], "leading_dense_block_count": 2},
        ),
    ),
    "nemotron": (
        "nemotron",
        "nemotron",
        SMALL | {"head_dim": 64, "partial_rotary_factor": 0.5},
        lambda c: {"rope.dimension_count": 32},
    ),
    "nemotron_h": (
        "nemotron_h",
        "nemotron_h",
        SMALL | {"hybrid_override_pattern": "M-M*-", "head_dim": 64, "attention_head_dim": None, "mamba_num_heads": 16},
        nemotron_h,
    ),
    "falcon-h1": ("falcon-h1", "falcon_h1", SMALL | MAMBA2 | {"head_dim": 64, "mamba_d_ssm": 1024}, mamba2),
    "mamba": (
        "mamba",
        "mamba",
        {
            "hidden_size": 512,
            "intermediate_size": 1024,
            "num_hidden_layers": 3,
            "vocab_size": 1024,
            "time_step_rank": 32,
        },
        mamba,
    ),
    "mamba2": (
        "mamba2",
        "mamba2",
        {"hidden_size": 512, "num_heads": 16, "head_dim": 64, "num_hidden_layers": 3, "vocab_size": 1024},
        mamba_2,
    ),
    "rwkv6": ("rwkv6", "rwkv6", FINCH, finch),
    "starcoder2": ("starcoder2", "starcoder2", SMALL | NOPE, nothing),
    "command-r": ("command-r", "cohere", SMALL, nothing),
    "cohere2": ("cohere2", "cohere2", SMALL | {"sliding_window": 512}, nothing),
    "olmo": ("olmo", "olmo", SMALL, nothing),
    "olmo2": ("olmo2", "olmo2", SMALL, nothing),
    "olmo3": ("olmo2", "olmo3", SMALL | {"sliding_window": 512}, nothing),
    "olmoe": (
        "olmoe",
        "olmoe",
        SMALL | {"num_experts": 8, "num_experts_per_tok": 2},
        lambda c: {"expert_feed_forward_length": c["intermediate_size"]},
    ),
    "minimax-m2": (
        "minimax-m2",
        "minimax_m2",
        SMALL | LOCAL | {"head_dim": 64, "rotary_dim": 32},
        lambda c: {"rope.dimension_count": 32},
    ),
    "exaone4": ("exaone4", "exaone4", SMALL | {"sliding_window": 512, "sliding_window_pattern": 4}, nothing),
    "internlm2": ("internlm2", "internlm2", SMALL, nothing),
    "smollm3": ("smollm3", "smollm3", SMALL | {"use_sliding_window": False}, without_window),
    "hunyuan-dense": ("hunyuan-dense", "hunyuan_v1_dense", SMALL | HEADS, nothing),
    "ernie4_5": ("ernie4_5", "ernie4_5", SMALL | HEADS, nothing),
    "dots1": ("dots1", "dots1", ROUTED, both(shared, without_window)),
    "seed_oss": ("seed_oss", "seed_oss", SMALL | HEADS, nothing),
    "mistral3": ("mistral3", "ministral3", SMALL | HEADS | NOPE, nothing),
}


def as_converted(config: dict[str, Any], dtype: str = "float32") -> Model:
    """The model of a config without the pooler, which llama.cpp leaves out."""
    model = model_from_config(config | {"torch_dtype": dtype})
    after = tuple(p for p in model.text.after if not any("pooler" in w.name for w in weights_of((p,))))
    return replace(model, text=replace(model.text, after=after), plans={})


@pytest.mark.parametrize(("architecture", "kind", "config", "more"), CASES.values(), ids=CASES)
def test_a_gguf_file_is_the_model_it_was_written_from(
    tmp_path: Path, architecture: str, kind: str, config: dict[str, Any], more: More
) -> None:
    known = as_converted(config | {"model_type": kind})
    path = convert(tmp_path / "x.gguf", architecture, known, more(known.config))
    found = load_model(path)
    assert found.certainty == {}, "read from the headers alone"
    assert found.model_type == kind
    assert found.parameters == known.parameters
    assert found.text.layers == known.text.layers
    for mode in ("prefill", "decode"):
        mine, theirs = (estimate(m, mode=mode, sequence_length=3000) for m in (found, known))
        assert mine.flops.total == theirs.flops.total
        assert mine.memory.kv_cache == theirs.memory.kv_cache
        assert mine.memory.weights == theirs.memory.weights  # the file is in 32 bit, and so is the config


T5 = {"d_model": 512, "d_kv": 64, "d_ff": 768, "num_layers": 4, "num_decoder_layers": 3, "num_heads": 8}
T5 |= {"vocab_size": 1024, "n_positions": 512}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def encoding(c: Any) -> dict[str, Any]:
    return {"attention.causal": False, "attention.head_count_kv": c["num_attention_heads"], "context_length": 512}


def both_sides(c: Any) -> dict[str, Any]:
    sizes = {"embedding_length": c["d_model"], "feed_forward_length": c["d_ff"], "block_count": c["num_layers"]}
    heads = {"attention.head_count": c["num_heads"], "attention.head_count_kv": c["num_heads"]}
    heads |= {"attention.key_length": c["d_kv"], "attention.value_length": c["d_kv"]}
    decoder = {"decoder_block_count": c["num_decoder_layers"], "context_length": 512}
    return sizes | heads | decoder | {"attention.relative_buckets_count": c["relative_attention_num_buckets"]}


ENCODER = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"} | {"max_position_embeddings": 512}
BESIDE_DECODERS: dict[str, tuple[str, str, dict[str, Any], More]] = {
    "bert": ("bert", "bert", ENCODER | {"architectures": ["BertModel"]}, encoding),
    "nomic-bert": ("nomic-bert", "nomic_bert", ENCODER | {"architectures": ["NomicBertModel"]}, encoding),
    "t5": ("t5", "t5", T5, both_sides),
    "t5, gated": ("t5", "t5", T5 | GATED, both_sides),
    "t5encoder": ("t5encoder", "t5", T5 | GATED | {"architectures": ["T5EncoderModel"]}, both_sides),
    "umt5": ("t5", "umt5", T5 | GATED, both_sides),
}


@pytest.mark.parametrize(("architecture", "kind", "config", "more"), BESIDE_DECODERS.values(), ids=BESIDE_DECODERS)
def test_encoders_and_models_of_two_sides(
    tmp_path: Path, architecture: str, kind: str, config: dict[str, Any], more: More
) -> None:
    known = as_converted(config | {"model_type": kind})
    path = convert(tmp_path / "x.gguf", architecture, known, more(known.config))
    found = load_model(path)
    assert found.certainty == {}, "read from the headers alone"
    assert found.model_type == kind
    whole = model_from_config(config | {"model_type": kind})
    assert (known.parameters != whole.parameters) == (kind == "bert")
    assert found.parameters == known.parameters
    for length in (16, 500):
        mine, theirs = (estimate(m, mode="prefill", sequence_length=length) for m in (found, known))
        assert mine.flops.total == theirs.flops.total
        assert mine.memory.kv_cache == theirs.memory.kv_cache
        assert mine.memory.weights == theirs.memory.weights


@pytest.mark.parametrize(("architecture", "said"), [("llama", {"attention.causal": False}), ("llama-embed", {})])
def test_a_decoder_that_looks_both_ways_keeps_no_cache(tmp_path: Path, architecture: str, said: dict[str, Any]) -> None:
    """Embedding models on a decoder's layers."""
    known = as_converted(SMALL | {"model_type": "llama"})
    found = load_model(convert(tmp_path / "x.gguf", architecture, known, said))
    assert found.parameters == known.parameters
    assert found.model_type == "llama"
    assert estimate(found, mode="prefill", sequence_length=512).memory.kv_cache == 0
    with pytest.raises(WorkloadError, match="no decode mode"):
        estimate(found, mode="decode")


DENSE = {"block_count": 2, "context_length": 4096, "embedding_length": 256, "feed_forward_length": 768}
DENSE |= {
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
}


@pytest.mark.parametrize(
    ("number", "block", "size", "name", "weights"),
    [
        (42, 64, 18, "Q2_0", 522240),  # llama.cpp
        (143, 128, 28, "GGML type 143", 407552),  # a fork's ternary type
        (42, 128, 34, "GGML type 42", 1835008 // 128 * 34 + 6144),  # another fork's, under llama.cpp's number
        (137, 256, 76, "IQ2_K", 1835008 // 256 * 76 + 6144),  # ik_llama.cpp
    ],
)
def test_types_without_a_table_are_sized_by_their_offsets(
    tmp_path: Path, number: int, block: int, size: int, name: str, weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GGML, "X", (number, block, size))
    stored: Tensors = {"token_embd.weight": ("X", (1024, 256)), "output_norm.weight": ("F32", (256,))}
    for i in range(2):
        stored |= {f"blk.{i}.{n}_norm.weight": ("F32", (256,)) for n in ("attn", "ffn")}
        stored |= {f"blk.{i}.attn_{n}_norm.weight": ("F32", (64,)) for n in "qk"}
        stored |= {f"blk.{i}.attn_{n}.weight": ("X", (r, 256)) for n, r in (("q", 256), ("k", 128), ("v", 128))}
        stored |= {f"blk.{i}.attn_output.weight": ("X", (256, 256))}
        stored |= {f"blk.{i}.ffn_{n}.weight": ("X", (768, 256)) for n in ("gate", "up")}
        stored |= {f"blk.{i}.ffn_down.weight": ("X", (256, 768))}
    said = {"general.architecture": "qwen3"} | {f"qwen3.{key}": value for key, value in DENSE.items()}
    found = load_model(write_gguf(tmp_path / "x.gguf", stored, said))
    e = estimate(found, mode="decode", sequence_length=1024)
    assert (found.parameters.total, e.memory.weights, e.memory.kv_cache) == (1836544, weights, 1048576)
    assert name in e.precision


def test_every_case_is_of_a_listed_architecture() -> None:
    cases = (*CASES.values(), *BESIDE_DECODERS.values())
    assert {architecture for architecture, *_ in cases} <= ARCHITECTURES.keys()


SAID = {"general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": 64}


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"llama.block_count": 2**32 - 1, "llama.attention.sliding_window_pattern": 6}, "layers"),
        ({"llama.block_count": 3, "llama.attention.head_count": [1, 1]}, "for 2 of 3 layers"),
        ({"llama.rope": [[1, 2], [3]]}, "array inside an array"),
    ],
)
def test_metadata_that_no_model_has(tmp_path: Path, said: dict[str, Any], part: str) -> None:
    stored = {"token_embd.weight": ("F32", (64, 64)), "blk.0.attn_q.weight": ("F32", (64, 64))}
    path = write_gguf(tmp_path / "x.gguf", stored, SAID | said)
    with pytest.raises(CheckpointError, match=part):
        load_model(path)


def test_tensors_say_more_heads_of_keys_than_of_queries(tmp_path: Path) -> None:
    """Sizes of full and windowed layers come from the file: 8 heads of keys and 1 beside 4 of queries."""
    said = {
        "block_count": 2,
        "context_length": 4096,
        "embedding_length": 256,
        "feed_forward_length": 512,
        "attention.head_count": 4,
        "attention.head_count_kv": [8, 1],
        "attention.key_length": 512,
        "attention.value_length": 512,
        "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
        "attention.sliding_window": 1024,
        "attention.sliding_window_pattern": [True, False],
    }
    metadata = {"general.architecture": "gemma4"} | {f"gemma4.{name}": value for name, value in said.items()}
    tensors: Tensors = {"token_embd.weight": ("Q8_0", (512, 256)), "output_norm.weight": ("F32", (256,))}
    for layer, (queries, keys) in enumerate(((1024, 2048), (2048, 512))):
        at = f"blk.{layer}"
        tensors |= {f"{at}.attn_norm.weight": ("F32", (256,)), f"{at}.ffn_norm.weight": ("F32", (256,))}
        tensors |= {
            f"{at}.attn_q.weight": ("Q8_0", (queries, 256)),
            f"{at}.attn_output.weight": ("Q8_0", (256, queries)),
        }
        tensors |= {f"{at}.attn_{kind}.weight": ("Q8_0", (keys, 256)) for kind in "kv"}
        tensors |= {f"{at}.ffn_{kind}.weight": ("Q8_0", (512, 256)) for kind in ("gate", "up")}
        tensors[f"{at}.ffn_down.weight"] = ("Q8_0", (256, 512))
    path = tmp_path / "model.gguf"
    write_gguf(path, tensors, metadata)
    found = estimate(load_model(str(path)), mode="decode", sequence_length=2048, kv_dtype="fp16").memory
    assert found.kv_cache == 2 * 2 * 8 * 256 * 1024 + 2 * 2 * 1 * 512 * 2048
