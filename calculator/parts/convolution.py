"""The gated short convolution of LFM2, and linear attention with a fixed decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.operation import Weight
from calculator.parts.basic import Norm, Part, activation, project
from calculator.parts.recurrent import SSD_FLOPS, scan, short_convolution
from calculator.run import Run


@dataclass(frozen=True)
class GatedConvolution(Part):
    """One projection makes a gate, a second gate and an input; the input is gated, convolved, and gated again
    (LFM2, arXiv:2511.23404)."""

    hidden: int
    kernel: int
    bias: bool = False
    SYMBOLS: ClassVar[dict[str, str]] = {"hidden": "d"}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.hidden
        project(run, self.path("in_proj"), self.hidden, 3 * self.hidden, component="recurrent", bias=self.bias)
        for name in ("input_gate", "output_gate"):
            if name == "output_gate":
                short_convolution(run, self.path("conv"), self.hidden, self.kernel, bias=self.bias, activated=False)
            run.add(
                self.path(name),
                "recurrent",
                "elementwise",
                flops=elements,
                reads=2 * elements * run.width,
                writes=elements * run.width,
                saved=2 * elements * run.width,
                split="head",
            )
        project(
            run, self.path("out_proj"), self.hidden, self.hidden, component="recurrent", bias=self.bias, split="row"
        )


@dataclass(frozen=True)
class LightningAttention(Part):
    """Linear attention whose state decays at a fixed rate per head (arXiv:2401.04658), with a norm and a gate on its
    output (MiniMax-01, arXiv:2501.08313)."""

    hidden: int
    heads: int
    head_dim: int
    SYMBOLS: ClassVar[dict[str, str]] = {"hidden": "d", "heads": "n_h", "head_dim": "d_h"}

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        project(run, self.path("qkv_proj"), self.hidden, 3 * inner, component="recurrent")
        scan(run, self.path("scan"), inner * self.head_dim, SSD_FLOPS, 3 * inner, inner, run.width)
        Norm(self.path("norm"), inner).write(run)
        project(run, self.path("output_gate"), self.hidden, inner, component="recurrent", saves_input=False)
        elements = run.tokens * inner
        run.add(
            self.path("gate"),
            "recurrent",
            "elementwise",
            flops=5 * elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            saved=2 * elements * run.width,
            split="head",
        )
        project(run, self.path("out_proj"), inner, self.hidden, component="recurrent", split="row")


@dataclass(frozen=True)
class AudioConvolution(Part):
    """A convolution along time before the layers of an encoder of sound. It makes `stretch` positions for each token of
    the encoder and `more` once, which the later ones bring down to one a token.

    Attributes:
        gated: half of the outputs gate the other half (GLU, arXiv:1612.08083).
        first: it reads the sound, which needs no gradient.
        norm: name of a GroupNorm over all of its result.
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    stretch: int = 1
    more: int = 0
    bias: bool = True
    gated: bool = False
    first: bool = False
    norm: str = ""
    SYMBOLS: ClassVar[dict[str, str]] = {"inputs": "d_in", "outputs": "d_out"}

    def write(self, run: Run) -> None:
        rows = run.batch * (run.queries * self.stretch + self.more)
        weights: tuple[Weight, ...] = (
            Weight(f"{self.name}.weight", (self.outputs, self.inputs, self.kernel), "convolution"),
        )
        if self.bias:
            weights += (Weight(f"{self.name}.bias", (self.outputs,), "vector"),)
        read = rows * self.stride * self.inputs * run.width
        run.add(
            self.name,
            "embedding",
            "convolution",
            flops=2 * rows * self.inputs * self.outputs * self.kernel,
            reads=read,
            writes=rows * self.outputs * run.width,
            weights=weights,
            saved=read,
            input_gradient=not self.first,
        )
        if self.norm:
            Norm(self.norm, self.outputs, "layer", True).write_rows(run, rows)
        size = self.outputs // 2 if self.gated else self.outputs
        activation(run, f"{self.name}.activation", rows, size, gated=self.gated, component="embedding", stream=0)
