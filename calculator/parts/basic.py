"""Projections, norms, embeddings, heads: what every architecture is made of, and the base class of all parts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from calculator.errors import ConfigError, shown
from calculator.formats.weight import Weight
from calculator.limits import part_made
from calculator.numbers.symbolic import Expression, Number
from calculator.numbers.symbols import Symbol
from calculator.parts.symbols import HIDDEN, INPUTS, OUTPUTS
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import COLUMN, INNER, JOIN, LOOKUP, REPLICATED, VOCABULARY, Split

RMS_NORM_FLOPS = 4  # per element: square, accumulate, scale by 1/rms, scale by the weight
LAYER_NORM_FLOPS = 7  # per element: accumulate, centre, square, accumulate, scale by 1/std, weight, bias
SCALE_FLOPS = 2  # per element: weight, bias
ACTIVATION_FLOPS = 5  # per element: SiLU as exp, add, divide, multiply; GELU's tanh form is of the same size
SOFTMAX_FLOPS = 5  # per score: scale, maximum, subtract, exp, divide (the sum rides on the accumulate)
Pieces = tuple[tuple[Number, Number], ...]
ROTARY_FLOPS = 3  # per rotated element: two multiplies and an add (RoFormer, arXiv:2104.09864)


@cache
def _sizes(part: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of a kind of part that hold whole numbers, and whether they may be left out."""
    return tuple((f.name, f.type != "int") for f in fields(part) if f.type in ("int", "int | None"))


@dataclass(frozen=True)
class Part:
    """A frozen description of one module. `name` is its path inside the layer, as the checkpoint spells it.

    Whole-number fields may be replaced by symbols (`SYMBOLS` names them) to print formulas.

    Attributes:
        MEASURED: its sizes are read off the tensors of a file, which no rule between counts can contradict.
    """

    name: str
    SYMBOLS: ClassVar[dict[str, Symbol]] = {}
    MEASURED: ClassVar[bool] = False

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
    split: Split = COLUMN,
    pieces: Number | Pieces = 0,
    kernel: str = "",
    tokens: Number | None = None,
    saves_input: bool = True,
    need: str = "weight",
    stream: Number | None = None,
    tensor: str = "weight",
    idle: bool = False,
) -> None:
    """A matrix product of `tokens` rows with an [outputs, inputs] matrix: 2·tokens·inputs·outputs FLOPs.

    Where several projections read one tensor (q, k and v), only the first saves it for the backward pass; under
    autocast each keeps a cast of its own; `need` is "both" where what made the input keeps it, too. A bias is added
    inside the product's kernel and, as in torch's counter, is not counted as FLOPs. An `idle` one is held and
    does not run. `pieces` of the divided side stay whole on a device: a number, or (features, pieces) of each of
    several that are fused.
    """
    rows = run.tokens if tokens is None else tokens
    weights: tuple[Weight, ...] = ()
    if name not in run.steps_made:
        weights = (Weight(f"{name}.{tensor}", (outputs, inputs), role),)
        if bias:
            weights += (Weight(f"{name}.bias", (outputs,), "vector"),)
        if pieces:
            split = Split(split.kind, pieces if isinstance(pieces, tuple) else ((1, pieces),))
    read = rows * inputs * run.width
    run.add(
        name,
        component,
        "matmul",
        flops=2 * rows * inputs * outputs,
        reads=read,
        writes=rows * outputs * run.width,
        weights=weights,
        saved=_input_of(run, name, rows * inputs, inputs * outputs, split, saves_input, need) if run.saving else 0,
        stream=stream,
        split=split,
        kernel=kernel,
        weight_reads=0 if idle else None,
    )


def _input_of(
    run: Run, name: str, elements: Number, matrix: Number, split: Split, saves: bool, need: str = "weight"
) -> tuple[Saved, ...]:
    """What a projection keeps: its input where no other does, and under autocast a 16-bit cast of the input and of the
    matrix for each projection."""
    region = "tensor" if split.input == "sharded" else "sequence"
    once = elements * run.width if saves else 0
    return (
        Saved(f"{name}.input", once, once, once, 2 * elements, need, region),
        Saved(f"{name}.cast", autocast=2 * matrix, need="input", region="tensor", fixed=True),
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
class Norm(Part):
    """RMSNorm (arXiv:1910.07467) or LayerNorm over `size` features, `groups` times per token (per-head norms); of the
    kind "scale" only its weight and bias (MobileBERT's NoNorm).

    Attributes:
        weight_shape: shape of the scale where it is not [size] (Cohere keeps one scale per head).
        copies: tensors of that shape the scale is stored as.
        shares_input: another part keeps the same input for the backward pass.
        kernel: the kernel it runs in with others (the norms of queries and keys).
    """

    size: int
    kind: str = "rms"
    bias: bool = False
    groups: int = 1
    affine: bool = True
    weight_shape: tuple[int, ...] | None = None
    shares_input: bool = False
    copies: int = 1
    kernel: str = ""
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "size": HIDDEN,
        "groups": Symbol("n", "normalised groups of a per-head norm"),
    }

    def write(self, run: Run) -> None:
        self.write_rows(run, run.tokens)

    def write_rows(self, run: Run, rows: Number) -> None:
        """The norm of so many rows, where they are not the pass's tokens."""
        elements = rows * self.groups * self.size * run.width
        weights: tuple[Weight, ...] = ()
        if self.affine and self.name not in run.steps_made:
            shape = self.weight_shape or (self.size,)
            weights = (Weight(f"{self.name}.weight", shape, "norm", self.copies),)
            if self.bias:
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
            saved=self._kept(run, rows * self.groups) if run.saving else 0,
            stream=0,
            kernel=self.kernel,
        )

    def _kept(self, run: Run, rows: Number) -> tuple[Saved, ...]:
        """Its input, the statistics of each row in 32 bit and, of modules that compute an RMSNorm on a 32-bit copy,
        what the scale's gradient needs."""
        once = 0 if self.shares_input else rows * self.size
        if self.kind != "rms":
            copy = (0, 8 * rows, 8 * rows, 8 * rows) if self.kind == "layer" else (0, 0, 0, 0)
            width = run.width * once
            return (Saved(f"{self.name}.input", width, width, width, 4 * once), Saved(f"{self.name}.statistics", *copy))
        found = [
            Saved(f"{self.name}.input", once * run.width, once * run.width, 4 * rows * self.size, 4 * rows * self.size),
            Saved(f"{self.name}.statistics", 0, 4 * rows, 4 * rows, 4 * rows),
        ]
        if not self.affine:
            return tuple(found)
        scaled, narrow = rows * self.size, run.modules.norms == "narrow"
        # Under autocast the residual stream is in 32 bit, what a projection made in 16.
        stream = self.groups == 1 and self.size == run.residual
        plain, cast = (run.width, 4 if stream else 2) if narrow else (4, 4)
        found.append(Saved(f"{self.name}.normalised", 0, 0, scaled * plain, scaled * cast, "weight"))
        if run.modules.norms == "one plus":  # 1 + w in 32 bit
            found.append(Saved(f"{self.name}.scale", 0, 0, 4 * self.size, 4 * self.size, "input", fixed=True))
        return tuple(found)


@dataclass(frozen=True)
class GatedNorm(Part):
    """RMSNorm whose output is scaled by the sigmoid of a small MLP of it, two matrices of `rank` (A.X-K2)."""

    size: int
    rank: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN, "rank": Symbol("r_n", "rank of a norm's gate")}

    def write(self, run: Run) -> None:
        Norm(self.path("norm"), self.size).write(run)
        project(run, self.path("W_down"), self.size, self.rank, component="norm", split=REPLICATED)
        activation(run, self.path("act"), run.tokens, self.rank, gated=False, component="norm", stream=run.stream)
        project(run, self.path("W_up"), self.rank, self.size, component="norm", split=REPLICATED, saves_input=False)
        elements = run.tokens * self.size
        elementwise(run, self.path("gate"), "norm", elements, 5, inputs=2, stream=0)


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
            saved=_input_of(run, self.name, rows * self.size, self.vocabulary * self.size, VOCABULARY, True)
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
    found = [Saved("log-probabilities", 4 * logits, run.width * logits, 4 * logits, 4 * logits, "input", "tensor")]
    if run.modules.capped:
        found.append(Saved("capped logits", 0, 0, run.width * logits, 2 * logits, "input", "tensor"))
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


def activation(
    run: Run, name: str, rows: Number, size: Number, *, gated: bool, component: str, stream: Number | None = None
) -> None:
    """The nonlinearity between two projections, for a gated one with the product: reads gate and up, writes one.

    Modules apart keep the gate's activation beside them, which the product's gradient needs, and the steps of an
    activation that is written in Python.
    """
    one = rows * size * run.width
    inputs = one * (2 if gated else 1)
    run.add(
        name,
        component,
        "elementwise",
        flops=rows * size * (ACTIVATION_FLOPS + (1 if gated else 0)),
        reads=inputs,
        writes=rows * size * run.width,
        saved=_activation_keeps(run, name, rows * size, component, gated=gated) if run.saving else 0,
        stream=stream,
        split=INNER,
    )


def _activation_keeps(run: Run, name: str, elements: Number, component: str, *, gated: bool) -> tuple[Saved, ...]:
    """Its inputs, and what modules apart keep beside them. A ReLU keeps its result alone, which what follows keeps."""
    extra = run.modules.extra if component == "mlp" else 0
    inputs = elements * (2 if gated else 1) * run.width
    steps = elements * ((1 if gated else 0) + max(extra, 0))
    apart = 0 if extra < 0 and not gated else inputs
    return (
        Saved(f"{name}.input", inputs, inputs, apart, apart * 2 // run.width, "input", "tensor", "matmul"),
        Saved(f"{name}.steps", 0, 0, steps * run.width, steps * 2, "input", "tensor"),
    )


def check(value: Any, sentence: str) -> None:
    """Raise ConfigError with the sentence unless the value is true."""
    if not value:
        raise ConfigError(sentence)
