"""What stands before the layers of an encoder of sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, activation
from calculator.parts.norm import Norm
from calculator.parts.symbols import INPUTS, OUTPUTS
from calculator.record.run import Run


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
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

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
            stream=0,
        )
        if self.norm:
            Norm(self.norm, self.outputs, "layer", True).write_rows(run, rows)
        size = self.outputs // 2 if self.gated else self.outputs
        activation(run, f"{self.name}.activation", rows, size, gated=self.gated, component="embedding", stream=0)
