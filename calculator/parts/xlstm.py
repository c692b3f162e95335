"""The mLSTM cell of xLSTM: linear attention whose matrix memory is written and forgotten by exponential gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, LAYER_NORM_FLOPS, Part, elementwise, project
from calculator.parts.recurrent import state_bytes
from calculator.parts.symbols import HEADS, HIDDEN, VALUE_DIM
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW

# Per element of the matrix memory: f·C (1), k ⊗ i·v (1), their sum (1), q·C (2); of the normalizer: f·n (1), + i·k (2),
# q·n (2); arXiv:2405.04517, equations 19 to 27.
MEMORY_FLOPS = 5


@dataclass(frozen=True)
class MatrixLSTM(Part):
    """Queries and keys of `keys` features and values of `values`, an input and a forget gate for each head, a norm of
    each head's output and a sigmoid gate on it (xLSTM 7B, arXiv:2503.13427). A sequence's state is, for each head, a
    matrix, a vector and a scalar, of `state_width` bytes an element.

    Attributes:
        fused: q, k, v and the output's gate are one projection, the two other gates another.
    """

    hidden: int
    heads: int
    keys: int
    values: int
    bias: bool = False
    fused: bool = False
    state_width: int = 4
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "keys": Symbol("d_qk", "size of a query and a key of an xLSTM head"),
        "values": VALUE_DIM,
    }

    def write(self, run: Run) -> None:
        wide = (("q", self.keys), ("k", self.keys), ("v", self.values), ("ogate_preact", self.values))
        gates = (("igate_preact", self.heads), ("fgate_preact", self.heads))
        if self.fused:
            wide = (("qkv_opreact", sum(size for _, size in wide)),)  # type: ignore[assignment]
            gates = (("ifgate_preact", 2 * self.heads),)  # type: ignore[assignment]
        for name, size in (*wide, *gates):
            project(
                run,
                self.path(name),
                self.hidden,
                size,
                component="recurrent",
                bias=self.bias or "fgate" in name or "igate" in name,
                saves_input=name == wide[0][0],
            )
        key_dim = self.keys // self.heads
        matrix, vector = key_dim * self.values, self.keys
        inputs, outputs = run.tokens * (2 * self.keys + self.values + 2 * self.heads), run.tokens * self.values
        run.add(
            self.path("scan"),
            "recurrent",
            "scan",
            flops=MEMORY_FLOPS * run.tokens * (matrix + vector),
            reads=inputs * run.width,
            writes=outputs * run.width,
            cache=state_bytes(run, matrix + vector + self.heads, self.state_width),
            saved=inputs * run.width,
            stream=run.stream + outputs * run.width,
            split=HEAD,
        )
        norm = self.path("multihead_norm")
        names = ("weight", "bias") if self.bias else ("weight",)
        elementwise(
            run,
            norm,
            "norm",
            outputs,
            LAYER_NORM_FLOPS + ACTIVATION_FLOPS + 1,
            inputs=2,
            weights=tuple(Weight(f"{norm}.{n}", (self.values,), "norm") for n in names),
        )
        project(run, self.path("out_proj"), self.values, self.hidden, component="recurrent", bias=self.bias, split=ROW)
