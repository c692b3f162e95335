"""Mixers with a state of fixed size: Mamba, Mamba-2 and the gated delta rule.

A scan is priced as the recurrence itself, one token after the other: the fewest FLOPs, and what a decode step does.
Chunked kernels trade more FLOPs (matrix products inside a chunk) for parallelism; those extra FLOPs are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, RMS_NORM_FLOPS, Part, elementwise, project
from calculator.parts.norm import Norm
from calculator.parts.symbols import HIDDEN, KEY_DIM, KEY_HEADS, VALUE_DIM, VALUE_HEADS
from calculator.record.caches import Cache, State
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW

SELECTIVE_SCAN_FLOPS = 6  # per state element: Ā·h (1), B̄ = Δ·B and B̄·x (2), their sum (1), C·h (2); arXiv:2312.00752
SSD_FLOPS = 5  # per state element: decay·h (1), B ⊗ Δx (1), their sum (1), C·h (2); arXiv:2405.21060
DELTA_FLOPS = 7  # per state element: decay·S (1), k·S (2), S + k ⊗ Δv (2), q·S (2); arXiv:2412.06464


def short_convolution(
    run: Run,
    name: str,
    channels: Number,
    kernel: int,
    *,
    bias: bool,
    component: str = "recurrent",
    activated: bool = True,
    beside: Number = 0,
    state_width: int | None = None,
) -> None:
    """A causal depthwise convolution, 2·tokens·channels·kernel FLOPs; decode keeps the last kernel − 1 inputs, of
    `state_width` bytes. `beside` elements per token (the gate) wait while it runs."""
    elements = run.tokens * channels * run.width
    weights: tuple[Weight, ...] = (Weight(f"{name}.weight", (channels, 1, kernel), "convolution"),)
    if bias:
        weights += (Weight(f"{name}.bias", (channels,), "vector"),)
    state = state_bytes(run, channels * (kernel - 1), state_width or run.width)
    run.add(
        name,
        component,
        "convolution",
        flops=2 * run.tokens * channels * kernel,
        reads=elements,
        writes=elements,
        weights=weights,
        cache=state,
        saved=elements,
        stream=run.stream + run.tokens * beside * run.width,
        split=HEAD,
    )
    if not activated:
        return
    run.add(
        f"{name}.activation",
        component,
        "elementwise",
        flops=ACTIVATION_FLOPS * run.tokens * channels,
        saved=elements,
        split=HEAD,
        stream=0,
    )


def state_bytes(run: Run, elements: Number, width: int, widened: int | None = None) -> Cache:
    """Held, read and written bytes of a state of `elements` per sequence: a decode step and a prefill after a past read
    and rewrite it. Its `width` in an engine that keeps recurrences in 32 bit is `widened`."""
    if run.training:
        return Cache()
    size = run.batch * elements * width
    kept = State(elements=elements, size=elements * width, widened=elements * (widened or width))
    return Cache(size, size * run.steps if run.decoding or run.past else 0, size * run.steps, kept)


def scan(
    run: Run,
    name: str,
    state: Number,
    per_element: int,
    inputs: Number,
    outputs: Number,
    width: int,
    weights: tuple[Weight, ...] = (),
    kept: Number | None = None,
    beside: Number = 0,
) -> None:
    """A recurrence over `state` elements: reads `inputs` and writes `outputs` elements per token, while `beside` (the
    gate) wait.

    For the backward pass it keeps its inputs (or the `kept` of them that no other operation keeps); the states are
    recomputed, as the published kernels do.
    """
    read = run.tokens * inputs * run.width
    run.add(
        name,
        "recurrent",
        "scan",
        flops=per_element * run.tokens * state,
        reads=read,
        writes=run.tokens * outputs * run.width,
        weights=weights,
        cache=state_bytes(run, state, width, 4),
        saved=read if kept is None else run.tokens * kept * run.width,
        stream=run.stream + run.tokens * beside * run.width,
        split=HEAD,
    )


def gated_norm(run: Run, name: str, groups: Number, size: Number, weight: Number) -> None:
    """RMSNorm of the mixer's output times SiLU of its gate."""
    elements = run.tokens * groups * size
    elementwise(
        run,
        name,
        "norm",
        elements,
        RMS_NORM_FLOPS + ACTIVATION_FLOPS + 1,
        inputs=2,
        weights=(Weight(f"{name}.weight", (weight,), "norm"),),
    )


def gate(run: Run, name: str, size: Number) -> None:
    """The mixer's output times SiLU of its gate."""
    elements = run.tokens * size
    elementwise(run, name, "recurrent", elements, ACTIVATION_FLOPS + 1, inputs=2, split=HEAD)


@dataclass(frozen=True)
class Mamba(Part):
    """The selective state-space mixer (arXiv:2312.00752).

    Attributes:
        norms: RMSNorms on the time step, B and C (Jamba, arXiv:2403.19887).
    """

    hidden: int
    inner: int
    state: int
    rank: int
    kernel: int
    bias: bool = False
    conv_bias: bool = True
    norms: bool = False
    state_width: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "inner": Symbol("d_m", "inner width of a Mamba mixer"),
        "state": Symbol("N", "state size"),
        "rank": Symbol("r_Δ", "rank of the time step"),
    }

    def write(self, run: Run) -> None:
        project(run, self.path("in_proj"), self.hidden, 2 * self.inner, component="recurrent", bias=self.bias)
        short_convolution(run, self.path("conv1d"), self.inner, self.kernel, bias=self.conv_bias, beside=self.inner)
        self._select(run)
        scan(
            run,
            self.path("scan"),
            self.inner * self.state,
            SELECTIVE_SCAN_FLOPS,
            2 * self.inner + 2 * self.state,
            self.inner,
            self.state_width or run.width,
            self._constants(),
            kept=self.inner + 2 * self.state,  # x is kept as x_proj's input
            beside=self.inner,
        )
        gate(run, self.path("gate"), self.inner)
        project(run, self.path("out_proj"), self.inner, self.hidden, component="recurrent", bias=self.bias, split=ROW)

    def _select(self, run: Run) -> None:
        """The time step, B and C of each token."""
        project(run, self.path("x_proj"), self.inner, self.rank + 2 * self.state, component="recurrent", split=ROW)
        if self.norms:
            for name, size in (("dt", self.rank), ("b", self.state), ("c", self.state)):
                Norm(self.path(f"{name}_layernorm"), size).write(run)
        project(run, self.path("dt_proj"), self.rank, self.inner, component="recurrent", bias=True)

    def _constants(self) -> tuple[Weight, ...]:
        return (
            Weight(self.path("A_log"), (self.inner, self.state), "vector"),
            Weight(self.path("D"), (self.inner,), "vector"),
        )


@dataclass(frozen=True)
class HeadedMamba(Mamba):
    """Mamba whose channels are split into heads that choose their time step, B and C apart (Zamba,
    arXiv:2405.16712)."""

    heads: int = 1
    SYMBOLS: ClassVar[dict[str, Symbol]] = {**Mamba.SYMBOLS, "heads": Symbol("n_s", "state-space heads")}

    def _select(self, run: Run) -> None:
        size, chosen = self.inner // self.heads, self.rank + 2 * self.state
        elements, rank = run.tokens * self.inner * run.width, run.tokens * self.heads * self.rank * run.width
        for name, shape, bias, read, written in (
            ("x_proj", (self.heads, chosen, size), False, elements, run.tokens * self.heads * chosen * run.width),
            ("dt_proj", (self.heads, size, self.rank), True, rank, elements),
        ):
            weights: tuple[Weight, ...] = (Weight(self.path(f"{name}_weight"), shape, "linear"),)
            if bias:
                weights += (Weight(self.path(f"{name}_bias"), (self.heads, size), "vector"),)
            run.add(
                self.path(name),
                "recurrent",
                "matmul",
                flops=2 * run.tokens * self.inner * shape[2 if bias else 1],
                reads=read,
                writes=written,
                weights=weights,
                saved=read,
                split=HEAD,
            )

    def _constants(self) -> tuple[Weight, ...]:
        size = self.inner // self.heads
        return (
            Weight(self.path("A_log"), (self.heads, size, self.state), "vector"),
            Weight(self.path("D"), (self.heads, size), "vector"),
        )


@dataclass(frozen=True)
class Mamba2(Part):
    """The state-space dual mixer: one scalar decay per head (arXiv:2405.21060)."""

    hidden: int
    heads: int
    head_dim: int
    groups: int
    state: int
    kernel: int
    bias: bool = False
    out_bias: bool = False
    conv_bias: bool = True
    norm: bool = True
    state_width: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": Symbol("n_s", "state-space heads"),
        "head_dim": Symbol("d_p", "size of a Mamba-2 head"),
        "groups": Symbol("n_g", "groups that share B and C of a Mamba-2 mixer; groups of a grouped output projection"),
        "state": Symbol("N", "state size"),
    }

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        channels = inner + 2 * self.groups * self.state
        project(
            run, self.path("in_proj"), self.hidden, inner + channels + self.heads, component="recurrent", bias=self.bias
        )
        short_convolution(
            run, self.path("conv1d"), channels, self.kernel, bias=self.conv_bias, beside=inner + self.heads
        )
        scalars = tuple(Weight(self.path(n), (self.heads,), "vector") for n in ("A_log", "D", "dt_bias"))
        scan(
            run,
            self.path("scan"),
            inner * self.state,
            SSD_FLOPS,
            channels + self.heads,
            inner,
            self.state_width or run.width,
            scalars,
            beside=inner,
        )
        if self.norm:
            gated_norm(run, self.path("norm"), 1, inner, inner)
        else:
            gate(run, self.path("gate"), inner)
        project(run, self.path("out_proj"), inner, self.hidden, component="recurrent", bias=self.out_bias, split=ROW)


@dataclass(frozen=True)
class GatedDeltaNet(Part):
    """Linear attention with the gated delta rule (arXiv:2412.06464), as Qwen3-Next builds it.

    Attributes:
        projections: (name, outputs) of the input projections, which differ between families of one arithmetic.
        norm: the gated norm's name.
    """

    hidden: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    projections: tuple[tuple[str, int], ...] = ()
    state_width: int | None = None
    norm: str = "norm"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "key_heads": KEY_HEADS,
        "value_heads": VALUE_HEADS,
        "key_dim": KEY_DIM,
        "value_dim": VALUE_DIM,
    }

    def write(self, run: Run) -> None:
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        packed = (("in_proj_qkvz", 2 * keys + 2 * values), ("in_proj_ba", 2 * self.value_heads))
        projections = self.projections or packed
        for name, outputs in projections:
            project(
                run, self.path(name), self.hidden, outputs, component="recurrent", saves_input=name == projections[0][0]
            )
        short_convolution(run, self.path("conv1d"), 2 * keys + values, self.kernel, bias=False, beside=values)
        scalars = tuple(Weight(self.path(n), (self.value_heads,), "vector") for n in ("dt_bias", "A_log"))
        scan(
            run,
            self.path("scan"),
            self.value_heads * self.key_dim * self.value_dim,
            DELTA_FLOPS,
            2 * keys + values + 2 * self.value_heads,
            values,
            self.state_width or run.width,
            scalars,
            beside=values,
        )
        gated_norm(run, self.path(self.norm), self.value_heads, self.value_dim, self.value_dim)
        project(run, self.path("out_proj"), values, self.hidden, component="recurrent", split=ROW)
