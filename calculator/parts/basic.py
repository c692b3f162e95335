"""Embeddings, heads, residual additions, projections that stand alone: what every architecture is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import SOFTMAX_FLOPS, Part, input_of, project
from calculator.parts.symbols import HIDDEN, INPUTS, OUTPUTS
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import JOIN, LOOKUP, REPLICATED, VOCABULARY


@dataclass(frozen=True)
class Linear(Part):
    """A projection that stands alone (OPT-350m's project_in and project_out, a multimodal projector).

    Attributes:
        tensor: the matrix's name inside the module (Gemma 3: multi_modal_projector.mm_input_projection_weight).
    """

    inputs: int
    outputs: int
    bias: bool = False
    component: str = "embedding"
    tensor: str = "weight"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"inputs": INPUTS, "outputs": OUTPUTS}

    def write(self, run: Run) -> None:
        project(
            run,
            self.name,
            self.inputs,
            self.outputs,
            component=self.component,
            bias=self.bias,
            split=REPLICATED,
            tensor=self.tensor,
        )


@dataclass(frozen=True)
class Residual(Part):
    """The addition of a branch to the residual stream."""

    size: int
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.size
        run.add(
            self.name,
            "norm",
            "elementwise",
            flops=elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            saved=elements if self.dropout else 0,  # one byte of dropout mask an element
            stream=0,
            split=JOIN,
            launches=0,  # added in the kernel of the norm that follows
        )


@dataclass(frozen=True)
class Embedding(Part):
    """The token embedding: a lookup of one row a token. The whole matrix is held, one row a token is read.

    Attributes:
        tied: another stack holds the matrix (a decoder that shares its encoder's).
        tables: the tensors that hold the rows, (name, shape), where they are more than one (Molmo 2, IDEFICS).
    """

    vocabulary: int
    size: int
    tied: bool = False
    tables: tuple[tuple[str, tuple[int, int]], ...] = ()
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"vocabulary": Symbol("V", "vocabulary"), "size": HIDDEN}

    def write(self, run: Run) -> None:
        rows = run.tokens * self.size * run.width
        tables = self.tables or (("weight", (self.vocabulary, self.size)),)
        run.add(
            self.name,
            "embedding",
            "lookup",
            writes=rows,
            weights=tuple(Weight(self.path(name), shape, "embedding") for name, shape in tables),
            weight_reads=rows,
            split=LOOKUP,
            tied=self.tied,
            stream=0,
            launches=0,
        )


@dataclass(frozen=True)
class Positions(Part):
    """Learned absolute positions, added to the token embedding."""

    length: int
    size: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"length": Symbol("P", "learned positions"), "size": HIDDEN}

    def write(self, run: Run) -> None:
        rows = run.tokens * self.size * run.width
        run.add(
            self.name,
            "embedding",
            "lookup",
            flops=run.tokens * self.size,
            reads=rows,
            writes=rows,
            weights=(Weight(f"{self.name}.weight", (self.length, self.size), "embedding"),),
            weight_reads=rows,
            stream=0,
        )


@dataclass(frozen=True)
class Head(Part):
    """The output projection to the vocabulary, and in pretraining the cross-entropy over its logits.

    A tied head reads the embedding matrix and holds nothing of its own. Only the positions whose logits are wanted
    reach it. The loss keeps the log-probabilities in 32 bit for the backward pass.

    Attributes:
        bias_name: where the bias is, if not in the head's own module (BERT: cls.predictions.bias).
        tables: the tensors that hold the rows, (name, shape), where they are more than one (IDEFICS).
    """

    vocabulary: int
    size: int
    tied: bool = False
    bias: bool = False
    bias_name: str = ""
    tables: tuple[tuple[str, tuple[int, int]], ...] = ()
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"vocabulary": Symbol("V", "vocabulary"), "size": HIDDEN}

    def write(self, run: Run) -> None:
        rows = run.batch * run.steps if run.last_logits else run.tokens
        tables = self.tables or (("weight", (self.vocabulary, self.size)),)
        weights = tuple(Weight(self.path(name), shape, "head") for name, shape in tables)
        read, logits = rows * self.size * run.width, rows * self.vocabulary
        run.add(
            self.name,
            "head",
            "matmul",
            flops=2 * rows * self.size * self.vocabulary,
            reads=read,
            writes=logits * run.width,
            weights=weights,
            saved=input_of(run, self.name, rows * self.size, self.vocabulary * self.size, VOCABULARY, True)
            if run.saving
            else 0,
            split=VOCABULARY,
            tied=self.tied,
            stream=0,
        )
        if self.bias:
            bias = (Weight(self.bias_name or f"{self.name}.bias", (self.vocabulary,), "vector"),)
            run.add(f"{self.name}.bias", "head", "elementwise", flops=logits, weights=bias, split=VOCABULARY, stream=0)
        if run.training:
            run.add(
                "loss",
                "head",
                "elementwise",
                flops=SOFTMAX_FLOPS * logits,
                reads=logits * run.width,
                writes=rows * 4,
                saved=_logits(run, logits) if run.saving else 0,
                workspace=logits * 4,
                stream=0,
                split=VOCABULARY,
            )


def _logits(run: Run, logits: Number) -> tuple[Saved, ...]:
    """The log-probabilities in 32 bit; compiled kernels keep the logits and compute them again."""
    found = [
        Saved(
            "log-probabilities", 4 * logits, run.width * logits, 4 * logits, 4 * logits, need="input", region="tensor"
        )
    ]
    if run.modules.capped:
        found.append(Saved("capped logits", 0, 0, run.width * logits, 2 * logits, need="input", region="tensor"))
    return tuple(found)


@dataclass(frozen=True)
class VectorWeights(Part):
    """Parameters of a module that are no projection: sinks, per-layer scalars. `shapes` are (name, shape).

    Attributes:
        role: "buffer" for tensors that no published count includes (Gemma 4's layer_scalar).
        idle: they are held and not read (LUKE's entities).
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    component: str = "attention"
    role: str = "vector"
    idle: bool = False

    def write(self, run: Run) -> None:
        weights = tuple(Weight(self.path(name), shape, self.role) for name, shape in self.shapes)
        run.add(
            self.name, self.component, "elementwise", weights=weights, weight_reads=0 if self.idle else None, stream=0
        )


@dataclass(frozen=True)
class Idle(Part):
    """Matrices that the checkpoint holds and this pass does not run: GPT-2's cross-attention without an encoder.
    `shapes` are (name, [outputs, inputs]).

    Attributes:
        active: False where no token touches them (ERNIE 4.5 VL's experts for images).
    """

    shapes: tuple[tuple[str, tuple[int, int]], ...]
    bias: bool = False
    component: str = "attention"
    active: bool = True

    def write(self, run: Run) -> None:
        for name, shape in self.shapes:
            weights: tuple[Weight, ...] = (Weight(f"{self.path(name)}.weight", shape, "linear"),)
            if self.bias:
                weights += (Weight(f"{self.path(name)}.bias", shape[:1], "vector"),)
            share = None if self.active else (0, 1)
            run.add(
                self.path(name), self.component, "matmul", weights=weights, active_share=share, weight_reads=0, stream=0
            )
