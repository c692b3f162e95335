"""Types as their authors' own code spells them: OLMo before transformers had it, and the diffusion models LLaDA and
Dream, which are decoders without a causal mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.decoders.llama import qwen2
from calculator.families.fields import head_shape
from calculator.families.layers import pre_norm
from calculator.families.models import decoder
from calculator.families.registry import Blueprint, family
from calculator.parts import MLP, Attention, Biases, HeadNorms, Names, Norm

BLOCKS: dict[str, Any] = {
    "path": "model.transformer.blocks",
    "embedding": "model.transformer.wte",
    "final": "model.transformer.ln_f",
}
DIFFUSION = (
    "A diffusion model: every step of its decoder is a pass over the whole sequence, whose tokens see one another. "
    "What prefill shows is one such step; the cache and the decode step are those of an autoregressive "
    "decoder of the same shape."
)


def sized(c: Config) -> Config:
    """OLMo's fields under transformers' names."""
    d_model: int = c.d_model
    ratio = c.get("mlp_ratio") or 4
    inner = c.mlp_hidden_size if c.get("mlp_hidden_size") else ratio * d_model
    heads: int = c.n_heads
    kv_heads = c.n_kv_heads if c.get("n_kv_heads") else 1 if c.flag("multi_query_attention") else heads
    rows: int = c.embedding_size if c.get("embedding_size") else c.vocab_size
    return c.with_values(
        hidden_size=d_model,
        num_hidden_layers=c.n_layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=None,
        intermediate_size=inner,
        vocab_size=rows,
        tie_word_embeddings=c.flag("weight_tying"),
        max_position_embeddings=c.get("max_sequence_length"),
    )


def block_norm(c: Config, name: str, width: int) -> Norm:
    """`layer_norm_type`: "rms", or a LayerNorm in one of its kernels, with a scale where layer_norm_with_affine."""
    kind = str(c.get("layer_norm_type") or "default")
    affine = c.get("layer_norm_with_affine") is not False
    if kind not in ("rms", "default", "low_precision"):
        raise ConfigError(f"layer_norm_type in {c.where} is {kind!r}; it must be rms, default or low_precision.")
    bias = affine and kind != "rms" and (c.flag("bias_for_layer_norm") or c.flag("include_bias"))
    return Norm(name, width, "rms" if kind == "rms" else "layer", bias, affine=affine)


@family("hf_olmo", "llada")
def blocks(c: Config) -> Blueprint:
    """allenai/OLMo (olmo/model.py) and LLaDA (arXiv:2502.09992): a "sequential" block packs queries, keys and values,
    and gate and up; a "llama" block does not."""
    separate = (c.get("block_type") or "sequential") == "llama"
    if c.get("block_type") not in (None, "sequential", "llama"):
        raise ConfigError(f"block_type in {c.where} is {c.get('block_type')!r}; it must be sequential or llama.")
    c = sized(c)
    heads, kv_heads, head_dim = head_shape(c)
    width, bias = c.hidden_size, c.flag("include_bias")
    attention = Attention(
        "",
        width,
        heads,
        kv_heads,
        head_dim,
        names=Names(out="attn_out", fused=None if separate else "att_proj"),
        biases=Biases(qkv=bias or c.flag("include_qkv_bias"), out=bias),
        rotary=head_dim if c.get("rope") is not False else 0,
        norms=HeadNorms("full" if c.flag("attention_layer_norm") else None),
    )
    gated = str(c.get("activation_type") or "swiglu").lower() in ("swiglu", "silu")
    # Both halves of a packed gated projection count in mlp_hidden_size.
    inner = c.intermediate_size // 2 if gated and not separate else c.intermediate_size
    mlp = MLP("", width, inner, gated, bias, gate="ff_proj", up="up_proj", down="ff_out",
              fused="ff_proj" if gated and not separate else None)  # fmt: skip
    if not gated:
        mlp = replace(mlp, up="ff_proj")
    layer = pre_norm(c, attention, mlp, norm=lambda n, w: block_norm(c, n, w), names=("attn_norm", "ff_norm"))
    notes = (DIFFUSION,) if c.model_type == "llada" else ()
    last = "model.transformer.ff_out"
    return decoder(c, layer, **BLOCKS, head=last, norm=lambda n, w: block_norm(c, n, w), notes=notes)


@family("Dream")
def dream(c: Config) -> Blueprint:
    """Dream (arXiv:2508.15487): Qwen 2.5 trained on as a diffusion model."""
    built = qwen2(Config(c.raw, "qwen2", where=c.where, like=c))
    return replace(built, notes=(*built.notes, DIFFUSION))
