"""The types of config.json behind the architectures of GGUF files, and the fields that each has beside the usual ones.

What a converter writes for a field: ggml-org/llama.cpp, conversion/*.py (set_gguf_parameters).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from calculator.sources.checkpoint.llama_cpp import fields as f
from calculator.sources.checkpoint.llama_cpp.fields import Fields
from calculator.sources.checkpoint.metadata import Metadata

Reader = Callable[[Metadata], Fields]


class Architecture(NamedTuple):
    """The type of the original config (or how the metadata tell which of several), and its further fields."""

    model_type: str | Callable[[Metadata], str]
    fields: tuple[Reader, ...] = ()

    def config(self, said: Metadata) -> Fields:
        """The config.json that the converter read, as far as the calculator needs it."""
        kind = self.model_type if isinstance(self.model_type, str) else self.model_type(said)
        found = {"model_type": kind} | f.usual(said)
        for reader in self.fields:
            found |= reader(said)
        return {name: value for name, value in found.items() if value is not None or name in NULLABLE}


NULLABLE = frozenset(("q_lora_rank", "head_dim", "sliding_window"))
"""Fields whose null means something else than the type's default."""


def mixtral(said: Metadata) -> Fields:
    """Mixtral keeps the experts' width where dense models keep the MLP's, and has no window since its first week."""
    if not f.expert_count(said):
        return {}
    count = {"num_local_experts": f.expert_count(said), "num_experts_per_tok": f.used(said), "sliding_window": None}
    return count | {"intermediate_size": f.columns(said, "ffn_down_exps.weight") or f.inner(said)}


def qwen_moe(said: Metadata) -> Fields:
    """Experts of Qwen 2 to 3.5, shared ones behind a gate of their own."""
    dense = [i for i in range(said.layers) if f"blk.{i}.ffn_down_exps.weight" not in said.shapes]
    shared = f.shared_inner(said) or said.number("expert_shared_feed_forward_length")
    return f.experts(said) | {
        "shared_expert_intermediate_size": shared,
        "qkv_bias": said.has("attn_q.bias"),
        "decoder_sparse_step": 1,
        "mlp_only_layers": dense,
    }


def qwen_windows(_: Metadata) -> Fields:
    """No converter writes the window of Qwen 2 and 3, which no published model switches on."""
    return {"use_sliding_window": False}


def gemma3n(said: Metadata) -> Fields:
    """Widths by layer, and the sizes that only tensors tell."""
    widths = said.each("feed_forward_length")[: said.layers]
    return f.layer_types(said) | {
        "intermediate_size": list(widths),
        "altup_num_inputs": said.number("altup.num_inputs") or 4,
        "laurel_rank": f.rows(said, "laurel_l.weight"),
        "hidden_size_per_layer_input": said.number("embedding_length_per_layer_input"),
        "vocab_size_per_layer_input": f.rows(said, "per_layer_token_embd.weight"),
        "num_kv_shared_layers": said.number("attention.shared_kv_layers") or 0,
    }


def gemma4(said: Metadata) -> Fields:
    """Full-attention layers have heads of their own size and number; layers on shared keys may have a wider MLP."""
    full = [i for i, w in enumerate(said.windows) if w is None]
    slid = [i for i, w in enumerate(said.windows) if w is not None]
    inner = said.each("feed_forward_length")[: said.layers]
    last = full[-1] if full else 0
    same = bool(full) and f"blk.{full[0]}.attn_v.weight" not in said.shapes
    rope, whole = said.number("rope.dimension_count"), said.head_dim(last)
    moe = f.expert_count(said) > 0
    return f.layer_types(said) | {
        "head_dim": said.head_dim(slid[0]) if slid else whole,
        "global_head_dim": whole,
        "num_key_value_heads": said.kv_heads[slid[0]] if slid else said.kv_heads[last],
        "num_global_key_value_heads": said.kv_heads[last] if same else None,
        "attention_k_eq_v": same,
        "intermediate_size": min(inner, default=0) or None,
        "use_double_wide_mlp": len(set(inner)) > 1,
        "num_kv_shared_layers": said.number("attention.shared_kv_layers") or 0,
        "hidden_size_per_layer_input": said.number("embedding_length_per_layer_input") or 0,
        "vocab_size_per_layer_input": f.rows(said, "per_layer_token_embd.weight"),
        "enable_moe_block": moe,
        **({"num_experts": f.expert_count(said), "top_k_experts": f.used(said)} if moe else {}),
        **({"moe_intermediate_size": f.expert_inner(said)} if moe else {}),
        **({} if rope is None or rope == whole else {"partial_rotary_factor": rope / (whole or 1)}),
    }


def deepseek(said: Metadata) -> Fields:
    """DeepSeekMoE's fields, which GLM, dots and others share."""
    shared = said.number("expert_shared_count")
    return {
        "n_routed_experts": f.expert_count(said),
        "num_experts_per_tok": f.used(said),
        "moe_intermediate_size": f.expert_inner(said),
        "n_shared_experts": shared if shared is not None else f.shared_inner(said) // (f.expert_inner(said) or 1),
        "first_k_dense_replace": f.dense_first(said),
        "moe_layer_freq": 1,
        "num_nextn_predict_layers": said.predicting,
    }


def deepseek2(said: Metadata) -> str:
    """V3 and its kin score experts by a sigmoid (2) and correct them by a bias; V2 by a softmax (1)."""
    sigmoid = said.number("expert_gating_func") == 2 or said.has("exp_probs_b.bias")
    return "deepseek_v3" if sigmoid else "deepseek_v2"


def head_norms(said: Metadata) -> Fields:
    """Whether queries and keys are normalised, by the names of Phi, Cohere and GLM."""
    return {"use_qk_norm": said.has("attn_q_norm.weight"), "qk_layernorm": said.has("attn_q_norm.weight")}


def granite_experts(said: Metadata) -> Fields:
    """Experts and shared MLPs of Granite, which the converter writes as a plain MLP where there are no experts."""
    count = f.expert_count(said)
    inner = (f.columns(said, "ffn_down_exps.weight") if count else None) or f.inner(said)
    shared = f.shared_inner(said) or (0 if count else f.columns(said, "ffn_down.weight"))
    return {
        "num_local_experts": count,
        "num_experts_per_tok": f.used(said) or 0,
        "intermediate_size": inner,
        "shared_intermediate_size": shared or 0,
    }


def granite_hybrid(said: Metadata) -> Fields:
    """Granite 4: Mamba-2 or attention in each layer."""
    return f.mamba2(said) | {
        "layer_types": ["mamba" if each else "attention" for each in said.recurrent],
        "position_embedding_type": "rope" if said.said("rope.scaling.finetuned") else "nope",
    }


def lfm2(said: Metadata) -> Fields:
    """Gated convolutions between layers of attention."""
    return {
        "layer_types": ["conv" if each else "full_attention" for each in said.recurrent],
        "conv_L_cache": said.number("shortconv.l_cache"),
        "conv_bias": said.has("shortconv.conv.bias"),
        "block_auto_adjust_ff_dim": False,
        "head_dim": None,
    }


def lfm2_experts(said: Metadata) -> Fields:
    """LFM2 with experts after the first layers."""
    return f.experts(said) | {
        "num_dense_layers": f.dense_first(said),
        "use_expert_bias": said.has("exp_probs_b.bias"),
        "norm_topk_prob": True,
    }


def nemotron_h(said: Metadata) -> Fields:
    """One part a layer: Mamba-2, attention, an MLP or experts."""
    inner, heads, groups, state, kernel = f.state_space(said)
    mixed = expert_layers(said)

    def kind(i: int) -> str:
        if said.recurrent[i]:
            return "mamba"
        return "attention" if said.kv_heads[i] else "moe" if i in mixed else "mlp"

    return {
        "layers_block_type": [kind(i) for i in range(said.layers)],
        "hybrid_override_pattern": None,
        "mamba_num_heads": heads,
        "mamba_head_dim": inner // max(heads, 1),
        "n_groups": groups,
        "ssm_state_size": state,
        "conv_kernel": kernel,
        "use_bias": said.has("ssm_in.bias"),
        "use_conv_bias": said.has("ssm_conv1d.bias"),
        "mlp_bias": said.has("ffn_up.bias"),
        "moe_shared_expert_intermediate_size": f.shared_inner(said),
        "moe_latent_size": said.number("moe_latent_size"),
        "mamba_ssm_cache_dtype": "float32" if mixed else None,  # as Nemotron 3 states it
        **deepseek(said),
    }


def expert_layers(said: Metadata) -> set[int]:
    """The layers that have experts."""
    return {i for i in range(said.layers) if f"blk.{i}.ffn_down_exps.weight" in said.shapes}


def falcon_h1(said: Metadata) -> Fields:
    """Mamba-2 beside attention."""
    return f.mamba2(said) | {
        "mamba_rms_norm": said.has("ssm_norm.weight"),
        "projectors_bias": said.has("ssm_out.bias"),
        "mamba_expand": 1,
    }


def mamba(said: Metadata) -> Fields:
    """Mamba and Mamba-2, whose time-step rank is its number of heads."""
    inner, rank, groups, state, kernel = f.state_space(said)
    return {
        "intermediate_size": inner,
        "time_step_rank": rank,
        "state_size": state,
        "conv_kernel": kernel,
        "use_bias": said.has("ssm_in.bias"),
        "use_conv_bias": said.has("ssm_conv1d.bias"),
        "max_position_embeddings": None,  # the converter's 2^20 is no property of the model
        "num_heads": rank,
        "head_dim": inner // max(rank, 1),
        "n_groups": groups or None,
    }


def minimax_m2(said: Metadata) -> Fields:
    """Experts under the names of Mixtral, whose width is the MLP's."""
    inner = f.expert_inner(said)
    count = {"num_local_experts": f.expert_count(said), "num_experts_per_tok": f.used(said)}
    return count | {"intermediate_size": inner, "rotary_dim": said.number("rope.dimension_count")}


def gpt_oss(said: Metadata) -> Fields:
    """Windows in every second layer, experts with biases."""
    count = {"num_local_experts": f.expert_count(said), "num_experts_per_tok": f.used(said)}
    return f.layer_types(said) | count | {"intermediate_size": f.expert_inner(said), "attention_bias": True}


def hunyuan_moe(said: Metadata) -> Fields:
    """Hunyuan's names for experts."""
    return {
        "num_experts": f.expert_count(said),
        "moe_topk": f.used(said),
        "moe_intermediate_size": f.expert_inner(said),
        "intermediate_size": f.expert_inner(said),
        "num_shared_expert": f.shared_inner(said) // (f.expert_inner(said) or 1),
    }


def ernie_moe(said: Metadata) -> Fields:
    """ERNIE's names for experts."""
    return {
        "moe_num_experts": f.expert_count(said),
        "moe_k": f.used(said),
        "moe_intermediate_size": f.expert_inner(said),
        "moe_num_shared_experts": f.shared_inner(said) // (f.expert_inner(said) or 1),
        "moe_layer_start_index": min(expert_layers(said), default=0),
        "moe_layer_end_index": max(expert_layers(said), default=0),
        "moe_layer_interval": 1,
    }


def biased(said: Metadata) -> Fields:
    """One flag for all biases."""
    return {"use_bias": said.has("attn_q.bias")}


def seed_oss(said: Metadata) -> Fields:
    """The bias of the output projection."""
    return {"attention_out_bias": said.has("attn_output.bias")}


def bert(said: Metadata) -> Fields:
    """An encoder as it is used for embeddings; the converter leaves pooler and language-model head out."""
    return {
        "architectures": ["BertModel"],
        "type_vocab_size": f.rows(said, "token_types.weight"),
        "max_position_embeddings": f.rows(said, "position_embd.weight") or said.number("context_length"),
    }


def nomic_bert(said: Metadata) -> Fields:
    """An encoder under GPT-2's field names."""
    return bert(said) | {
        "architectures": ["NomicBertModel"],
        "n_embd": said.number("embedding_length"),
        "n_head": max(said.heads, default=0),
        "n_layer": said.layers,
        "n_inner": f.inner(said),
        "n_positions": said.number("context_length"),
    }


def t5(said: Metadata) -> Fields:
    """Encoder and decoder, or the encoder alone."""
    side = "enc" if "enc.blk.0.attn_q.weight" in said.shapes else "dec"
    gated = f"{side}.blk.0.ffn_gate.weight" in said.shapes
    return {
        "d_model": said.number("embedding_length"),
        "d_kv": said.number("attention.key_length"),
        "d_ff": said.number("feed_forward_length"),
        "num_heads": max(said.heads, default=0),
        "num_layers": said.blocks,
        "num_decoder_layers": said.number("decoder_block_count") or said.blocks,
        "relative_attention_num_buckets": said.number("attention.relative_buckets_count"),
        "feed_forward_proj": "gated-gelu" if gated else "relu",
        "architectures": ["T5EncoderModel" if said.architecture == "t5encoder" else "T5ForConditionalGeneration"],
        "n_positions": said.number("context_length"),
    }


def t5_type(said: Metadata) -> str:
    """UMT5 has a bias of positions in every layer."""
    return "umt5" if "enc.blk.1.attn_rel_b.weight" in said.shapes else "t5"


def rwkv6(said: Metadata) -> Fields:
    """Finch, whose heads are of one size and whose ranks follow from its width."""
    return {
        "head_size": said.number("wkv.head_size"),
        "attention_hidden_size": f.rows(said, "time_mix_key.weight"),
        "intermediate_size": said.number("feed_forward_length"),
    }


QWEN35: Fields = {"mamba_ssm_dtype": "float32"}  # as every config of Qwen3.5 states it

ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("bert", (bert,)),
    "cohere2": Architecture("cohere2", (f.layer_types,)),
    "command-r": Architecture("cohere", (head_norms,)),
    "deepseek": Architecture("deepseek", (deepseek,)),
    "deepseek2": Architecture(deepseek2, (f.latent, deepseek)),
    "dots1": Architecture("dots1", (deepseek, f.layer_types)),
    "ernie4_5": Architecture("ernie4_5", (biased,)),
    "ernie4_5-moe": Architecture("ernie4_5_moe", (ernie_moe, biased)),
    "exaone": Architecture("exaone"),
    "exaone4": Architecture("exaone4", (f.layer_types,)),
    "falcon-h1": Architecture("falcon_h1", (falcon_h1,)),
    "gemma": Architecture("gemma"),
    "gemma2": Architecture("gemma2", (f.layer_types,)),
    "gemma3": Architecture("gemma3_text", (f.layer_types,)),
    "gemma3n": Architecture("gemma3n_text", (gemma3n,)),
    "gemma4": Architecture("gemma4_text", (gemma4,)),
    "glm4": Architecture("glm4", (f.rotated,)),
    "glm4moe": Architecture("glm4_moe", (deepseek, head_norms, f.rotated)),
    "gpt-oss": Architecture("gpt_oss", (gpt_oss,)),
    "granite": Architecture("granite"),
    "granitehybrid": Architecture("granitemoehybrid", (granite_experts, granite_hybrid)),
    "granitemoe": Architecture(
        lambda said: "granitemoeshared" if f.shared_inner(said) else "granitemoe", (granite_experts,)
    ),
    "hunyuan-dense": Architecture("hunyuan_v1_dense"),
    "hunyuan-moe": Architecture("hunyuan_v1_moe", (hunyuan_moe,)),
    "internlm2": Architecture("internlm2", (lambda said: {"bias": said.has("attn_q.bias")},)),
    "lfm2": Architecture("lfm2", (lfm2,)),
    "lfm2moe": Architecture("lfm2_moe", (lfm2, lfm2_experts)),
    "llama": Architecture(lambda said: "mixtral" if f.expert_count(said) else "llama", (mixtral,)),
    "llama-embed": Architecture("llama"),
    "mamba": Architecture("mamba", (mamba,)),
    "mamba2": Architecture("mamba2", (mamba,)),
    "minimax-m2": Architecture("minimax_m2", (minimax_m2,)),
    "mistral3": Architecture("ministral3"),
    "nemotron": Architecture("nemotron", (f.rotated,)),
    "nemotron_h": Architecture("nemotron_h", (nemotron_h,)),
    "nemotron_h_moe": Architecture("nemotron_h", (nemotron_h,)),
    "nomic-bert": Architecture("nomic_bert", (nomic_bert,)),
    "olmo": Architecture("olmo"),
    "olmo2": Architecture(lambda said: "olmo3" if any(said.windows) else "olmo2", (f.layer_types,)),
    "olmoe": Architecture("olmoe", (f.experts, lambda said: {"intermediate_size": f.expert_inner(said)})),
    "phi2": Architecture("phi", (f.rotated, head_norms)),
    "phi3": Architecture("phi3", (f.rotated, lambda said: {"sliding_window": said.number("attention.sliding_window")})),
    "qwen2": Architecture("qwen2", (qwen_windows,)),
    "qwen2moe": Architecture("qwen2_moe", (qwen_windows, qwen_moe)),
    "qwen2vl": Architecture("qwen2_vl_text", (qwen_windows,)),
    "qwen3": Architecture("qwen3", (qwen_windows,)),
    "qwen35": Architecture("qwen3_5_text", (f.delta_net, f.rotated, lambda _: QWEN35)),
    "qwen35moe": Architecture("qwen3_5_moe_text", (qwen_moe, f.delta_net, f.rotated, lambda _: QWEN35)),
    "qwen3moe": Architecture("qwen3_moe", (qwen_windows, qwen_moe)),
    "qwen3next": Architecture("qwen3_next", (qwen_moe, f.delta_net, f.rotated)),
    "qwen3vl": Architecture("qwen3", (qwen_windows,)),
    "qwen3vlmoe": Architecture("qwen3_moe", (qwen_windows, qwen_moe)),
    "rwkv6": Architecture("rwkv6", (rwkv6,)),
    "seed_oss": Architecture("seed_oss", (seed_oss,)),
    "smollm3": Architecture("smollm3"),
    "starcoder2": Architecture("starcoder2", (biased, lambda _: {"sliding_window": None})),
    "t5": Architecture(t5_type, (t5,)),
    "t5encoder": Architecture(t5_type, (t5,)),
}
"""By the name that general.architecture has."""


def config_of(said: Metadata) -> dict[str, Any] | None:
    """The config.json that the metadata were written from; None for an architecture that is not translated."""
    found = ARCHITECTURES.get(said.architecture)
    return found.config(said) if found is not None and said.layers else None
