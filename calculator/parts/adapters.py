"""What parameter-efficient fine-tuning adds to a matrix: LoRA's two narrow ones (arXiv:2106.09685), and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, elementwise, project
from calculator.parts.symbols import INPUTS, OUTPUTS
from calculator.record.run import Run
from calculator.record.split import COLUMN, REPLICATED, ROW, Split


@dataclass(frozen=True)
class LowRank(Part):
    """An unmerged LoRA beside the matrix `name`: down to `rank` features and up again, added to its output.

    Attributes:
        magnitude: DoRA's vector over the outputs (arXiv:2402.09353). bias: the second matrix has one.
        lookup: of an embedding, whose first matrix is a table.
        row: the matrix is divided by its inputs on tensor-parallel devices, and so is the first of the pair.
        experts: (top_k, of) where every expert has such a pair, () where the matrix is no expert's.
    """

    inputs: int
    outputs: int
    rank: int
    magnitude: bool = False
    bias: bool = False
    lookup: bool = False
    experts: tuple[int, ...] = ()
    component: str = "attention"
    row: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "rank": Symbol("r_a", "rank of an adapter (LoRA)"),
    }

    def write(self, run: Run) -> None:
        if self.experts:
            self._write_experts(run)
            return
        if self.lookup:
            table = (Weight(self.path("lora_embedding_A"), (self.rank, self.inputs), "adapter"),)
            rows = run.tokens * self.rank * run.width
            run.add(self.path("lora_A"), self.component, "lookup", writes=rows, weights=table, weight_reads=rows)
        else:
            project(
                run, self.path("lora_A"), self.inputs, self.rank, component=self.component, role="adapter",
                saves_input=False, split=ROW if self.row else REPLICATED,
            )  # fmt: skip
        up = self.path("lora_embedding_B" if self.lookup else "lora_B")
        split = REPLICATED if self.row else COLUMN
        project(run, up, self.rank, self.outputs, component=self.component, role="adapter", bias=self.bias, split=split)
        elementwise(run, self.path("lora_add"), self.component, run.tokens * self.outputs, 1, inputs=2)
        if self.magnitude:
            vector = (Weight(self.path("lora_magnitude_vector.weight"), (self.outputs,), "vector"),)
            run.add(self.path("lora_magnitude_vector"), self.component, "elementwise", weights=vector)

    def _write_experts(self, run: Run) -> None:
        used, count = self.experts
        rows = run.expert_rows(count, used)
        for name, shape in (("lora_A", (self.rank, self.inputs)), ("lora_B", (self.outputs, self.rank))):
            # A star in the name stands for the expert's number; experts packed into one tensor have one adapter's.
            each = self.path(name) if "*" in self.name else f"{self.path(name)}.*"
            weight = Weight(f"{each}.weight", shape, "adapter", count)
            run.add(
                self.path(name).replace(".*", ""),
                "experts",
                "matmul",
                flops=2 * rows * shape[0] * shape[1],
                reads=rows * shape[1] * run.width,
                writes=rows * shape[0] * run.width,
                weights=(weight,),
                active_share=(used, count),
                weight_reads=run.bytes_of(weight) * run.experts_touched(count, used) // count,
                saved=rows * shape[1] * run.width,
                split=Split("expert", ((1, count),)),
            )
