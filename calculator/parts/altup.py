"""What Gemma 3n adds to a layer: alternating updates of several residual streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, project
from calculator.parts.norm import Norm
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run
from calculator.record.split import REPLICATED


@dataclass(frozen=True)
class AltUp(Part):
    """AltUp (arXiv:2301.13310): `streams` residual streams, of which the layer proper computes one. Before the layer
    all are predicted from all; after it (`correcting`) each is corrected by what the layer changed."""

    hidden: int
    streams: int
    correcting: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "streams": Symbol("n_a", "residual streams of AltUp")}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.hidden * self.streams
        if not self.correcting:
            Norm(self.path("router_norm"), self.hidden).write(run)
        router = (Weight(self.path("modality_router.weight"), (self.streams, self.hidden), "linear"),)
        run.add(
            self.path("correct_router" if self.correcting else "modality_router"),
            "mlp",
            "matmul",
            flops=2 * elements,
            reads=run.tokens * self.hidden * run.width,
            writes=run.tokens * self.streams * run.width,
            weights=router,
            saved=run.tokens * self.hidden * run.width,
            tied=self.correcting,
            stream=0,
        )
        if self.correcting:
            project(run, self.path("correction_coefs"), self.streams, self.streams, component="mlp", split=REPLICATED)
            scale = (Weight(self.path("correct_output_scale"), (self.hidden,), "vector"),)
            run.add(
                self.path("correct"),
                "mlp",
                "elementwise",
                flops=3 * elements,
                reads=2 * elements * run.width,
                writes=elements * run.width,
                saved=elements * run.width,
                weights=scale,
                stream=0,
            )
            return
        project(
            run,
            self.path("prediction_coefs"),
            self.streams,
            self.streams * self.streams,
            component="mlp",
            split=REPLICATED,
        )
        run.add(
            self.path("predict"),
            "mlp",
            "matmul",
            flops=2 * elements * self.streams,
            reads=elements * run.width,
            writes=elements * run.width,
            saved=elements * run.width,
            stream=0,
        )
