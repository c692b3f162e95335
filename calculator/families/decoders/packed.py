"""Dense decoders that differ from Llama in a norm, a bias, a name or the choice of rotated layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.families.common import (
    Blueprint,
    attention_kind,
    blueprint,
    dropped,
    family,
    gated_mlp,
    head_shape,
    language_model,
    layer_types,
    pre_norm,
    self_attention,
    windows,
)
from calculator.families.decoders.llama import qwen2
from calculator.families.prediction import inside, joined, stated
from calculator.families.shared import parallel_layer, partly_rotated, post_norm, renamed
from calculator.model import Layer
from calculator.parts import MLP, Attention, Elsewhere, Linear, Norm, Part, Residual, VectorWeights


@family("olmo")
def olmo(c: Config) -> Blueprint:
    """LayerNorm without weights (arXiv:2402.00838)."""
    layer = pre_norm(c, self_attention(c), gated_mlp(c), kind="full attention", norm="layer")
    text = language_model(c, [plain_norms(layer)] * c.num_hidden_layers, norm="layer")
    return blueprint(c, replace(text, after=tuple(plain(p) for p in text.after)))


def plain(part: Part) -> Part:
    return replace(part, affine=False) if isinstance(part, Norm) else part


def plain_norms(layer: Layer) -> Layer:
    return replace(layer, parts=tuple(plain(p) for p in layer.parts))


@family("olmo3")
def olmo3(c: Config) -> Blueprint:
    types = layer_types(c, lambda i: "sliding_attention" if (i + 1) % 4 else "full_attention")
    layers = [
        post_norm(c, self_attention(c, window=w, head_norm="full"), gated_mlp(c), kind=attention_kind(w))
        for w in windows(c, types)
    ]
    return blueprint(c, language_model(c, layers))


@family("exaone4")
def exaone4(c: Config) -> Blueprint:
    """Where sliding and full attention alternate, only the sliding layers have positions."""
    window, pattern = c.get("sliding_window"), c.get("sliding_window_pattern")
    period = len(pattern) if isinstance(pattern, str) else pattern or 0
    types = layer_types(
        c, lambda i: "sliding_attention" if window and period and (i + 1) % period else "full_attention"
    )

    def layer(kept: int | None) -> Layer:
        changes: dict[str, Any] = {} if kept is not None or window is None else {"rotary": 0}
        attention = self_attention(c, window=kept, head_norm="head", qkv_bias=False, out_bias=False, **changes)
        return post_norm(c, attention, gated_mlp(c), kind=attention_kind(kept))

    return blueprint(c, language_model(c, [layer(w) for w in windows(c, types)]))


@family("smollm3")
def smollm3(c: Config) -> Blueprint:
    """Every fourth layer has no positions."""
    period: int = c.no_rope_layer_interval
    rotated = c.get("no_rope_layers") or [int((i + 1) % period != 0) for i in range(c.num_hidden_layers)]
    sliding = c.flag("use_sliding_window") and c.get("sliding_window") is not None
    types = layer_types(c, lambda i: "sliding_attention" if sliding and not rotated[i] else "full_attention")

    def layer(window: int | None, positions: int) -> Layer:
        window = window if sliding else None
        changes: dict[str, Any] = {} if positions else {"rotary": 0}
        return pre_norm(c, self_attention(c, window=window, **changes), gated_mlp(c), kind=attention_kind(window))

    kept = windows(c, types) if sliding else [None] * len(types)
    return blueprint(c, language_model(c, [layer(w, r) for w, r in zip(kept, rotated, strict=True)]))


@family("seed_oss")
def seed_oss(c: Config) -> Blueprint:
    attention = self_attention(c, out_bias=c.flag("attention_out_bias"))
    layer = pre_norm(c, attention, gated_mlp(c), kind="full attention", dropout=dropped(c, "residual_dropout"))
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("ernie4_5", "paddleocr_vl_text")
def ernie4_5(c: Config) -> Blueprint:
    bias = c.flag("use_bias")
    layer = pre_norm(c, self_attention(c, qkv_bias=bias, out_bias=bias), gated_mlp(c, bias=bias), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("hunyuan_v1_dense", "hunyuan_vl_text")
def hunyuan_v1_dense(c: Config) -> Blueprint:
    attention = self_attention(c, head_norm="head", norm_names=("query_layernorm", "key_layernorm"))
    layer = pre_norm(c, attention, gated_mlp(c, bias=False), kind="full attention")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("apertus")
def apertus(c: Config) -> Blueprint:
    """A plain MLP whose activation (xIELU, arXiv:2411.13010) has two learned scalars."""
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False)
    layer = pre_norm(
        c,
        self_attention(c, head_norm="head"),
        mlp,
        kind="full attention",
        names=("attention_layernorm", "feedforward_layernorm"),
    )
    *first, add = layer.parts
    scalars = VectorWeights("mlp.act_fn", (("alpha_p", (1,)), ("alpha_n", (1,))), component="mlp")
    layer = replace(layer, parts=(*first, scalars, add))
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("arcee", "nemotron")
def arcee(c: Config) -> Blueprint:
    """A plain MLP with squared ReLU; Nemotron-4 has LayerNorm and rotates half of each head."""
    older = c.model_type == "nemotron"
    norm = "layer" if older else "rms"
    rotary: dict[str, Any] = {"rotary": partly_rotated(c, head_shape(c)[2], 0.5)} if older else {}
    mlp = MLP("mlp", c.hidden_size, c.intermediate_size, gated=False, bias=c.flag("mlp_bias"))
    layer = pre_norm(c, self_attention(c, **rotary), mlp, kind="full attention", norm=norm, bias=older)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm=norm, norm_bias=older))


@family("stablelm", "stablelm_epoch")
def stablelm(c: Config) -> Blueprint:
    """LayerNorm with bias, a quarter of each head rotated; in StableLM 2 12B, attention and MLP side by side."""
    width: int = c.hidden_size
    attention = self_attention(
        c,
        qkv_bias=c.flag("use_qkv_bias"),
        out_bias=False,
        rotary=partly_rotated(c, head_shape(c)[2], 0.25),
        head_norm="per_head" if c.flag("qk_layernorm") else None,
        norm_names=("q_layernorm.norms.*", "k_layernorm.norms.*"),
    )
    mlp, drop = gated_mlp(c, bias=False), dropped(c, "hidden_dropout")
    if c.flag("use_parallel_residual"):
        layer = parallel_layer(
            "full attention", (Norm("input_layernorm", width, "layer", True),), attention, mlp, width, drop
        )
    else:
        layer = pre_norm(c, attention, mlp, kind="full attention", norm="layer", bias=True, dropout=drop)
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers, norm="layer", norm_bias=True))


@family("mimo")
def mimo(c: Config) -> Blueprint:
    """Qwen2 with prediction layers (arXiv:2505.07608), which its own code builds as a part of the model: they count,
    though no token passes through them."""
    built, width = qwen2(c), c.hidden_size
    front = joined(c, ("token_layernorm", "hidden_layernorm"), "input_proj")
    parts = (*front, *built.text.layers[-1].parts, Norm("final_layernorm", width))
    held = [p for i in range(stated(c)) for p in inside(f"model.mtp_layers.{i}", parts)]
    idle = tuple(Elsewhere(p.name, p, held=True, active=False) for p in held)
    return replace(built, text=replace(built.text, after=(*built.text.after, *idle)))


@family("internlm2")
def internlm2(c: Config) -> Blueprint:
    """Llama with one packed projection and names of its own."""
    bias = c.flag("bias")
    layer = pre_norm(
        c,
        self_attention(c, name="attention", fused="wqkv", out="wo", qkv_bias=bias, out_bias=bias),
        gated_mlp(c, name="feed_forward", gate="w1", up="w3", down="w2", bias=False),
        kind="full attention",
        names=("attention_norm", "ffn_norm"),
    )
    text = language_model(c, [layer] * c.num_hidden_layers, embedding="model.tok_embeddings", head="output")
    return blueprint(c, text)


@family("baichuan")
def baichuan(c: Config) -> Blueprint:
    """Llama with one packed projection; the 13B sizes, which state no max_position_embeddings, use ALiBi."""
    changes: dict[str, Any] = {} if c.get("max_position_embeddings") else {"rotary": 0}
    attention = self_attention(c, fused="W_pack", qkv_bias=False, out_bias=False, **changes)
    layer = pre_norm(c, attention, gated_mlp(c, bias=False), kind="full attention")
    c = renamed(c, max_position_embeddings="model_max_length")
    return blueprint(c, language_model(c, [layer] * c.num_hidden_layers))


@family("qwen")
def qwen(c: Config) -> Blueprint:
    """The first Qwen: biases on q, k and v only; intermediate_size counts gate and up together."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    head_dim = c.get("kv_channels") or width // heads
    bias = not c.flag("no_bias")
    attention = Attention(
        "attn",
        width,
        heads,
        heads,
        head_dim,
        fused="c_attn",
        out="c_proj",
        qkv_bias=True,
        out_bias=bias,
        rotary=partly_rotated(c, head_dim, 1),
        dropout=dropped(c, "attn_dropout_prob"),
    )
    mlp = MLP("mlp", width, c.intermediate_size // 2, bias=bias, gate="w2", up="w1", down="c_proj")
    layer = pre_norm(c, attention, mlp, kind="full attention", names=("ln_1", "ln_2"))
    text = language_model(
        c, [layer] * c.num_hidden_layers, path="transformer.h", embedding="transformer.wte", final="transformer.ln_f"
    )
    return blueprint(c, text)


@family("chatglm")
def chatglm(c: Config) -> Blueprint:
    """ChatGLM 2 and 3, GLM-4 9B: packed projections, half of each head rotated."""
    notes = ("The vision tower is not counted.",) if c.get("vision_config") else ()
    c = renamed(c, num_hidden_layers="num_layers", vocab_size="padded_vocab_size", max_position_embeddings="seq_length")
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    kv_heads = c.multi_query_group_num if c.flag("multi_query_attention") else heads
    bias = c.flag("add_bias_linear")
    attention = Attention(
        "self_attention",
        width,
        heads,
        kv_heads,
        c.kv_channels,
        fused="query_key_value",
        out="dense",
        qkv_bias=bias or c.flag("add_qkv_bias"),
        out_bias=bias,
        rotary=c.kv_channels // 2,
        dropout=dropped(c, "attention_dropout"),
    )
    mlp = MLP("mlp", width, c.ffn_hidden_size, bias=bias, fused="dense_h_to_4h", down="dense_4h_to_h")
    norm = "rms" if c.flag("rmsnorm") else "layer"
    layer = pre_norm(
        c, attention, mlp, kind="full attention", norm=norm, bias=norm == "layer", dropout=dropped(c, "hidden_dropout")
    )
    text = language_model(
        c,
        [layer] * c.num_hidden_layers,
        path="transformer.encoder.layers",
        embedding="transformer.embedding.word_embeddings",
        final="transformer.encoder.final_layernorm",
        head="transformer.output_layer",
        norm=norm,
        norm_bias=norm == "layer",
    )
    return blueprint(c, text, notes=notes)


def searched_width(multiple: float, hidden: int) -> int:
    """The MLP width of a Nemotron-NAS block: two thirds of `multiple` times hidden, up to the next multiple of 256."""
    return -(-int(2 * multiple * hidden / 3) // 256) * 256


@family("nemotron-nas")
def nemotron_nas(c: Config) -> Blueprint:
    """Llama after a search that shrank or removed attention or MLP in single layers (Puzzle, arXiv:2411.19146)."""
    width: int = c.hidden_size
    heads: int = c.num_attention_heads
    layers = []
    for block in c.block_configs:
        attention, ffn = block["attention"], block["ffn"]
        parts: list[Part] = []
        words = []
        if not attention.get("no_op"):
            if attention.get("replace_with_linear"):
                mixer: Part = Linear(
                    "self_attn.linear_attn", width, width, c.flag("attention_bias"), component="attention"
                )
            else:
                group = attention["n_heads_in_group"]
                mixer = replace(self_attention(c), kv_heads=heads // group, window=attention.get("window_length"))
            parts += [Norm("input_layernorm", width), mixer, Residual("mixer_residual", width)]
            words.append("linear" if attention.get("replace_with_linear") else "full attention")
        if not ffn.get("no_op"):
            if ffn.get("replace_with_linear"):
                channel: Part = Linear("mlp.linear_mlp", width, width, c.flag("mlp_bias"), component="mlp")
            else:
                channel = MLP("mlp", width, searched_width(ffn["ffn_mult"], width), bias=c.flag("mlp_bias"))
            parts += [Norm("post_attention_layernorm", width), channel, Residual("channel_residual", width)]
            words.append("linear" if ffn.get("replace_with_linear") else "mlp")
        layers.append(Layer(" + ".join(words) or "nothing", tuple(parts)))
    return blueprint(c, language_model(c, layers))
