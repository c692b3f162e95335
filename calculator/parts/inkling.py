"""Attention with learned relative positions behind short convolutions (Inkling)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, half
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend
from calculator.parts.base import ACTIVATION_FLOPS, RMS_NORM_FLOPS, Part, activation, elementwise, project
from calculator.parts.heads import Heads
from calculator.parts.norm import Norm
from calculator.parts.recurrent import short_convolution, state_bytes
from calculator.parts.symbols import EXPERT_WIDTH, HIDDEN, KV_HEADS, OF_HEADS, WINDOW
from calculator.record.run import Run
from calculator.record.split import COLUMN, HEAD, ROW

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "r_proj", "o_proj")


@dataclass(frozen=True)
class ShortConvolution(Part):
    """A causal depthwise convolution added to its input. It runs in 32 bit, and so are the inputs it keeps."""

    size: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN}

    def write(self, run: Run) -> None:
        short_convolution(
            run, self.name, self.size, self.kernel, bias=False, component="norm", activated=False, state_width=4
        )
        elements = run.tokens * self.size
        run.add(
            f"{self.name}.residual",
            "norm",
            "elementwise",
            flops=elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            split=HEAD,
            stream=0,
        )


@dataclass(frozen=True)
class GatedShortKernel(Part):
    """A short convolution whose taps are learned weights plus some that a projection makes for each token and head."""

    hidden: int
    size: int
    heads: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "size": Symbol("d_kv", "features of the keys, or of the values"),
        "heads": KV_HEADS,
    }

    def write(self, run: Run) -> None:
        taps, elements = self.heads * self.kernel, run.tokens * self.size * run.width
        read = run.tokens * self.hidden * run.width
        run.add(
            self.path("weight_proj"),
            "attention",
            "matmul",
            flops=2 * run.tokens * self.hidden * taps,
            reads=read,
            writes=run.tokens * taps * run.width,
            weights=(Weight(self.path("weight_proj"), (taps, self.hidden), "linear"),),
            split=COLUMN,
        )
        run.add(
            self.name,
            "attention",
            "convolution",
            flops=2 * run.tokens * self.size * self.kernel,
            reads=elements + run.tokens * taps * run.width,
            writes=elements,
            weights=(Weight(self.path("static_w"), (self.kernel, self.size), "convolution"),),
            cache=state_bytes(run, self.size * (self.kernel - 1), 4),
            saved=elements,
            split=HEAD,
        )


@dataclass(frozen=True)
class DistanceAttention(Part):
    """Grouped-query attention whose keys and values pass a short convolution, and whose scores are shifted by distance:
    every query mixes `relative` learned profiles over the last `extent` distances.

    Attributes:
        later: Inkling 2: queries, keys and mixes are clipped in length, the first and last after a learned scale, not
            normed; values are normed; the output has a gate, and the softmax a logit that the token itself makes.
        dynamic: the convolutions' taps depend on the token.
        apart: keys and values are made of inputs of their own.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    relative: int
    extent: int
    kernel: int
    window: int | None = None
    dropout: bool = False
    later: bool = False
    dynamic: bool = False
    apart: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {
        "relative": Symbol("d_rel", "features of a distance"),
        "extent": Symbol("L_r", "distances that have a bias of their own"),
        "window": WINDOW,
    }

    def write(self, run: Run) -> None:
        queries, keys, mixes = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.heads * self.relative
        q, k, v, r, o = ("wq_du", "wk_dv", "wv_dv", "wr_du", "wo_ud") if self.later else PROJECTIONS
        made = [(q, queries), (k, keys), (v, keys), (r, mixes)]
        if self.later:
            made += [("gate_attn", queries), ("attn_sink_proj", self.heads)]
        for name, outputs in made:
            project(
                run,
                self.path(name),
                self.hidden,
                outputs,
                component="attention",
                saves_input=name == q or (self.apart and name in (k, v)),
            )
        for name in ("k_sconv", "v_sconv"):
            convolution: Part = ShortConvolution(self.path(name if self.later else f"{name}.conv1d"), keys, self.kernel)
            if self.dynamic:
                convolution = GatedShortKernel(self.path(name), self.hidden, keys, self.kv_heads, self.kernel)
            convolution.write(run)
        if self.later:
            self._clip(run)
        else:
            Norm(self.path("q_norm"), self.head_dim, groups=self.heads).write(run)
            Norm(self.path("k_norm"), self.head_dim, groups=self.kv_heads).write(run)
        mixed = run.tokens * mixes * run.width
        run.add(
            self.path("rel_logits_proj"),
            "attention",
            "matmul",
            flops=2 * run.tokens * mixes * self.extent,
            reads=mixed,
            writes=run.tokens * self.heads * self.extent * run.width,
            weights=(Weight(self.path("rel_logits_proj.proj"), (self.relative, self.extent), "linear"),),
            saved=mixed,
        )
        run.add(
            self.path("rel_logits"),
            "attention",
            "elementwise",
            flops=half(run.batch * run.attended(self.window) * self.heads),
            split=HEAD,
            stream=0,
        )
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.kv_heads, self.head_dim, self.head_dim),
            window=self.window,
            dropout=self.dropout,
        )
        if self.later:
            elements = run.tokens * queries
            elementwise(
                run, self.path("gate"), "attention", elements, ACTIVATION_FLOPS + 1, inputs=2, split=HEAD, stream=0
            )
        project(run, self.path(o), queries, self.hidden, component="attention", split=ROW)

    def _clip(self, run: Run) -> None:
        for name, heads, size, scaled in (
            ("q_l2_clip", self.heads, self.head_dim, True),
            ("k_l2_clip", self.kv_heads, self.head_dim, False),
            ("rel_l2_clip", self.heads, self.relative, True),
        ):
            elements = run.tokens * heads * size
            elementwise(
                run,
                self.path(name),
                "norm",
                elements,
                RMS_NORM_FLOPS,
                weights=(Weight(self.path(f"{name}.scale"), (heads, size), "norm"),) if scaled else (),
                split=HEAD,
                stream=0,
            )
        Norm(self.path("v_norm"), self.head_dim, groups=self.kv_heads, affine=False).write(run)


@dataclass(frozen=True)
class BlockResidual(Part):
    """An attention over what earlier blocks of layers left in the residual stream, and the stream itself: `states` of
    them, normed, `queries` learned vectors for all tokens (which the model holds beside its layers)."""

    hidden: int
    states: int
    queries: int = 1
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "states": Symbol("n_b", "states that a block's residual attends to"),
        "queries": Symbol("n_q", "queries of a block's residual"),
    }

    def write(self, run: Run) -> None:
        read = run.tokens * self.states * self.hidden
        run.add(
            f"{self.name}.norm",
            "norm",
            "elementwise",
            flops=RMS_NORM_FLOPS * read,
            reads=read * run.width,
            writes=read * 4,
            saved=read * run.width,
            stream=0,
        )
        run.add(
            self.name,
            "norm",
            "matmul",
            flops=4 * run.tokens * self.queries * self.states * self.hidden,
            reads=read * 4,
            writes=run.tokens * self.queries * self.hidden * run.width,
            saved=read * 4,
        )


@dataclass(frozen=True)
class MessageGate(Part):
    """A message of the pass before, mixed into a layer's input: both normed, projected to `rank` features, and from
    them two gates, of what is forgotten and of what is heard. It runs in 32 bit but for the first projection."""

    hidden: int
    rank: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "rank": Symbol("r_c", "rank of a message's gates")}

    def write(self, run: Run) -> None:
        both, elements, narrow = 2 * run.tokens * self.hidden, run.tokens * self.hidden, run.tokens * self.rank
        run.add(
            self.path("norm"),
            "norm",
            "elementwise",
            flops=RMS_NORM_FLOPS * both,
            reads=both * 4,
            writes=both * run.width,
            saved=both * 4,
            stream=0,
        )
        for name, inputs, outputs in (
            ("down", 2 * self.hidden, self.rank),
            ("forget", self.rank, self.hidden),
            ("gain", self.rank, self.hidden),
        ):
            read = both * run.width if name == "down" else narrow * 4
            run.add(
                self.path(name),
                "norm",
                "matmul",
                flops=2 * run.tokens * inputs * outputs,
                reads=read,
                writes=run.tokens * outputs * 4,
                weights=(Weight(self.path(f"{name}_weight"), (outputs, inputs), "linear"),),
                saved=0 if name == "gain" else read,
            )
        run.add(
            self.path("mix"),
            "norm",
            "elementwise",
            flops=(2 * ACTIVATION_FLOPS + 4) * elements,
            reads=4 * elements * 4,
            writes=elements * 4,
            saved=4 * elements * 4,
            stream=0,
        )


@dataclass(frozen=True)
class SharedExperts(Part):
    """Experts that every token visits, in tensors that hold all of them, each with a weight that the router gives."""

    hidden: int
    intermediate: int
    experts: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "intermediate": EXPERT_WIDTH,
        "experts": Symbol("E_s", "shared experts that the router scores"),
    }

    def write(self, run: Run) -> None:
        for name, inputs, outputs in (
            ("gate_proj", self.hidden, self.intermediate),
            ("up_proj", self.hidden, self.intermediate),
            ("down_proj", self.intermediate, self.hidden),
        ):
            if name == "down_proj":
                activation(
                    run,
                    self.path("activation"),
                    run.tokens * self.experts,
                    self.intermediate,
                    gated=True,
                    component="mlp",
                )
            read: Number = run.tokens * inputs * run.width * (self.experts if name == "down_proj" else 1)
            run.add(
                self.path(name),
                "mlp",
                "matmul",
                flops=2 * run.tokens * self.experts * inputs * outputs,
                reads=read,
                writes=run.tokens * self.experts * outputs * run.width,
                weights=(Weight(self.path(name), (self.experts, outputs, inputs), "linear"),),
                saved=0 if name == "up_proj" else read,
                split=ROW if name == "down_proj" else COLUMN,
            )
        run.add(
            self.path("combine"),
            "mlp",
            "elementwise",
            flops=2 * self.experts * run.tokens * self.hidden,
            reads=run.tokens * self.experts * self.hidden * run.width,
            writes=run.tokens * self.hidden * run.width,
        )
