"""The base class of all parts, and the operations that most of them write: projections, what is done to each element,
activations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar

from calculator.errors import ConfigError, shown
from calculator.formats.weight import Weight
from calculator.limits import part_made
from calculator.numbers.symbolic import Expression, Number
from calculator.numbers.symbols import Symbol
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import COLUMN, INNER, Split

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


def check_sizes(record: Any, name: str) -> None:
    """Raise ConfigError unless the fields of a part, or of a record inside one, that are whole numbers hold such."""
    kind: Any = type(record)
    for field, optional in _sizes(kind):
        value = getattr(record, field)
        if isinstance(value, Expression) or (value is None and optional):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigError(
                f"{kind.__name__} {name}: {field} is {shown(value)}; it must be a whole number, 0 or more."
            )


@dataclass(frozen=True)
class Part:
    """A frozen description of one module. `name` is its path inside the layer, as the checkpoint spells it.

    Whole-number fields may be replaced by symbols (`SYMBOLS` names them) to print formulas.

    Attributes:
        ROUTED: a token visits some of its experts.
        MEASURED: its sizes are read off the tensors of a file, which no rule between counts can contradict.
    """

    name: str
    SYMBOLS: ClassVar[dict[str, Symbol]] = {}
    ROUTED: ClassVar[bool] = False
    MEASURED: ClassVar[bool] = False

    def __post_init__(self) -> None:
        part_made()
        check_sizes(self, self.name)

    def write(self, run: Run) -> None:
        """Append this part's operations to the run."""
        raise TypeError(f"{type(self).__name__} writes no operations")

    def path(self, child: str) -> str:
        """The path of a module or tensor inside this one."""
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
        saved=input_of(run, name, rows * inputs, inputs * outputs, split, saves_input, need) if run.saving else 0,
        stream=stream,
        split=split,
        kernel=kernel,
        weight_reads=0 if idle else None,
    )


def input_of(
    run: Run, name: str, elements: Number, matrix: Number, split: Split, saves: bool, need: str = "weight"
) -> tuple[Saved, ...]:
    """What a projection keeps: its input where no other does, and under autocast a 16-bit cast of the input and of the
    matrix for each projection."""
    region = "tensor" if split.input == "sharded" else "sequence"
    once = elements * run.width if saves else 0
    return (
        Saved(f"{name}.input", once, once, once, 2 * elements, need=need, region=region),
        Saved(f"{name}.cast", autocast=2 * matrix, need="input", region="tensor", fixed=True),
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
        Saved(
            f"{name}.input",
            inputs,
            inputs,
            apart,
            apart * 2 // run.width,
            need="input",
            region="tensor",
            producer="matmul",
        ),
        Saved(f"{name}.steps", 0, 0, steps * run.width, steps * 2, need="input", region="tensor"),
    )


def check(value: Any, sentence: str) -> None:
    """Raise ConfigError with the sentence unless the value is true."""
    if not value:
        raise ConfigError(sentence)
