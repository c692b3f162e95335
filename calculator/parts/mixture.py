"""What a mixture of experts is described with: its shared experts, its router, and how its tensors are stored; and
experts that no token visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from calculator.formats.weight import Weight
from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, check_sizes
from calculator.record.run import Run
from calculator.record.split import EXPERT

GATED = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class SharedMLP:
    """The experts that every token visits, as one MLP.

    Attributes:
        width: of all of them together; 0 for none.
        gate: a sigmoid scales their output (Qwen2-MoE).
        bias: their projections have biases (DeepSeek-V2 with mlp_bias).
        fused: name of one projection that holds gate and up (MiniMax-M3).
    """

    width: int = 0
    name: str = "shared_experts"
    gate: bool = False
    bias: bool = False
    names: tuple[str, str, str] = GATED
    fused: str | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"width": Symbol("d_s", "width of the shared experts")}

    def __post_init__(self) -> None:
        check_sizes(self, self.name)


@dataclass(frozen=True)
class Router:
    """What chooses among the experts.

    Attributes:
        name: its module, inside the part; "" where another part computes the scores (ZAYA1).
        bias: its projection has a bias (gpt-oss).
        scored: shared experts that it scores, too (Inkling).
    """

    name: str = "gate"
    bias: bool = False
    scored: int = 0


@dataclass(frozen=True)
class Correction:
    """A score bias that steers the choice only (DeepSeek-V3, arXiv:2408.15664).

    Attributes:
        name: where it is inside the part, if not in the router.
        role: a "buffer", or a "vector" where published counts include it (ERNIE 4.5).
        shape: where it is not [experts].
    """

    name: str = ""
    role: str = "buffer"
    shape: tuple[int, ...] = ()


class Shape(NamedTuple):
    """Sizes of routed experts: how many, the width they work on, their own; whether they have a gate and biases."""

    experts: int
    width: int
    inner: int
    gated: bool
    bias: bool


@dataclass(frozen=True)
class Storage:
    """How a checkpoint holds the routed experts.

    Attributes:
        layout: "each" with tensors of its own; "packed" as one three-dimensional tensor for gate and up and one for
            down; "apart" as three such tensors, one for each projection (Step 3.5); "stacked" below one another in one
            matrix each for gate, up and down, all three of them [experts · intermediate, hidden] (DBRX).
        prefix: where the experts are, inside the part.
        each: what one of them is called there, with * for its number.
        names: of an expert's gate, up and down projections. packed: of the tensor that holds gate and up.
    """

    layout: str = "each"
    prefix: str = "experts"
    each: str = "*"
    names: tuple[str, str, str] = GATED
    packed: str = "gate_up_proj"

    def inside(self, name: str) -> str:
        """A tensor's or an operation's name where the experts are."""
        return f"{self.prefix}.{name}" if self.prefix else name

    def label(self, gated: bool) -> str:
        """What the operation of the first projections is called."""
        if not gated:
            return self.names[1]
        return self.packed if self.layout == "packed" else "gate_proj+up_proj"

    def weights(self, shape: Shape) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
        """The tensors of gate and up, and those of down."""
        if self.layout == "packed":
            return self._packed(shape)
        gate, up, down = self.names
        names, (experts, width, inner) = (gate, up) if shape.gated else (up,), shape[:3]
        if self.layout == "stacked":
            into = tuple(Weight(self.inside(n), (experts * inner, width), "experts") for n in names)
            return into, (Weight(self.inside(down), (experts * inner, width), "experts"),)
        if self.layout == "apart":
            into = tuple(Weight(self.inside(f"{n}.weight"), (experts, inner, width), "experts") for n in names)
            return into, (Weight(self.inside(f"{down}.weight"), (experts, width, inner), "experts"),)
        one = self.inside(self.each)
        into = tuple(Weight(f"{one}.{n}.weight", (inner, width), "experts", experts) for n in names)
        out: tuple[Weight, ...] = (Weight(f"{one}.{down}.weight", (width, inner), "experts", experts),)
        if shape.bias:
            into += tuple(Weight(f"{one}.{n}.bias", (inner,), "vector", experts) for n in names)
            out += (Weight(f"{one}.{down}.bias", (width,), "vector", experts),)
        return into, out

    def _packed(self, shape: Shape) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
        label, down, (experts, width, inner) = self.label(shape.gated), self.names[2], shape[:3]
        outer = (2 if shape.gated else 1) * inner
        into: tuple[Weight, ...] = (Weight(self.inside(label), (experts, outer, width), "experts"),)
        out: tuple[Weight, ...] = (Weight(self.inside(down), (experts, width, inner), "experts"),)
        if shape.bias:
            into += (Weight(self.inside(f"{label}_bias"), (experts, outer), "vector"),)
            out += (Weight(self.inside(f"{down}_bias"), (experts, width), "vector"),)
        return into, out


NONE_SHARED, GATE, EACH_APART = SharedMLP(), Router(), Storage()
"""No shared experts, a router called gate, and tensors for each expert by the usual names."""


@dataclass(frozen=True)
class IdleExperts(Part):
    """Experts that no text token is sent to (ERNIE 4.5 VL's for images), numbered on from the `first` others in the
    same list, with a router of their own."""

    hidden: int
    intermediate: int
    experts: int
    first: int
    router: str = "gate.weight_1"

    def write(self, run: Run) -> None:
        router = (Weight(self.path(self.router), (self.experts, self.hidden), "router"),)
        run.add(
            self.path(self.router), "router", "matmul", weights=router, active_share=(0, 1), weight_reads=0, stream=0
        )
        shapes = {
            "gate_proj": (self.intermediate, self.hidden),
            "up_proj": (self.intermediate, self.hidden),
            "down_proj": (self.hidden, self.intermediate),
        }
        weights = tuple(
            Weight(self.path(f"experts.*.{name}.weight"), shape, "experts", self.experts, self.first)
            for name, shape in shapes.items()
        )
        name = self.path("experts of images")
        run.add(
            name,
            "experts",
            "matmul",
            weights=weights,
            active_share=(0, 1),
            weight_reads=0,
            split=EXPERT,
            stream=0,
        )
