"""The gated short convolution of LFM2, and linear attention with a fixed decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.parts.attention import rotate
from calculator.parts.basic import Norm, Part, project
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
    output (MiniMax-01, arXiv:2501.08313).

    Attributes:
        names: of the packed projection, the norm, the gate and the output projection.
        head_norms: names of RMSNorms shared by the heads of queries and keys; rotary: their rotated elements (Ring).
    """

    hidden: int
    heads: int
    head_dim: int
    names: tuple[str, str, str, str] = ("qkv_proj", "norm", "output_gate", "out_proj")
    head_norms: tuple[str, ...] = ()
    rotary: int = 0
    SYMBOLS: ClassVar[dict[str, str]] = {"hidden": "d", "heads": "n_h", "head_dim": "d_h"}

    def write(self, run: Run) -> None:
        inner = self.heads * self.head_dim
        packed, norm, gate, out = map(self.path, self.names)
        project(run, packed, self.hidden, 3 * inner, component="recurrent")
        for name in self.head_norms:
            Norm(self.path(name), self.head_dim, groups=self.heads).write(run)
        if self.rotary:
            rotate(run, self.path("rotary"), 2 * self.heads * self.rotary)
        scan(run, self.path("scan"), inner * self.head_dim, SSD_FLOPS, 3 * inner, inner, run.width)
        Norm(norm, inner).write(run)
        project(run, gate, self.hidden, inner, component="recurrent", saves_input=False)
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
        project(run, out, inner, self.hidden, component="recurrent", split="row")
