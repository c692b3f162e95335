"""Small models and their tensors as a checkpoint names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from writers import Tensors, write_safetensors

from calculator.sources.load import model_from_config

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
QWEN3_MOE = LLAMA | {
    "model_type": "qwen3_moe",
    "architectures": ["Qwen3MoeForCausalLM"],
    "head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}
DEEPSEEK = LLAMA | {
    "model_type": "deepseek_v3",
    "architectures": ["DeepseekV3ForCausalLM"],
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_nextn_predict_layers": 1,
}
GPT_OSS = LLAMA | {
    "model_type": "gpt_oss",
    "architectures": ["GptOssForCausalLM"],
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "intermediate_size": 64,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
GEMMA = LLAMA | {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "head_dim": 16}
GEMMA |= {"tie_word_embeddings": True, "sliding_window": 8, "sliding_window_pattern": 3}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_head": 4, "n_layer": 3}
GPT2 |= {"n_positions": 32, "vocab_size": 128, "torch_dtype": "bfloat16"}
MAMBA = {
    "model_type": "mamba2",
    "architectures": ["Mamba2ForCausalLM"],
    "hidden_size": 64,
    "num_heads": 8,
    "head_dim": 16,
}
MAMBA |= {"num_hidden_layers": 3, "vocab_size": 128, "state_size": 16, "n_groups": 2, "torch_dtype": "bfloat16"}

EVERY = {
    "llama": LLAMA,
    "qwen3_moe": QWEN3_MOE,
    "deepseek_v3": DEEPSEEK,
    "gpt_oss": GPT_OSS,
    "gemma3": GEMMA,
    "gpt2": GPT2,
}


def tensors(config: dict[str, Any]) -> Tensors:
    """The formula's own tensors, all in 16 bit."""
    return {name: ("BF16", shape) for name, shape in model_from_config(config).tensors()}


def folder(path: Path, config: dict[str, Any] | None, stored: Tensors) -> Path:
    write_safetensors(path / "model.safetensors", stored)
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    return path
