"""Projections, norms, embeddings, heads: what every architecture is made of, and the base class of all parts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from calculator.errors import ConfigError, shown
from calculator.formats.weight import Weight
from calculator.limits import part_made
from calculator.numbers.symbolic import Expression, Number
from calculator.record.run import Run

RMS_NORM_FLOPS = 4  # per element: square, accumulate, scale by 1/rms, scale by the weight
LAYER_NORM_FLOPS = 7  # per element: accumulate, centre, square, accumulate, scale by 1/std, weight, bias
SCALE_FLOPS = 2  # per element: weight, bias
ACTIVATION_FLOPS = 5  # per element: SiLU as exp, add, divide, multiply; GELU's tanh form is of the same size
SOFTMAX_FLOPS = 5  # per score: scale, maximum, subtract, exp, divide (the sum rides on the accumulate)
HEAD_SYMBOLS = {"hidden": "d", "heads": "n_h", "kv_heads": "n_kv", "head_dim": "d_h"}  # of every attention
ROTARY_FLOPS = 3  # per rotated element: two multiplies and an add (RoFormer, arXiv:2104.09864)


@cache
def _sizes(part: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a kind of part that hold whole numbers, and whether they may be left out."""
    return tuple((f.name, f.type != "int") for f in fields(part) if f.type in ("int", "int | None"))


@dataclass(frozen=True)
class Part:
    """A frozen description of one module. `name` is its path inside the layer, as the checkpoint spells it.

    Whole-number fields may be replaced by symbols (`SYMBOLS` names them) to print formulas.
    """

    name: str
    SYMBOLS: ClassVar[dict[str, str]] = {}

    def __post_init__(self) -> None:
        part_made()
        kind: Any = type(self)
        for name, optional in _sizes(kind):
            value = getattr(self, name)
            if isinstance(value, Expression) or (value is None and optional):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(
                    f"{type(self).__name__} {self.name}: {name} is {shown(value)}; it must be a whole number, 0 or "
                    "more."
                )

    def write(self, run: Run) -> None:
        """Append this part's operations to the run."""
        raise TypeError(f"{type(self).__name__} writes no operations")

    def path(self, child: str) -> str:
        return f"{self.name}.{child}" if self.name and child else self.name or child


def project(
    run: Run,
    name: str,
    inputs: Number,
    outputs: Number,
    *,
    component: str,
    bias: bool = False,
    role: str = "linear",
    split: str = "column",
    tokens: Number | None = None,
    saves_input: bool = True,
    stream: bool = True,
    tensor: str = "weight",
    idle: bool = False,
) -> None:
    """A matrix product of `tokens` rows with an [outputs, inputs] matrix: 2·tokens·inputs·outputs FLOPs.

    Where several projections read one tensor (q, k and v), only the first saves it for the backward pass. A bias is
    added inside the product's kernel and, as in torch's counter, is not counted as FLOPs. An `idle` one is held and
    does not run.
    """
    rows = run.tokens if tokens is None else tokens
    weights: tuple[Weight, ...] = (Weight(f"{name}.{tensor}", (outputs, inputs), role),)
    if bias:
        weights += (Weight(f"{name}.bias", (outputs,), "vector"),)
    read = rows * inputs * run.width
    run.add(
        name,
        component,
        "matmul",
        flops=2 * rows * inputs * outputs,
        reads=read,
        writes=rows * outputs * run.width,
        weights=weights,
        saved=read if saves_input else 0,
        stream=run.stream if stream else 0,
        split=split,
        weight_reads=0 if idle else None,
    )


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
    SYMBOLS: ClassVar[dict[str, str]] = {"inputs": "d_in", "outputs": "d_out"}

    def write(self, run: Run) -> None:
        project(
            run,
            self.name,
            self.inputs,
            self.outputs,
            component=self.component,
            bias=self.bias,
            split="replicated",
            tensor=self.tensor,
        )


@dataclass(frozen=True)
class Norm(Part):
    """RMSNorm (arXiv:1910.07467) or LayerNorm over `size` features, `groups` times per token (per-head norms); of the
    kind "scale" only its weight and bias (MobileBERT's NoNorm).

    Attributes:
        weight_shape: shape of the scale where it is not [size] (Cohere keeps one scale per head).
        copies: tensors of that shape the scale is stored as.
        shares_input: another part keeps the same input for the backward pass.
    """

    size: int
    kind: str = "rms"
    bias: bool = False
    groups: int = 1
    affine: bool = True
    weight_shape: tuple[int, ...] | None = None
    shares_input: bool = False
    copies: int = 1
    SYMBOLS: ClassVar[dict[str, str]] = {"size": "d", "groups": "n"}

    def write(self, run: Run) -> None:
        self.write_rows(run, run.tokens)

    def write_rows(self, run: Run, rows: Number) -> None:
        """The norm of so many rows, where they are not the pass's tokens."""
        elements = rows * self.groups * self.size * run.width
        shape = self.weight_shape or (self.size,)
        weights: tuple[Weight, ...] = ()
        if self.affine:
            weights = (Weight(f"{self.name}.weight", shape, "norm", self.copies),)
        if self.bias and self.affine:
            weights += (Weight(f"{self.name}.bias", shape, "norm"),)
        per_element = {"rms": RMS_NORM_FLOPS, "scale": SCALE_FLOPS}.get(self.kind, LAYER_NORM_FLOPS)
        run.add(
            self.name,
            "norm",
            "elementwise",
            flops=per_element * rows * self.groups * self.size,
            reads=elements,
            writes=elements,
            weights=weights,
            saved=0 if self.shares_input else elements,
        )


@dataclass(frozen=True)
class GatedNorm(Part):
    """RMSNorm whose output is scaled by the sigmoid of a small MLP of it, two matrices of `rank` (A.X-K2)."""

    size: int
    rank: int
    SYMBOLS: ClassVar[dict[str, str]] = {"size": "d", "rank": "r_n"}

    def write(self, run: Run) -> None:
        Norm(self.path("norm"), self.size).write(run)
        project(run, self.path("W_down"), self.size, self.rank, component="norm", split="replicated")
        activation(run, self.path("act"), run.tokens, self.rank, gated=False, component="norm", stream=run.stream)
        project(run, self.path("W_up"), self.rank, self.size, component="norm", split="replicated", saves_input=False)
        elements = run.tokens * self.size
        elementwise(run, self.path("gate"), "norm", elements, 5, inputs=2)


@dataclass(frozen=True)
class Residual(Part):
    """The addition of a branch to the residual stream."""

    size: int
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, str]] = {"size": "d"}

    def write(self, run: Run) -> None:
        elements = run.tokens * self.size
        run.add(
            self.name,
            "norm",
            "elementwise",
            flops=elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            saved=elements if self.dropout and run.training else 0,  # one byte of dropout mask an element
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
    SYMBOLS: ClassVar[dict[str, str]] = {"vocabulary": "V", "size": "d"}

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
            split="vocabulary",
            tied=self.tied,
        )


@dataclass(frozen=True)
class Positions(Part):
    """Learned absolute positions, added to the token embedding."""

    length: int
    size: int
    SYMBOLS: ClassVar[dict[str, str]] = {"length": "P", "size": "d"}

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
    SYMBOLS: ClassVar[dict[str, str]] = {"vocabulary": "V", "size": "d"}

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
            saved=read,
            split="vocabulary",
            tied=self.tied,
        )
        if self.bias:
            bias = (Weight(self.bias_name or f"{self.name}.bias", (self.vocabulary,), "vector"),)
            run.add(f"{self.name}.bias", "head", "elementwise", flops=logits, weights=bias, split="vocabulary")
        if run.training:
            run.add(
                "loss",
                "head",
                "elementwise",
                flops=SOFTMAX_FLOPS * logits,
                reads=logits * run.width,
                writes=rows * 4,
                saved=logits * 4,
                workspace=logits * 4,
            )


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
        run.add(self.name, self.component, "elementwise", weights=weights, weight_reads=0 if self.idle else None)


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
            run.add(self.path(name), self.component, "matmul", weights=weights, active_share=share, weight_reads=0)


def elementwise(
    run: Run, name: str, component: str, elements: Number, per_element: int, *, inputs: int = 1, **more: Any
) -> None:
    """One number from the same place of each of `inputs` tensors, with `per_element` FLOPs; the backward pass needs all
    that is read."""
    read = inputs * elements * run.width
    run.add(
        name,
        component,
        "elementwise",
        flops=per_element * elements,
        reads=read,
        writes=elements * run.width,
        saved=read,
        **more,
    )


def activation(run: Run, name: str, rows: Number, size: Number, *, gated: bool, component: str, stream: Number) -> None:
    """The nonlinearity between two projections, for a gated one with the product: reads gate and up, writes one."""
    inputs = rows * size * (2 if gated else 1) * run.width
    run.add(
        name,
        component,
        "elementwise",
        flops=rows * size * (ACTIVATION_FLOPS + (1 if gated else 0)),
        reads=inputs,
        writes=rows * size * run.width,
        saved=inputs,
        stream=stream,
        split="column",
    )


def check(value: Any, sentence: str) -> None:
    """Raise ConfigError with the sentence unless the value is true."""
    if not value:
        raise ConfigError(sentence)
