"""Attention beside state-space layers, short convolutions and linear attention."""

from __future__ import annotations

from dataclasses import replace

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.common import (
    Blueprint,
    blueprint,
    dropped,
    family,
    gated_mlp,
    head_shape,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
)
from calculator.families.mixtures import MIXTRAL_NAMES, granite_layer
from calculator.families.prediction import inside, joined, stated
from calculator.families.recurrent import backbone
from calculator.families.shared import partly_rotated
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Elsewhere,
    Experts,
    GatedConvolution,
    LightningAttention,
    Linear,
    Mamba,
    Mamba2,
    Norm,
    Part,
    Residual,
)

PATTERN = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}
DEFAULT_TYPES = ("linear_attention", "moe", "full_attention", "mlp")
OLD_NAMES = {"mamba": "linear_attention", "attention": "full_attention"}


def is_attention(kind: str) -> bool:
    return kind in ("attention", "full_attention")


def nemotron_types(c: Config) -> list[str]:
    """Each layer's one part: layers_block_type, or hybrid_override_pattern spelled out; the class's four layers where
    the file states neither them nor another number of layers."""
    listed = c.get("layers_block_type")
    if listed:
        return [OLD_NAMES.get(t, t) for t in listed]
    if c.get("hybrid_override_pattern") is None and c.get("num_hidden_layers") in (None, len(DEFAULT_TYPES)):
        return list(DEFAULT_TYPES)
    pattern = c.hybrid_override_pattern
    unknown = set(pattern) - PATTERN.keys()
    if unknown:
        raise ConfigError(
            f"hybrid_override_pattern in {c.where} has {', '.join(sorted(unknown))}; it may hold only M, E, * and -, "
            "one per layer."
        )
    return [PATTERN[letter] for letter in pattern]


@family("nemotron_h")
def nemotron_h(c: Config) -> Blueprint:
    """Each layer is one norm and one of: Mamba-2, attention without positions, MLP, or experts (arXiv:2504.03624)."""
    width, bias = c.hidden_size, c.flag("mlp_bias")
    heads, kv_heads, head_dim = head_shape(c)
    if c.get("attention_head_dim") is not None:
        head_dim = c.attention_head_dim
    state_width = 4 if str(c.get("mamba_ssm_cache_dtype")) == "float32" else None
    kinds = nemotron_types(c)
    parts: dict[str, tuple[str, Part]] = {
        "linear_attention": (
            "state space",
            Mamba2(
                "mixer",
                width,
                c.mamba_num_heads,
                c.mamba_head_dim,
                c.n_groups,
                c.ssm_state_size,
                c.conv_kernel,
                bias=c.flag("use_bias"),
                out_bias=c.flag("use_bias"),
                conv_bias=c.flag("use_conv_bias"),
                state_width=state_width,
            ),
        ),
        "full_attention": (
            "full attention",
            Attention(
                "mixer",
                width,
                heads,
                kv_heads,
                head_dim,
                dropout=dropped(c, "attention_dropout"),
            ),
        ),
        "mlp": ("mlp", MLP("mixer", width, c.intermediate_size, gated=False, bias=bias)),
    }
    if "moe" in kinds:
        parts["moe"] = (
            "experts",
            Experts(
                "mixer",
                width,
                c.moe_intermediate_size,
                c.n_routed_experts,
                c.num_experts_per_tok,
                gated=False,
                correction=True,
                shared=c.moe_shared_expert_intermediate_size,
                shared_bias=bias,
                latent=c.get("moe_latent_size"),
            ),
        )
    layers = [Layer(parts[k][0], (Norm("norm", width), parts[k][1], Residual("residual", width))) for k in kinds]
    # transformers ties no head of this type, whatever tie_word_embeddings says.
    text = language_model(
        c, layers, path="backbone.layers", embedding="backbone.embeddings", final="backbone.norm_f", tied=False
    )
    return blueprint(c, text, apart=nemotron_prediction(c, parts))


def nemotron_prediction(c: Config, parts: dict[str, tuple[str, Part]]) -> tuple[Stack, ...]:
    """Layers of the kinds that mtp_layers_block_type lists, or mtp_hybrid_override_pattern spells, for each token
    predicted: the first joins embedding and hidden state, the last ends in a norm (Nemotron 3 Super)."""
    listed = c.get("mtp_layers_block_type") or [PATTERN.get(s) for s in c.get("mtp_hybrid_override_pattern") or ()]
    kinds = [{"attention": "full_attention", "mamba": "linear_attention"}.get(str(k), str(k)) for k in listed]
    width: int = c.hidden_size
    held: list[Part] = []
    for i, kind in enumerate(kinds * stated(c)):
        place = i % len(kinds)
        front = joined(c) if place == 0 else ()
        closing = (Norm("final_layernorm", width),) if place == len(kinds) - 1 else ()
        held += inside(f"mtp.layers.{i}", (*front, Norm("norm", width), parts[kind][1], *closing))
    return (Stack("", width, (), before=tuple(held)),) if held else ()


def mamba2_mixer(c: Config) -> Mamba2:
    """Mamba-2 by the field names of Bamba and Granite 4."""
    heads: int = c.mamba_n_heads
    head_dim = c.mamba_expand * c.hidden_size // heads if c.get("mamba_d_head") in (None, "auto") else c.mamba_d_head
    bias = c.flag("mamba_proj_bias")
    return Mamba2(
        "mamba",
        c.hidden_size,
        heads,
        head_dim,
        c.mamba_n_groups,
        c.mamba_d_state,
        c.mamba_d_conv,
        bias=bias,
        out_bias=bias,
        conv_bias=c.flag("mamba_conv_bias"),
    )


@family("bamba")
def bamba(c: Config) -> Blueprint:
    chosen = set(c.get("attn_layer_indices") or ())
    types = layer_types(c, lambda i: "attention" if i in chosen else "mamba")
    full = self_attention(c, rotary=partly_rotated(c, head_shape(c)[2], 0.5))
    mixers: dict[bool, tuple[str, Part]] = {True: ("full attention", full), False: ("state space", mamba2_mixer(c))}
    layers = [
        pre_norm(
            c,
            mixers[is_attention(t)][1],
            gated_mlp(c, name="feed_forward"),
            kind=f"{mixers[is_attention(t)][0]} + mlp",
            names=("input_layernorm", "pre_ff_layernorm"),
        )
        for t in types
    ]
    return blueprint(c, language_model(c, layers, final="model.final_layernorm"))


@family("granitemoehybrid")
def granitemoehybrid(c: Config) -> Blueprint:
    """Mamba-2 or attention (without positions unless position_embedding_type is rope), experts and a shared MLP."""
    types = layer_types(c, lambda i: "mamba")
    full = self_attention(c) if c.get("position_embedding_type") == "rope" else self_attention(c, rotary=0)
    mixer = mamba2_mixer(c) if not all(is_attention(t) for t in types) else full
    layers = [
        granite_layer(c, full, "full attention") if is_attention(t) else granite_layer(c, mixer, "state space")
        for t in types
    ]
    return blueprint(c, language_model(c, layers))


@family("falcon_mamba")
def falcon_mamba(c: Config) -> Blueprint:
    """Mamba with norms without weights on B, C and the time step."""
    # The published 7B states an expand that its intermediate_size, the true width, contradicts.
    inner = c.intermediate_size if c.has_stated("intermediate_size") else int(c.expand * c.hidden_size)
    rank = -(-c.hidden_size // 16) if c.get("time_step_rank") == "auto" else c.time_step_rank
    mixer = Mamba(
        "mixer",
        c.hidden_size,
        inner,
        c.state_size,
        rank,
        c.conv_kernel,
        bias=c.flag("use_bias"),
        conv_bias=c.flag("use_conv_bias"),
    )
    return backbone(c, mixer)


@family("lfm2", "lfm2_moe")
def lfm2(c: Config) -> Blueprint:
    """Gated short convolutions with a few attention layers; in lfm2_moe, experts after the first layers."""
    width, inner = c.hidden_size, c.intermediate_size
    if c.model_type == "lfm2" and c.flag("block_auto_adjust_ff_dim"):
        inner, unit = int(2 * inner / 3), c.block_multiple_of
        if c.get("block_ffn_dim_multiplier") is not None:
            inner = -(-int(c.block_ffn_dim_multiplier * inner) // unit) * unit
    chosen = c.get("full_attn_idxs")
    types = layer_types(c, lambda i: "full_attention" if chosen is None or i in chosen else "conv")
    mlp = MLP("feed_forward", width, inner, gate="w1", up="w3", down="w2")
    attention = self_attention(
        c, out="out_proj", head_norm="head", norm_names=("q_layernorm", "k_layernorm"), qkv_bias=False, out_bias=False
    )
    convolution = GatedConvolution("conv", width, c.conv_L_cache, c.flag("conv_bias"))
    channels: list[Part] = [mlp] * len(types)
    if c.model_type == "lfm2_moe":
        experts = Experts(
            "feed_forward",
            width,
            c.moe_intermediate_size,
            c.num_experts,
            c.num_experts_per_tok,
            names=MIXTRAL_NAMES,
            correction=c.flag("use_expert_bias"),
            correction_name="expert_bias",
        )
        channels = [mlp if i < c.num_dense_layers else experts for i in range(len(types))]
    layers = [
        pre_norm(
            c,
            attention if is_attention(t) else convolution,
            channel,
            names=("operator_norm", "ffn_norm"),
            kind=f"{'full attention' if is_attention(t) else 'convolution'} + "
            f"{'mlp' if isinstance(channel, MLP) else 'experts'}",
        )
        for t, channel in zip(types, channels, strict=True)
    ]
    return blueprint(c, language_model(c, layers, final="model.embedding_norm"))


@family("minimax", "minimax_m1")
def minimax(c: Config) -> Blueprint:
    """Seven layers of lightning attention to one of softmax attention, each before experts (arXiv:2501.08313)."""
    listed = c.get("attn_type_list")
    types = (
        ["full_attention" if t else "linear_attention" for t in listed]
        if isinstance(listed, list)
        else layer_types(c, lambda i: "linear_attention" if i % 2 else "full_attention")
    )
    heads, _, head_dim = head_shape(c)
    rotary = c.get("rotary_dim") or partly_rotated(c, head_dim, 1)
    mixers: dict[str, Part] = {
        "full_attention": self_attention(
            c, window=c.get("sliding_window"), qkv_bias=False, out_bias=False, rotary=rotary
        ),
        "linear_attention": LightningAttention("self_attn", c.hidden_size, heads, head_dim),
    }
    experts = Experts(
        "block_sparse_moe",
        c.hidden_size,
        c.intermediate_size,
        c.num_local_experts,
        c.num_experts_per_tok,
        names=MIXTRAL_NAMES,
    )
    layers = [pre_norm(c, mixers[t], experts, kind=f"{t.replace('_', ' ')} + experts") for t in types]
    return blueprint(c, language_model(c, layers))


def low_rank(name: str, inputs: int, rank: int, outputs: int) -> tuple[Part, ...]:
    return (
        Linear(f"{name}.0", inputs, rank, component="attention"),
        Linear(f"{name}.1", rank, outputs, component="attention"),
    )


def zamba2_block(
    c: Config, adapter: int, where: str = "shared_transformer"
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The shared attention block and its low-rank adapters of hybrid layer `adapter`."""
    width, rank = c.hidden_size, c.adapter_rank
    heads: int = c.num_attention_heads
    # Its input is the residual stream beside the token embedding.
    wide = c.attention_hidden_size if c.has_stated("attention_hidden_size") else 2 * width
    head_dim = c.attention_head_dim if c.has_stated("attention_head_dim") else 2 * width // heads
    inner = c.get("intermediate_size") or 4 * width
    attention = Attention(
        f"{where}.self_attn",
        wide,
        heads,
        c.get("num_key_value_heads") or heads,
        head_dim,
        output=width,
        rotary=head_dim if c.flag("use_mem_rope") else 0,
        dropout=dropped(c, "attention_dropout"),
    )
    bias = c.flag("add_bias_linear")
    block = (
        Norm(f"{where}.input_layernorm", wide),
        attention,
        Norm(f"{where}.pre_ff_layernorm", width),
        MLP(f"{where}.feed_forward", width, inner, fused="gate_up_proj", bias=bias),
    )
    adapters = low_rank(f"{where}.feed_forward.gate_up_proj_adapter_list.{adapter}", width, rank, 2 * inner)
    if c.flag("use_shared_attention_adapter"):
        for name in "qkv":
            adapters += low_rank(f"{where}.self_attn.linear_{name}_adapter_list.{adapter}", wide, rank, wide)
    return block, adapters


@family("zamba2")
def zamba2(c: Config) -> Blueprint:
    """Mamba-2 everywhere; in the hybrid layers, num_mem_blocks attention blocks take turns before it, each held once,
    with a low-rank adapter for each layer (arXiv:2411.15242)."""
    width, bias = c.hidden_size, c.flag("add_bias_linear")
    listed = c.get("layers_block_type")
    # 54 layers is the default of the type, and the only number its default pattern fits.
    default = ["m"] + (["m"] * 5 + ["hybrid"]) * 7 + ["m"] * 4 + ["hybrid"] + ["m"] * 3 + ["hybrid"] + ["m"] * 2
    types = [str(t) for t in listed or default]
    heads: int = c.n_mamba_heads
    inner = int(c.mamba_expand * width)
    mixer = Mamba2(
        "mamba",
        width,
        heads,
        inner // heads,
        c.mamba_ngroups,
        c.mamba_d_state,
        c.mamba_d_conv,
        bias=bias,
        out_bias=bias,
    )
    hybrid = [i for i, t in enumerate(types) if t == "hybrid"]
    # transformers ties the blocks as it does embedding and head, all or nothing: else each hybrid layer holds its own.
    once, blocks = c.flag("tie_word_embeddings"), c.num_mem_blocks
    layers = []
    for i, kind in enumerate(types):
        if kind != "hybrid":
            layers.append(
                Layer("state space", (Norm("input_layernorm", width), mixer, Residual("mixer_residual", width)))
            )
            continue
        turn = hybrid.index(i)
        block, adapters = zamba2_block(c, turn)
        if turn >= blocks and once:
            parts: tuple[Part, ...] = tuple(Elsewhere(p.name, p) for p in (*block, *adapters))
        else:
            later = [zamba2_block(c, t)[1] for t in range(turn % blocks, len(hybrid), blocks) if t != turn]
            parts = (*block, *adapters, *(Elsewhere(p.name, p, held=True) for group in later for p in group))
        parts += (
            Linear("linear", width, width, component="attention"),
            Residual("transformer_residual", width),
            Norm("mamba_decoder.input_layernorm", width),
            replace(mixer, name="mamba_decoder.mamba"),
            Residual("mixer_residual", width),
        )
        layers.append(Layer("shared attention block + state space", parts))
    return blueprint(c, language_model(c, layers, final="model.final_layernorm"))
