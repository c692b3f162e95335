"""What a config.json, or the metadata of a GGUF file, says about attention and experts under whatever names it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calculator.limits import times
from calculator.sources.checkpoint.metadata import Metadata

SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config", "decoder")
NAMES = {
    # The decoder's first: beside an encoder the usual names count that one's layers (T5, BART).
    "layers": ("num_decoder_layers", "decoder_layers", "num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "width": ("hidden_size", "n_embd", "d_model", "dim", "model_dim"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
    "kv_heads": ("num_key_value_heads", "n_kv_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"),
    "head_dim": ("head_dim", "kv_channels", "attention_head_dim", "d_kv"),
    "value_dim": ("v_head_dim", "value_head_dim"),
    "context": ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len"),
    "top_k": (
        *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "top_k_experts", "moe_k"),
        *("num_selected_experts", "experts_per_token", "n_experts_per_tok", "num_activated_experts", "expert_top_k"),
        *("num_experts_per_topk", "router_top_k", "top_k"),
    ),
    "experts": (
        *("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_routed_experts"),
        *("n_experts", "num_moe_experts"),
    ),
    "latent": ("kv_lora_rank",),
    "rope_dim": ("qk_rope_head_dim",),
    "nope_dim": ("qk_nope_head_dim",),
    "window": ("sliding_window", "sliding_window_size", "attention_window_size", "window_size"),
}


@dataclass(frozen=True)
class Facts:
    """Numbers that are stated, None where they are not.

    Attributes:
        heads, kv_heads: of each layer; empty where they are not stated.
        windows: of each layer, None for full attention; empty where a window is stated but not for which layers.
        latent: rank, rotated, unrotated and value elements of multi-head latent attention.
        types: what the config calls each layer; empty where it does not.
        tied: whether the head is the embedding.
        causal: whether a token sees only those before it. chunked: whether windows are chunks.
        caching: layers from the first on with keys and values of their own, None for all.
    """

    layers: int | None = None
    width: int | None = None
    heads: tuple[int, ...] = ()
    kv_heads: tuple[int, ...] = ()
    head_dim: int | None = None
    value_dim: int | None = None
    windows: tuple[int | None, ...] = (None,)
    latent: tuple[int, int, int, int] | None = None
    top_k: int | None = None
    experts: int | None = None
    types: tuple[str, ...] = ()
    context: int | None = None
    tied: bool | None = None
    causal: bool = True
    chunked: bool = False
    caching: int | None = None

    def at(self, values: Sequence[Any], layer: int) -> Any:
        """The value of a layer, where one stands for all or each has its own; None where none is stated."""
        if not values:
            return None
        return values[0] if len(values) == 1 else values[layer] if layer < len(values) else None


def whole(value: Any) -> int | None:
    """A positive whole number, None for anything else."""
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**12
    return value if usable else None


def facts_of_config(config: Mapping[str, Any]) -> Facts:
    """The facts of a config.json; those of its language model where it has parts."""
    inner: Mapping[str, Any] = next((config[s] for s in SECTIONS if isinstance(config.get(s), Mapping)), {})
    said = {**config, **inner}

    def number(name: str) -> int | None:
        return next((n for n in map(whole, map(said.get, NAMES[name])) if n is not None), None)

    heads = number("heads")
    kv_heads = number("kv_heads") or (1 if said.get("multi_query") is True else heads)
    value_dim, rank = number("value_dim"), number("latent")
    sizes = (rank, number("rope_dim"), number("nope_dim"), value_dim)
    # Of two answers the whole model's is the one that holds.
    tied = config.get("tie_word_embeddings", inner.get("tie_word_embeddings"))
    types = said.get("layer_types")
    return Facts(
        number("layers"),
        number("width"),
        (heads,) if heads else (),
        (kv_heads,) if kv_heads else (),
        number("head_dim"),
        value_dim,
        _windows(said, number("window")),
        (rank, sizes[1], sizes[2], value_dim) if rank and sizes[1] and sizes[2] and value_dim else None,
        number("top_k"),
        number("experts"),
        tuple(map(str, types)) if isinstance(types, list) else (),
        number("context"),
        tied if isinstance(tied, bool) else None,
    )


def _windows(said: Mapping[str, Any], window: int | None) -> tuple[int | None, ...]:
    """By layer_types, by a pattern (every n-th layer full), or for all layers."""
    if window is None or said.get("use_sliding_window") is False:
        return (None,)
    types = said.get("layer_types")
    if isinstance(types, list) and types:
        return tuple(window if "sliding" in str(t) or "local" in str(t) or "chunked" in str(t) else None for t in types)
    pattern = whole(said.get("sliding_window_pattern") or said.get("_sliding_window_pattern"))
    layers = next((n for n in map(whole, map(said.get, NAMES["layers"])) if n is not None), None)
    if pattern is not None:
        return tuple(None if (i + 1) % pattern == 0 else window for i in range(times(layers))) if layers else ()
    # A window alone is Mistral's: it holds for every layer.
    return (window,)


def facts_of_gguf(said: Metadata) -> Facts:
    """The facts of a GGUF file's metadata (docs/gguf.md of ggml-org/ggml)."""
    rank, value = said.number("attention.kv_lora_rank"), None
    latent = None
    key = said.number("attention.key_length_mla", "attention.key_length")
    if rank is not None:
        rope = said.number("rope.dimension_count")
        value = said.number("attention.value_length_mla", "attention.value_length")
        latent = (rank, rope, key - rope, value) if rope and key and value and key > rope else None
    alike = len(set(said.heads)) == 1
    return Facts(
        said.layers or None,
        said.number("embedding_length"),
        said.heads,
        said.kv_heads,
        key or (said.head_dim(0) if alike else None),
        value or said.number("attention.value_length") or key or (said.head_dim(0) if alike else None),
        said.windows if said.layers else (None,),
        latent,
        max(said.each("expert_used_count"), default=0) or None,
        said.number("expert_count"),
        tuple("linear_attention" if each else "full_attention" for each in said.recurrent),
        said.number("context_length"),
        causal=said.causal,
        chunked=said.chunked,
        caching=said.caching if said.layers else None,
    )
