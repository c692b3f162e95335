"""What BERT's descendants share: the head that a checkpoint's class names, embeddings, and the post-norm layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from calculator.config import Config
from calculator.families.fields import dropped, head_shape, label_count
from calculator.families.layers import layer_norm
from calculator.families.models import blueprint
from calculator.families.registry import Blueprint
from calculator.limits import times
from calculator.model import Layer, Stack
from calculator.parts import (
    MLP,
    Activation,
    Attention,
    Biases,
    Embedding,
    Head,
    Idle,
    Linear,
    Names,
    Part,
    Positioned,
    Positions,
    Residual,
    StoredAttention,
    VectorWeights,
)
from calculator.parts.base import check

# Endings of class names, and what such a class puts on top of the encoder; a language model where none fits.
KINDS = (
    ("LMHeadModel", "lm"),
    ("Model", "model"),
    ("Encoder", "model"),
    ("ForPreTraining", "pretraining"),
    ("ForSequenceClassification", "sequence"),
    ("ForTokenClassification", "token"),
    ("ForQuestionAnswering", "answer"),
    ("ForQuestionAnsweringSimple", "answer"),
    ("ForMultipleChoice", "choice"),
    ("ForNextSentencePrediction", "next"),
)
POOLED = frozenset(("model", "pretraining", "sequence", "choice", "next"))
Parts = tuple[Part, ...]


def head_kind(c: Config) -> str:
    """What stands on top of the encoder, by the class that `architectures` names."""
    named = next(iter(c.get("architectures") or ()), "")
    return next((kind for ending, kind in KINDS if str(named).endswith(ending)), "lm")


@dataclass(frozen=True)
class Heads:
    """How a type names what stands on top of its layers.

    Attributes:
        root: the encoder inside a model with a head; the encoder alone (XxxModel) has no prefix.
        lm: the parts of the language-model head, their names complete.
        pooler: the projection of the first token, inside the encoder; "" for none. `pooled`: kinds of head with it.
        unread: kinds of head that do not read the pooler's result.
        dense: names of the projection and the classifier of a sentence, where the pooler is not what feeds it.
        choice: the same for multiple choice. Either is one name where there is no projection.
        answers: labels of question answering, where that is fixed.
        own: kinds of head that are like no other type's, with their parts.
    """

    root: str
    lm: Parts
    pooler: str = "pooler.dense"
    pooled: frozenset[str] = POOLED
    unread: frozenset[str] = frozenset(("lm", "token", "answer"))
    dense: tuple[str, ...] = ("classifier",)
    choice: tuple[str, ...] = ("classifier",)
    answers: int | None = None
    own: Mapping[str, Parts] = field(default_factory=dict)


def under(root: str, parts: Sequence[Part]) -> Parts:
    """The parts with their names inside the module `root`."""

    def moved(part: Part) -> Part:
        if isinstance(part, Positioned):
            return replace(part, parts=tuple(map(moved, part.parts)))
        return replace(part, name=".".join(filter(None, (root, part.name))))

    return tuple(map(moved, parts))


def pooled(name: str, inputs: int, outputs: int, *, activated: bool = True, unread: bool = False) -> Positioned:
    """A projection of one token of each sequence, with a nonlinearity."""
    parts: list[Part] = [Linear(name, inputs, outputs, True, component="head")]
    if activated:
        parts.append(Activation(f"{name}.activation", outputs))
    return Positioned("pooled", tuple(parts), pooled=True, unread=unread)


def on_top(c: Config, heads: Heads, kind: str) -> Parts:
    """The parts of the head, outside of the encoder."""
    width: int = c.hidden_size
    labels = label_count(c)
    if kind in heads.own:
        return heads.own[kind]
    if kind == "lm":
        return heads.lm
    if kind == "pretraining":
        return (*heads.lm, pooled("cls.seq_relationship", width, 2, activated=False))
    if kind in ("sequence", "choice"):
        *before, last = heads.dense if kind == "sequence" else heads.choice
        outputs = labels if kind == "sequence" else 1
        return (*(pooled(n, width, width) for n in before), pooled(last, width, outputs, activated=False))
    if kind == "next":
        return (pooled("cls.seq_relationship", width, 2, activated=False),)
    if kind == "token":
        return (Linear("classifier", width, labels, True, component="head"),)
    if kind == "answer":
        return (Linear("qa_outputs", width, heads.answers or labels, True, component="head"),)
    return ()


def encoder(
    c: Config,
    layers: Layer | Sequence[Layer],
    before: Sequence[Part],
    heads: Heads,
    *,
    path: str = "encoder.layer",
    after: Sequence[Part] = (),
    causal: bool | None = None,
    **more: Any,
) -> Blueprint:
    """An encoder, or with is_decoder a decoder, with the head its class has. The names in `before`, `after` and `path`
    are those inside the encoder."""
    kind = head_kind(c)
    root = "" if kind == "model" else heads.root
    listed = [layers] * times(c.num_hidden_layers) if isinstance(layers, Layer) else layers
    pooler: Parts = ()
    if heads.pooler and kind in heads.pooled:
        pooler = (pooled(heads.pooler, c.hidden_size, c.hidden_size, unread=kind in heads.unread),)
    stack = Stack(
        f"{root}.{path}" if root else path,
        c.hidden_size,
        tuple(listed),
        before=under(root, before),
        after=(*under(root, (*after, *pooler)), *on_top(c, heads, kind)),
        causal=c.flag("is_decoder") if causal is None else causal,
    )
    return replace(blueprint(c, stack), reads_class=True, **more)


def lm_head(
    c: Config,
    root: str = "cls.predictions",
    *,
    dense: str = "transform.dense",
    norm: str = "transform.LayerNorm",
    decoder: str = "decoder",
    bias: str | None = "bias",
    size: int | None = None,
    tied: bool | None = None,
) -> Parts:
    """BERT's language-model head: a projection, a norm, and the embedding matrix again, with a bias of its own. The
    names are inside `root`; `bias` is the tensor that the decoder's bias is, as long as the matrix is tied too."""

    def inside(name: str) -> str:
        return f"{root}.{name}" if root else name

    width: int = c.hidden_size
    size = width if size is None else size
    share = c.flag("tie_word_embeddings") if tied is None else tied
    transform: Parts = (
        Linear(inside(dense), width, size, True, component="head"),
        Activation(inside(f"{dense}.activation"), size),
        layer_norm(inside(norm), size),
    )
    name = inside(bias) if bias and share else ""
    head = Head(inside(decoder), c.vocab_size, size, tied=share, bias=True, bias_name=name)
    unused = (VectorWeights(root, ((bias, (c.vocab_size,)),), "head"),) if bias and not share else ()
    return (Positioned("transform", transform), head, *unused)


def roberta_head(c: Config) -> Parts:
    """RoBERTa's names of the language-model head."""
    return lm_head(c, "lm_head", dense="dense", norm="layer_norm")


def embeddings(
    c: Config, *, size: int | None = None, positions: int | None = None, types: bool = True, norm: bool = True
) -> list[Part]:
    """Tokens, kinds of segment, learned positions, and a norm of their sum."""
    width: int = c.hidden_size if size is None else size
    count: int = c.max_position_embeddings if positions is None else positions
    found: list[Part] = [Embedding("embeddings.word_embeddings", c.vocab_size, width)]
    if count:
        found.append(Positions("embeddings.position_embeddings", count, width))
    if types:
        found.append(Positions("embeddings.token_type_embeddings", c.type_vocab_size, width))
    if norm:
        found.append(layer_norm("embeddings.LayerNorm", width))
    return found


def bert_attention(c: Config, name: str = "attention", *, head_dim: int | None = None, **changes: Any) -> Attention:
    """BERT's attention with its names; every projection has a bias."""
    heads: int = c.num_attention_heads
    head_dim = head_shape(c)[2] if head_dim is None else head_dim
    options: dict[str, Any] = {
        "names": Names("self.query", "self.key", "self.value", "output.dense"),
        "biases": Biases(True, True),
        "dropout": dropped(c, "attention_probs_dropout_prob"),
    }
    return Attention(name, c.hidden_size, heads, heads, head_dim, **{**options, **changes})


def attention_core(c: Config, heads: int, head_dim: int) -> StoredAttention:
    """BERT's attention alone, of queries, keys and values that other parts make."""
    drop = dropped(c, "attention_probs_dropout_prob")
    return StoredAttention("attention", heads, heads, head_dim, head_dim, dropout=drop)


def bert_mlp(c: Config, **changes: Any) -> MLP:
    """BERT's MLP with its names."""
    options: dict[str, Any] = {"gated": False, "bias": True, "up": "intermediate.dense", "down": "output.dense"}
    return MLP("", c.hidden_size, c.intermediate_size, **{**options, **changes})


def bert_layer(
    c: Config,
    *,
    mixer: Part | None = None,
    channel: Part | None = None,
    norms: tuple[str, str] = ("attention.output.LayerNorm", "output.LayerNorm"),
    pre: bool = False,
    crossed: str | None = "crossattention.output.LayerNorm",
    kind: str = "full attention",
) -> Layer:
    """Attention and MLP, a norm after each addition, or with `pre` before each half. With add_cross_attention a third
    half is held, its norm named `crossed`; None for a type that knows none."""
    width, drop = c.hidden_size, dropped(c, "hidden_dropout_prob")
    first, second = (layer_norm(n, width) for n in norms)
    halves = (mixer or bert_attention(c), channel or bert_mlp(c))
    adds = tuple(Residual(n, width, drop) for n in ("mixer_residual", "channel_residual"))
    parts: Parts = (
        (first, halves[0], adds[0], second, halves[1], adds[1])
        if pre
        else (halves[0], adds[0], first, halves[1], adds[1], second)
    )
    return Layer(kind, (*parts, *cross_attention(c, crossed)))


def cross_attention(c: Config, norm: str | None) -> Parts:
    """Attention over an encoder's output, which a decoder with add_cross_attention holds and alone does not run."""
    if norm is None or not c.flag("add_cross_attention"):
        return ()
    check(
        c.flag("is_decoder"),
        f"{c.where} has add_cross_attention without is_decoder; only a decoder attends to an encoder.",
    )
    width: int = c.hidden_size
    names = ("self.query", "self.key", "self.value", "output.dense")
    held = Idle("crossattention", tuple((n, (width, width)) for n in names), bias=True)
    return (held, VectorWeights(norm, (("weight", (width,)), ("bias", (width,))), component="norm"))
