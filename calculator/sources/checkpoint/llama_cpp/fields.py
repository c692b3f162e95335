"""Fields of a config.json from a GGUF file's metadata, and from its tensors where the metadata do not say it."""

from __future__ import annotations

from typing import Any

from calculator.sources.checkpoint.metadata import Metadata

Fields = dict[str, Any]


def usual(said: Metadata) -> Fields:
    """What nearly every type states. Sizes that no metadata state are those of the tensors."""
    embedding = said.shape("token_embd.weight") or (0, 0)
    width = said.number("embedding_length") or embedding[-1]
    fields: Fields = {
        "hidden_size": width,
        "num_hidden_layers": said.layers,
        "vocab_size": embedding[0],
        "intermediate_size": inner(said),
        "tie_word_embeddings": not said.has("output.weight"),
        "max_position_embeddings": said.number("context_length"),
        "attention_bias": said.has("attn_q.bias") or said.has("attn_qkv.bias"),
        "mlp_bias": said.has("ffn_down.bias"),
    }
    heads = max(said.heads, default=0)
    if heads:
        fields |= {"num_attention_heads": heads, "num_key_value_heads": max(said.kv_heads), "head_dim": head_dim(said)}
    return fields


def inner(said: Metadata) -> int | None:
    """The width of the MLP; of several the largest."""
    return max(said.each("feed_forward_length"), default=0) or columns(said, "ffn_down.weight")


def head_dim(said: Metadata) -> int | None:
    """Elements of a head in the first layer that has attention."""
    return said.head_dim(next((i for i, n in enumerate(said.heads) if n), 0))


def columns(said: Metadata, name: str) -> int | None:
    """The inputs of a matrix."""
    shape = said.shape(name)
    return shape[-1] if shape else None


def rows(said: Metadata, name: str) -> int | None:
    """The outputs of a matrix, or the length of a vector."""
    shape = said.shape(name)
    return shape[-2] if shape and len(shape) > 1 else shape[0] if shape else None


def expert_count(said: Metadata) -> int:
    """Routed experts of a layer, 0 in a dense model."""
    return said.number("expert_count") or 0


def used(said: Metadata) -> int | None:
    """Experts that a token visits."""
    return max(said.each("expert_used_count"), default=0) or None


def expert_inner(said: Metadata) -> int | None:
    """The width of an expert."""
    return max(said.each("expert_feed_forward_length"), default=0) or columns(said, "ffn_down_exps.weight")


def shared_inner(said: Metadata) -> int:
    """The width of what all tokens visit beside their experts, 0 where there is none."""
    return columns(said, "ffn_down_shexp.weight") or 0


def experts(said: Metadata, count: str = "num_experts", top_k: str = "num_experts_per_tok") -> Fields:
    """Count, choice and width of the experts."""
    return {count: expert_count(said), top_k: used(said), "moe_intermediate_size": expert_inner(said)}


def layer_types(said: Metadata) -> Fields:
    """The layers with a window, and how wide it is."""
    sizes = {w for w in said.windows if w is not None}
    types = ["full_attention" if w is None else "sliding_attention" for w in said.windows]
    return {"layer_types": types, "sliding_window": max(sizes, default=None)}


def rotated(said: Metadata) -> Fields:
    """The share of each head that is rotated."""
    size, head = said.number("rope.dimension_count"), head_dim(said)
    return {"partial_rotary_factor": size / head} if size and head else {}


def dense_first(said: Metadata) -> int:
    """Layers before the first with experts."""
    return said.number("leading_dense_block_count") or 0


def latent(said: Metadata) -> Fields:
    """Multi-head latent attention, of which llama.cpp keeps one head where it absorbs the projections."""
    rope = said.number("rope.dimension_count") or 0
    key = said.number("attention.key_length_mla", "attention.key_length") or 0
    return {
        "q_lora_rank": said.number("attention.q_lora_rank"),
        "kv_lora_rank": said.number("attention.kv_lora_rank"),
        "qk_rope_head_dim": rope,
        "qk_nope_head_dim": key - rope,
        "v_head_dim": said.number("attention.value_length_mla", "attention.value_length"),
        "num_key_value_heads": max(said.heads, default=0),
        "head_dim": None,
    }


def state_space(said: Metadata) -> tuple[int, int, int, int, int]:
    """Inner width, heads, groups, state and kernel of a state-space mixer."""
    names = ("ssm.inner_size", "ssm.time_step_rank", "ssm.group_count", "ssm.state_size", "ssm.conv_kernel")
    inner, heads, groups, state, kernel = (said.number(name) or 0 for name in names)
    return inner, heads, groups, state, kernel


def mamba2(said: Metadata) -> Fields:
    """Mamba-2 by the field names of Bamba, Granite 4 and Falcon-H1."""
    inner, heads, groups, state, kernel = state_space(said)
    width = said.number("embedding_length") or 1
    return {
        "mamba_n_heads": heads,
        "mamba_d_head": inner // max(heads, 1),
        "mamba_expand": inner // width,
        "mamba_d_ssm": inner,
        "mamba_n_groups": groups,
        "mamba_d_state": state,
        "mamba_d_conv": kernel,
        "mamba_conv_bias": said.has("ssm_conv1d.bias"),
        "mamba_proj_bias": said.has("ssm_in.bias"),
    }


def delta_net(said: Metadata) -> Fields:
    """Qwen3-Next's gated delta nets."""
    inner, values, keys, state, kernel = state_space(said)
    types = ["linear_attention" if each else "full_attention" for each in said.recurrent]
    return {
        "linear_num_key_heads": keys,
        "linear_num_value_heads": values,
        "linear_key_head_dim": state,
        "linear_value_head_dim": inner // max(values, 1),
        "linear_conv_kernel_dim": kernel,
        "layer_types": types,
        "full_attention_interval": said.number("full_attention_interval") or 4,
        "mtp_num_hidden_layers": said.predicting,
    }
