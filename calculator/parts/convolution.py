"""The gated short convolution of LFM2, a plain one over tokens, and linear attention with a fixed decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import rotate
from calculator.parts.base import Part, elementwise, project
from calculator.parts.norm import Norm
from calculator.parts.recurrent import SSD_FLOPS, scan, short_convolution
from calculator.parts.symbols import HEAD_DIM, HEADS, HIDDEN, INPUTS, KERNEL, OUTPUTS, ROTATED
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW


@dataclass(frozen=True)
class GatedConvolution(Part):
    """One projection makes a gate, a second gate and an input; the input is gated, convolved, and gated again
    (LFM2, arXiv:2511.23404)."""

    hidden: int
    kernel: int
    bias: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.hidden
        project(run, self.path("in_proj"), self.hidden, 3 * self.hidden, component="recurrent", bias=self.bias)
        for name in ("input_gate", "output_gate"):
            if name == "output_gate":
                short_convolution(run, self.path("conv"), self.hidden, self.kernel, bias=self.bias, activated=False)
            elementwise(run, self.path(name), "recurrent", elements, 1, inputs=2, split=HEAD, stream=0)
        project(run, self.path("out_proj"), self.hidden, self.hidden, component="recurrent", bias=self.bias, split=ROW)


@dataclass(frozen=True)
class LightningAttention(Part):
    """Linear attention whose state decays at a fixed rate per head (arXiv:2401.04658), with a norm and a gate on its
    output (MiniMax-01, arXiv:2501.08313).

    Attributes:
        names: of the fused projection, the norm, the gate's projection and the output's.
        head_norm: each head's q and k are scaled by a shared RMSNorm, query_layernorm and key_layernorm (Ring-linear).
        rotary: elements of each head that are rotated.
    """

    hidden: int
    heads: int
    head_dim: int
    names: tuple[str, str, str, str] = ("qkv_proj", "norm", "output_gate", "out_proj")
    head_norm: bool = False
    rotary: int = 0
    qkv_bias: bool = False
    out_bias: bool = False
    state_width: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "heads": HEADS, "head_dim": HEAD_DIM, "rotary": ROTATED}

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        fused, norm, gate, out = self.names
        project(run, self.path(fused), self.hidden, 3 * inner, component="recurrent", bias=self.qkv_bias)
        if self.head_norm:
            for name in ("query_layernorm", "key_layernorm"):
                Norm(self.path(name), self.head_dim, groups=self.heads).write(run)
        if self.rotary:
            rotate(run, self.path("rotary"), 2 * self.heads * self.rotary)
        scan(run, self.path("scan"), inner * self.head_dim, SSD_FLOPS, 3 * inner, inner, self.state_width or run.width)
        Norm(self.path(norm), inner).write(run)
        project(run, self.path(gate), self.hidden, inner, component="recurrent", saves_input=False)
        elements = run.tokens * inner
        elementwise(run, self.path("gate"), "recurrent", elements, 5, inputs=2, split=HEAD, stream=0)
        project(run, self.path(out), inner, self.hidden, component="recurrent", bias=self.out_bias, split=ROW)


@dataclass(frozen=True)
class TokenConvolution(Part):
    """A convolution over neighbouring tokens, as many out as in; the features in `groups` that do not mix (DeBERTa-v2's
    first layer; with a kernel of one, SqueezeBERT's projections)."""

    inputs: int
    outputs: int
    kernel: int
    groups: int = 1
    bias: bool = True
    component: str = "attention"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

    def write(self, run: Run) -> None:
        shape = (self.outputs, self.inputs // self.groups, self.kernel)
        weights: tuple[Weight, ...] = (Weight(f"{self.name}.weight", shape, "convolution"),)
        if self.bias:
            weights += (Weight(f"{self.name}.bias", (self.outputs,), "vector"),)
        read = run.tokens * self.inputs * run.width
        run.add(
            self.name,
            self.component,
            "convolution",
            flops=2 * run.tokens * self.outputs * (self.inputs // self.groups) * self.kernel,
            reads=read,
            writes=run.tokens * self.outputs * run.width,
            weights=weights,
            saved=read,
        )


@dataclass(frozen=True)
class DynamicConvolution(Part):
    """Every token weighs its neighbours with a kernel of its own, one for each head (ConvBERT, arXiv:2008.02496)."""

    size: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN, "kernel": KERNEL}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.size * run.width
        run.add(
            self.name,
            "attention",
            "matmul",
            flops=2 * run.tokens * self.size * self.kernel,
            reads=elements * self.kernel,
            writes=elements,
            saved=elements * self.kernel,
            split=HEAD,
        )


@dataclass(frozen=True)
class GroupedLinear(Part):
    """A projection in groups of features that do not mix, stored as [groups, inputs, outputs] of a group."""

    inputs: int
    outputs: int
    groups: int
    component: str = "mlp"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

    def write(self, run: Run) -> None:
        shape = (self.groups, self.inputs // self.groups, self.outputs // self.groups)
        weights = (
            Weight(f"{self.name}.weight", shape, "linear"),
            Weight(f"{self.name}.bias", (self.outputs,), "vector"),
        )
        read = run.tokens * self.inputs * run.width
        run.add(
            self.name,
            self.component,
            "matmul",
            flops=2 * run.tokens * (self.inputs // self.groups) * self.outputs,
            reads=read,
            writes=run.tokens * self.outputs * run.width,
            weights=weights,
            saved=read,
        )
