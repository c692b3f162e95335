"""Nemotron-H (arXiv:2504.03624): layers of one part each."""

from __future__ import annotations

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import dropped, head_shape
from calculator.families.layers import mixture
from calculator.families.models import decoder
from calculator.families.prediction import inside, joined, stated
from calculator.families.registry import Blueprint, family
from calculator.model import Layer, Stack
from calculator.parts import MLP, Attention, Correction, Mamba2, Norm, Part, Residual, SharedMLP

PATTERN = {"M": "linear_attention", "E": "moe", "*": "full_attention", "-": "mlp"}
DEFAULT_TYPES = ("linear_attention", "moe", "full_attention", "mlp")
OLD_NAMES = {"mamba": "linear_attention", "attention": "full_attention"}


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
            mixture(
                c,
                "mixer",
                experts=c.n_routed_experts,
                gated=False,
                correction=Correction(),
                shared=SharedMLP(c.moe_shared_expert_intermediate_size, bias=bias),
                latent=c.get("moe_latent_size"),
            ),
        )
    made = {
        k: Layer(said, (Norm("norm", width), part, Residual("residual", width))) for k, (said, part) in parts.items()
    }
    layers = [made[k] for k in kinds]
    # transformers ties no head of this type, whatever tie_word_embeddings says.
    return decoder(
        c,
        layers,
        path="backbone.layers",
        embedding="backbone.embeddings",
        final="backbone.norm_f",
        tied=False,
        apart=nemotron_prediction(c, parts),
    )


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
