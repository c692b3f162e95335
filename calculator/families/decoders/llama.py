"""Dense decoders of the Llama kind: RMSNorm or LayerNorm, rotary positions, (mostly) a gated MLP."""

from __future__ import annotations

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    blueprint,
    dropped,
    family,
    gated_mlp,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.model import Layer
from calculator.parts import MLP, Norm, Residual


@family("llama", "granite", "internlm3", "iquestcoder", "xverse", "aquila")
def llama(c: Config) -> Blueprint:
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("mistral")
def mistral(c: Config) -> Blueprint:
    window = c.get("sliding_window")
    layer = pre_norm(c, self_attention(c, window=window), gated_mlp(c), kind=attention_kind(window))
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


def qwen_windows(c: Config) -> list[int | None]:
    """Qwen 2 and 3: windows only with use_sliding_window, and only from layer max_window_layers on."""
    if not c.flag("use_sliding_window") or c.get("sliding_window") is None:
        return [None] * c.num_hidden_layers
    first = c.max_window_layers
    return windows(c, layer_types(c, lambda i: "sliding_attention" if i >= first else "full_attention"))


@family("qwen2")
def qwen2(c: Config) -> Blueprint:
    layers = [
        pre_norm(c, self_attention(c, window=w, qkv_bias=True, out_bias=False), gated_mlp(c), kind=attention_kind(w))
        for w in qwen_windows(c)
    ]
    return blueprint(c, language_model(c, layers))


@family("qwen3")
def qwen3(c: Config) -> Blueprint:
    layers = [
        pre_norm(c, self_attention(c, window=w, head_norm="head"), gated_mlp(c), kind=attention_kind(w))
        for w in qwen_windows(c)
    ]
    return blueprint(c, language_model(c, layers))


@family("phi3")
def phi3(c: Config) -> Blueprint:
    window = c.get("sliding_window")
    attention = self_attention(c, window=window, fused="qkv_proj", qkv_bias=False, out_bias=False)
    layer = pre_norm(
        c, attention, gated_mlp(c, fused="gate_up_proj"), kind=attention_kind(window), dropout=dropped(c, "resid_pdrop")
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("gemma")
def gemma(c: Config) -> Blueprint:
    return llama(c)


@family("gemma2")
def gemma2(c: Config) -> Blueprint:
    types = layer_types(c, lambda i: "full_attention" if i % 2 else "sliding_attention")
    return blueprint(c, language_model(c, [gemma_layer(c, w, None) for w in windows(c, types)]))


@family("gemma3_text")
def gemma3_text(c: Config) -> Blueprint:
    period = c.get("sliding_window_pattern") or 6
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % period else "full_attention")
    seen = windows(c, types)
    if c.flag("use_bidirectional_attention"):
        # A window that looks both ways reaches half as far back (EmbeddingGemma).
        seen = [None if w is None else w // 2 + 1 for w in seen]
    return blueprint(c, language_model(c, [gemma_layer(c, w, "head") for w in seen]))


def gemma_layer(c: Config, window: int | None, head_norm: str | None) -> Layer:
    """Norms before and after both halves (Gemma 2, arXiv:2408.00118)."""
    width: int = c.hidden_size
    return Layer(
        attention_kind(window),
        (
            Norm("input_layernorm", width),
            self_attention(c, window=window, head_norm=head_norm),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            Norm("pre_feedforward_layernorm", width),
            gated_mlp(c),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )


@family("olmo2")
def olmo2(c: Config) -> Blueprint:
    """Norms after each half instead of before, and over all query or key heads together (arXiv:2501.00656)."""
    width: int = c.hidden_size
    layer = Layer(
        "full attention",
        (
            self_attention(c, head_norm="full"),
            Norm("post_attention_layernorm", width),
            Residual("mixer_residual", width),
            gated_mlp(c),
            Norm("post_feedforward_layernorm", width),
            Residual("channel_residual", width),
        ),
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("starcoder2")
def starcoder2(c: Config) -> Blueprint:
    window, bias = c.get("sliding_window"), c.flag("use_bias")
    attention = self_attention(c, window=window, qkv_bias=bias, out_bias=bias)
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=bias, up="c_fc", down="c_proj")
    layer = pre_norm(
        c, attention, mlp, kind=attention_kind(window), norm="layer", bias=True, dropout=dropped(c, "residual_dropout")
    )
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer", norm_bias=True))


def cohere_layer(c: Config, window: int | None, head_norm: str | None) -> Layer:
    """One LayerNorm without bias feeds attention and MLP side by side."""
    width: int = c.hidden_size
    parts = (
        Norm("input_layernorm", width, "layer"),
        self_attention(c, window=window, head_norm=head_norm),
        gated_mlp(c, bias=False, shares_input=True),
        Residual("mixer_residual", width),
        Residual("channel_residual", width),
    )
    return Layer(attention_kind(window), parts, parallel=("self_attn", "mlp"))


@family("cohere")
def cohere(c: Config) -> Blueprint:
    layer = cohere_layer(c, None, "per_head" if c.flag("use_qk_norm") else None)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer"))


@family("cohere2")
def cohere2(c: Config) -> Blueprint:
    period = c.get("sliding_window_pattern") or 4
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % period else "full_attention")
    return blueprint(c, language_model(c, [cohere_layer(c, w, None) for w in windows(c, types)], norm="layer"))
