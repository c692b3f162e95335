"""The two halves of an RWKV block, which see the token before through a learned mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, LAYER_NORM_FLOPS, Part, elementwise, project
from calculator.parts.recurrent import scan, state_bytes
from calculator.parts.symbols import HEAD_DIM, HIDDEN, MLP_WIDTH
from calculator.record.run import Run
from calculator.record.split import COLUMN, HEAD, REPLICATED, ROW

# Per channel and token (arXiv:2305.13048, appendix D, the form that cannot overflow). Output: k + u (1), the larger
# exponent (1), two shifted exponentials (4), numerator (3), denominator (2), their quotient (1). State: m + w (1), the
# larger exponent (1), two shifted exponentials (4), numerator (3), denominator (2).
WKV4_FLOPS = 23
# Per element of the matrix state: k·v (1), u·kv (1), its sum with S (1), r· (2), w·S (1), S + kv (1);
# arXiv:2404.05892, equations 18 and 19.
WKV5_FLOPS = 7
MIX_FLOPS = 4  # per element of one mix of a token with the one before: μ·x, 1 − μ, its product, the sum


def token_shift(run: Run, name: str, size: int, shapes: tuple[tuple[str, tuple[int, ...]], ...], mixes: int) -> None:
    """`mixes` blends of every token with the one before, which decode keeps."""
    elements = run.tokens * size
    run.add(
        f"{name}.time_mix",
        "recurrent",
        "elementwise",
        flops=mixes * MIX_FLOPS * elements,
        reads=elements * run.width,
        writes=mixes * elements * run.width,
        weights=tuple(Weight(f"{name}.{n}", shape, "vector") for n, shape in shapes),
        cache=state_bytes(run, size, run.width),
        saved=elements * run.width,
    )


@dataclass(frozen=True)
class TimeMix(Part):
    """RWKV-4's attention: a running average of values, weighted by exponentials of keys that decay by channel
    (arXiv:2305.13048). The average's numerator, denominator and largest exponent are kept in 32 bit."""

    hidden: int
    inner: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "inner": Symbol("d_a", "inner width of an RWKV attention"),
    }

    def write(self, run: Run) -> None:
        shape, elements = (1, 1, self.hidden), run.tokens * self.inner
        names = ("key", "value", "receptance")
        token_shift(run, self.name, self.hidden, tuple((f"time_mix_{n}", shape) for n in names), 3)
        for name in names:
            project(run, self.path(name), self.hidden, self.inner, component="recurrent")
        run.add(
            self.path("wkv"),
            "recurrent",
            "scan",
            flops=WKV4_FLOPS * elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            weights=tuple(Weight(self.path(n), (self.inner,), "vector") for n in ("time_decay", "time_first")),
            cache=state_bytes(run, 3 * self.inner, 4),
            saved=2 * elements * run.width,
            stream=run.stream + elements * run.width,
            split=HEAD,
        )
        elementwise(run, self.path("gate"), "recurrent", elements, ACTIVATION_FLOPS + 1, inputs=2, split=HEAD, stream=0)
        project(run, self.path("output"), self.inner, self.hidden, component="recurrent", split=ROW)


@dataclass(frozen=True)
class MatrixTimeMix(Part):
    """RWKV-5's and RWKV-6's attention: heads with a matrix for a state, a normed and gated output (Eagle and Finch,
    arXiv:2404.05892). The state is kept in 32 bit.

    Attributes:
        mix_rank, decay_rank: widths of the low-rank products that make RWKV-6's mixes and decay of the token itself.
    """

    hidden: int
    inner: int
    head_dim: int
    mix_rank: int | None = None
    decay_rank: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "inner": Symbol("d_a", "inner width of an RWKV attention"),
        "head_dim": HEAD_DIM,
        "mix_rank": Symbol("r_m", "rank of RWKV's mixes"),
        "decay_rank": Symbol("r_w", "rank of RWKV's decay"),
    }

    def write(self, run: Run) -> None:
        shape, elements = (1, 1, self.hidden), run.tokens * self.inner
        by_head = (self.inner // self.head_dim, self.head_dim)
        names = ("key", "value", "receptance", "gate")
        if self.mix_rank is None or self.decay_rank is None:
            token_shift(run, self.name, self.hidden, tuple((f"time_mix_{n}", shape) for n in names), 4)
            decay: tuple[Number, ...] = by_head
        else:
            token_shift(run, self.name, self.hidden, tuple((f"time_maa_{n}", shape) for n in "xwkvrg"), 6)
            rank = self.mix_rank
            low_rank(run, self.path("time_maa"), self.hidden, 5, rank, (5, rank, self.hidden))
            low_rank(run, self.path("time_decay"), self.hidden, 1, self.decay_rank, (self.decay_rank, self.inner))
            decay = (1, 1, self.inner)
        for name in names:
            project(run, self.path(name), self.hidden, self.inner, component="recurrent")
        scan(
            run,
            self.path("wkv"),
            self.inner * self.head_dim,
            WKV5_FLOPS,
            3 * self.inner,
            self.inner,
            4,
            (
                Weight(self.path("time_decay"), decay, "vector"),
                Weight(self.path("time_faaaa"), by_head, "vector"),
            ),
            beside=self.inner,
        )
        elementwise(
            run,
            self.path("ln_x"),
            "norm",
            elements,
            LAYER_NORM_FLOPS + ACTIVATION_FLOPS + 1,
            inputs=2,
            weights=tuple(Weight(self.path(f"ln_x.{n}"), (self.inner,), "norm") for n in ("weight", "bias")),
        )
        project(run, self.path("output"), self.inner, self.hidden, component="recurrent", split=ROW)


def low_rank(run: Run, name: str, hidden: Number, copies: int, rank: Number, back: tuple[Number, ...]) -> None:
    """`copies` products of the input through `rank` features; both matrices are stored [inputs, outputs]."""
    inner = run.tokens * copies * rank
    for suffix, shape, flops, read, written in (
        ("w1", (hidden, copies * rank), 2 * inner * hidden, run.tokens * hidden, inner),
        ("w2", back, 2 * inner * back[-1], inner, run.tokens * copies * back[-1]),
    ):
        run.add(
            f"{name}_{suffix}",
            "recurrent",
            "matmul",
            flops=flops,
            reads=read * run.width,
            writes=written * run.width,
            weights=(Weight(f"{name}_{suffix}", shape, "linear"),),
            saved=read * run.width,
        )


@dataclass(frozen=True)
class ChannelMix(Part):
    """RWKV's MLP: a squared ReLU between two projections, and a sigmoid gate made of the input.

    Attributes:
        mix: the names of its mixes with the token before.
    """

    hidden: int
    intermediate: int
    mix: tuple[str, str] = ("time_mix_key", "time_mix_receptance")
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "intermediate": MLP_WIDTH}

    def write(self, run: Run) -> None:
        token_shift(run, self.name, self.hidden, tuple((n, (1, 1, self.hidden)) for n in self.mix), 2)
        inner, elements = run.tokens * self.intermediate, run.tokens * self.hidden
        project(run, self.path("key"), self.hidden, self.intermediate, component="mlp")
        elementwise(run, self.path("activation"), "mlp", inner, 2, split=COLUMN)
        project(run, self.path("value"), self.intermediate, self.hidden, component="mlp", split=ROW)
        project(run, self.path("receptance"), self.hidden, self.hidden, component="mlp", split=REPLICATED)
        elementwise(run, self.path("gate"), "mlp", elements, ACTIVATION_FLOPS + 1, inputs=2, stream=0)
