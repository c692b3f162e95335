"""T5 and what followed it: RMSNorm before each half, no biases, positions as a bias of the scores."""

from __future__ import annotations

from collections.abc import Callable

from calculator.config import Config
from calculator.families.fields import attention_kind, context_length, dropped, every, head_shape, layer_types, windows
from calculator.families.layers import gated_mlp, self_attention
from calculator.families.registry import Blueprint, family
from calculator.families.seq2seq.bart import Style, built, embeddings, heads_for, step
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Attention,
    Biases,
    CrossAttention,
    Embedding,
    EncoderOutput,
    Experts,
    Head,
    Linear,
    LocalAttention,
    Names,
    Norm,
    Part,
    RelativeBias,
    Residual,
    Router,
    Storage,
)
from calculator.parts.base import check

NAMES = Names("q", "k", "v", "o")
Channel = Callable[[str, int, str], Part]  # of a layer's side, index and name
Mixer = Callable[[str], Part]  # of its name


def feed_forward(c: Config) -> Channel:
    """The MLP that feed_forward_proj names: "relu", or "gated-gelu" for T5 1.1 (arXiv:2002.05202). Saved files state
    is_gated_act beside it, which counts."""
    kind = str(c.feed_forward_proj).split("-")
    check(
        len(kind) == 1 or (kind[0] == "gated" and len(kind) == 2),
        f"feed_forward_proj in {c.where} is {c.feed_forward_proj!r}; it is an activation, or gated- before one.",
    )
    gated = kind[0] == "gated" if c.get("is_gated_act") is None else c.flag("is_gated_act")
    return lambda side, i, name: MLP(
        f"{name}.DenseReluDense",
        c.d_model,
        c.d_ff,
        gated=gated,
        gate="wi_0",
        up="wi_1" if gated else "wi",
        down="wo",
    )


def full_attention(c: Config) -> Mixer:
    """Every head's size is d_kv, whatever the width."""
    drop = dropped(c, "dropout_rate")
    return lambda name: Attention(name, c.d_model, c.num_heads, c.num_heads, c.d_kv, dropout=drop, names=NAMES)


def layers(
    c: Config, side: str, *, channel: Channel, mixer: Mixer, name: str = "SelfAttention", every: bool = False
) -> tuple[Layer, ...]:
    """The layers of one side. The first holds the bias of the positions, or with `every`, each its own (UMT5)."""
    width, heads = c.d_model, c.num_heads
    drop = dropped(c, "dropout_rate")
    count: int = c.num_layers if side == "encoder" else c.first("num_decoder_layers", "num_layers")

    def layer(i: int) -> Layer:
        biases = ("relative_attention_bias", *(("global_relative_attention_bias",) if "Global" in name else ()))
        path = f"layer.0.{name}"
        parts = [*step(Norm("layer.0.layer_norm", width), mixer(path), "mixer", pre=True, dropout=drop)]
        if every or i == 0:
            parts[1:1] = [RelativeBias(f"{path}.{b}", c.relative_attention_num_buckets, heads) for b in biases]
        if side == "decoder":
            across = CrossAttention("layer.1.EncDecAttention", width, heads, heads, c.d_kv, width, names=NAMES)
            parts += step(Norm("layer.1.layer_norm", width), across, "cross", pre=True, dropout=drop)
        last = f"layer.{2 if side == 'decoder' else 1}"
        inner = channel(side, i, last)
        parts += step(Norm(f"{last}.layer_norm", width), inner, "channel", pre=True, dropout=drop)
        mixed = " + experts" if isinstance(inner, Experts) else ""
        kind = "full attention" if isinstance(mixer(path), Attention) else "block-local attention"
        return Layer(f"{kind}{' + cross-attention' if side == 'decoder' else ''}{mixed}", tuple(parts))

    return tuple(layer(i) for i in range(times(count)))


def t5_model(c: Config, encoder: tuple[Layer, ...], decoder: tuple[Layer, ...], *, forced: bool = True) -> Blueprint:
    """Encoder and decoder, or what of them the named class builds; with `forced`, the embeddings are shared whatever
    tie_word_embeddings says, which is about the head alone."""
    width: int = c.d_model
    what = built(c)
    prefix = "transformer." if what in ("classes", "tokens") else ""
    words = (c.vocab_size, c.vocab_size)
    reading, writing = embeddings(c, prefix, words, tied=True if forced else None)
    final = (Norm(f"{prefix}encoder.final_layer_norm", width),)
    heads = heads_for(c, what, Style(logits_bias=False), c.vocab_size)
    reader = Stack(f"{prefix}encoder.block", width, encoder, reading, final, causal=False)
    context = context_length(c)
    if what in ("encoder", "tokens"):
        alone = Stack(
            reader.path, width, encoder, reading, (*final, *(heads if what == "tokens" else ())), causal=False
        )
        return Blueprint(alone, c.vocab_size, context=context, reads_class=True)
    after = (Norm(f"{prefix}decoder.final_layer_norm", width), *heads)
    text = Stack(f"{prefix}decoder.block", width, decoder, writing, after)
    reader = Stack(reader.path, width, encoder, reading, (*final, EncoderOutput("encoder_output", width)), causal=False)
    notes = (
        (
            "The head has a matrix of its own, as T5 1.1's checkpoints do; transformers counts one for both until it "
            "has loaded the checkpoint.",
        )
        if forced and what == "both" and not c.flag("tie_word_embeddings")
        else ()
    )
    return Blueprint(text, c.vocab_size, context=context, notes=notes, encoder=reader, reads_class=True)


@family("t5", "mt5", "umt5")
def t5(c: Config) -> Blueprint:
    """arXiv:1910.10683; mT5 (arXiv:2010.11934) is T5 1.1, UMT5 (arXiv:2304.09151) has a bias in every layer."""
    channel, mixer, every = feed_forward(c), full_attention(c), c.model_type == "umt5"
    sides = [layers(c, side, channel=channel, mixer=mixer, every=every) for side in ("encoder", "decoder")]
    return t5_model(c, *sides)


@family("switch_transformers")
def switch_transformers(c: Config) -> Blueprint:
    """T5 whose every n-th MLP is a mixture, one expert a token (arXiv:2101.03961); n is stated, or follows from the
    number of mixtures."""
    counts = {"encoder": c.num_layers, "decoder": c.first("num_decoder_layers", "num_layers")}
    steps = {
        side: n // (c.get(f"num_sparse_{side}_layers") or 1) if (step := c.get(f"{side}_sparse_step")) is None else step
        for side, n in counts.items()
    }

    def channel(side: str, i: int, name: str) -> Part:
        every = steps[side]
        if not every or (every > 1 and i % every != 1):
            return MLP(f"{name}.mlp", c.d_model, c.d_ff, gated=False, up="wi", down="wo")
        return Experts(
            f"{name}.mlp",
            c.d_model,
            c.d_ff,
            c.num_experts,
            1,
            gated=False,
            router=Router("router.classifier", bias=c.flag("router_bias")),
            stored=Storage(each="expert_*", names=("", "wi", "wo")),
        )

    mixer = full_attention(c)
    sides = [layers(c, side, channel=channel, mixer=mixer) for side in ("encoder", "decoder")]
    return t5_model(c, *sides, forced=False)


@family("longt5")
def longt5(c: Config) -> Blueprint:
    """T5 whose encoder attends within blocks, and with "transient-global" to one sum of every block of tokens too
    (arXiv:2112.07916)."""
    kind = c.encoder_attention_type
    check(
        kind in ("local", "transient-global"), f"encoder_attention_type in {c.where} is {kind!r}, which is not known."
    )
    channel, drop = feed_forward(c), dropped(c, "dropout_rate")
    tokens = c.global_block_size if kind == "transient-global" else 0

    def local(name: str) -> Part:
        return LocalAttention(
            name, c.d_model, c.num_heads, c.d_kv, c.local_radius + 1, summed=tokens, dropout=drop, names=NAMES
        )

    name = "TransientGlobalSelfAttention" if tokens else "LocalSelfAttention"
    return t5_model(
        c,
        layers(c, "encoder", channel=channel, mixer=local, name=name),
        layers(c, "decoder", channel=channel, mixer=full_attention(c)),
    )


@family("t5gemma")
def t5gemma(c: Config) -> Blueprint:
    """Two Gemma 2 models of any two sizes, the second with cross-attention between its halves (arXiv:2504.06225)."""
    what = built(c)
    prefix = "" if what in ("encoder", "headless") else "model."
    sides = {side: c.section(side, "t5_gemma_module") for side in ("encoder", "decoder")}
    reader, writer = sides["encoder"], sides["decoder"]
    drop, attention_drop = dropped(c, "dropout_rate"), dropped(c, "attention_dropout")

    def wrapped(s: Config, name: str, part: Part) -> tuple[Part, ...]:
        """A norm before a part and one after it."""
        width: int = s.hidden_size
        norm, add = Norm(f"pre_{name}_layernorm", width), Residual(f"{name}_residual", width, drop)
        return (norm, part, Norm(f"post_{name}_layernorm", width), add)

    def layer(side: str, window: int | None) -> Layer:
        s, bias = sides[side], sides[side].flag("attention_bias")
        # An encoder's window reaches as far to either side as it is wide.
        seen = 2 * window + 1 if window is not None and side == "encoder" else window
        parts = wrapped(s, "self_attn", self_attention(s, window=seen, dropout=attention_drop))
        if side == "decoder":
            across = CrossAttention(
                "cross_attn",
                s.hidden_size,
                *head_shape(s),
                source=reader.hidden_size,
                names=Names(out="o_proj"),
                biases=Biases(out=bias, qkv=bias),
                dropout=attention_drop,
            )
            parts += wrapped(s, "cross_attn", across)
        parts += wrapped(s, "feedforward", gated_mlp(s))
        return Layer(f"{attention_kind(window)}{' + cross-attention' if side == 'decoder' else ''}", parts)

    def stack(side: str, after: tuple[Part, ...]) -> Stack:
        s, path = sides[side], f"{prefix}{side}"
        types = layer_types(s, every(2))
        return Stack(
            f"{path}.layers",
            s.hidden_size,
            tuple(layer(side, w) for w in windows(s, types)),
            (Embedding(f"{path}.embed_tokens", s.vocab_size, s.hidden_size),),
            (Norm(f"{path}.norm", s.hidden_size), *after),
            causal=side == "decoder",
        )

    def head(s: Config) -> tuple[Part, ...]:
        width: int = s.hidden_size
        if what in ("classes", "tokens"):
            labels = c.get("num_labels") or len(c.get("id2label") or (0, 1))
            return (Linear("score.out_proj", width, labels, bias=True, component="head"),)
        tied = c.flag("tie_word_embeddings")
        return (Head("lm_head.out_proj", s.vocab_size, width, tied=tied),) if what == "both" else ()

    if what == "encoder" or not c.flag("is_encoder_decoder"):
        alone = stack("encoder", head(reader))
        return Blueprint(alone, reader.vocab_size, context=context_length(reader), reads_class=True)
    output = EncoderOutput("encoder_output", reader.hidden_size)
    return Blueprint(
        stack("decoder", head(writer)),
        writer.vocab_size,
        context=context_length(writer),
        encoder=stack("encoder", (output,)),
        reads_class=True,
    )
