"""The records everything else is a sum over: `Step`, what is constant of one step of the computation for one kind of
layer, and `Operation`, that step in one pass of one workload."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from calculator.formats.weight import Weight
from calculator.limits import remembered
from calculator.numbers.symbolic import Number
from calculator.record.caches import Kept
from calculator.record.saved import Saved
from calculator.record.split import REPLICATED, Split
from calculator.record.vocabulary import HELD, QUANTITIES

KINDS = ("matmul", "convolution", "attention", "scan", "elementwise", "lookup")
"""How an operation computes. `matmul`, `convolution` and `attention` are what torch's FlopCounterMode counts."""

MATMUL_KINDS = frozenset(("matmul", "convolution", "attention"))


@dataclass(frozen=True, slots=True)
class Span:
    """The layers that an operation stands for.

    Attributes:
        stack: the checkpoint's path of the layers, for instance "model.layers".
        layers: their indices in the stack; none for what stands before its first layer or after its last.
        after: of those without layers, the one after the last.
    """

    stack: str = ""
    layers: tuple[int, ...] = ()
    after: bool = False

    @property
    def label(self) -> str:
        """The layers in words, for instance "model.layers.0-2"; "" for what stands beside them."""
        return f"{self.stack}.{index_ranges(self.layers)}" if self.layers else ""

    @property
    def count(self) -> int:
        """How many instances of the operation run."""
        return len(self.layers) or 1


@remembered(1024, longest=500)
def index_ranges(indices: tuple[int, ...]) -> str:
    """(0, 1, 2, 5) as "0-2,5"; long alternating lists are cut after a few."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    return ",".join(words) if len(words) <= 4 else f"{','.join(words[:3])},…,{words[-1]}"


@dataclass(slots=True, unsafe_hash=True)
class Step:
    """What is the same of an operation in every workload: made once for a kind of layer in one precision, and never
    changed (frozen, it would take eight times as long to make).

    Attributes:
        name: the checkpoint's own module name inside the layer. target: its last word, as adapters name it ("q_proj").
        component, kind: of COMPONENTS and KINDS. span: the layers it stands for, label: those in words.
        count: instances that run. stored: instances that keep their own copy of the weights (0: tied to others).
        weights: the tensors it reads. parameters, active: of one instance, those that a token touches.
        weight_bytes: bytes that one instance holds.
        format: what its first matrix is stored in, "" without one. arithmetic: the format its products are computed in.
        inputs, outputs: K and N of its matrix product, features a row; 0 where it is none.
        split: how it divides over devices. kernel: operations of one name run as one kernel.
        differentiated: "both" gradients of weights and input, "weights" alone, or "none".
    """

    name: str
    component: str
    kind: str
    span: Span = field(default_factory=Span)
    label: str = ""
    count: int = 1
    stored: int = 1
    weights: tuple[Weight, ...] = ()
    parameters: Number = 0
    active: Number = 0
    weight_bytes: Number = 0
    format: str = ""
    arithmetic: str = ""
    inputs: Number = 0
    outputs: Number = 0
    split: Split = REPLICATED
    target: str = ""
    kernel: str = ""
    differentiated: str = "both"


@dataclass(slots=True, repr=False)
class Operation:
    """One step of a pass, for ONE layer; never changed once its list is complete.

    Multiply by `count`, the layers that run it, for the model's total; what is held (parameters, weights, gradients,
    optimizer states) is multiplied by `stored`.

    FLOPs count a multiply-add as 2. All bytes are per step of the workload's mode, over the whole batch.

    Attributes:
        step: what is constant of it. phase: of PHASES.
        flops: floating-point operations.
        weight_reads: bytes of weights moved: only the experts that are routed to, only the rows that are looked up.
        reads, writes: bytes of activations (and, in pretraining, of gradients).
        cache_bytes, cache_reads, cache_writes: of keys and values, latents and recurrent states held and moved.
        saved: bytes kept from the forward pass for the backward pass, under the workload's kernels.
        live: activation bytes alive at once while it runs; a peak, never summed.
        keeps: the tensors that `saved` counts. kept: what a layer keeps of one sequence in a cache.
        transient: bytes that a pass of training holds for a moment beside those (the loss's logits in 32 bit).
        groups: matrices that the rows are spread over (the experts touched). launches: kernels it starts, 0 where it
            runs inside the one of its neighbour.
        gradients, states: bytes of gradients and of optimizer states held for its parameters.
    """

    step: Step
    phase: str = "forward"
    flops: Number = 0
    weight_reads: Number = 0
    reads: Number = 0
    writes: Number = 0
    cache_bytes: Number = 0
    cache_reads: Number = 0
    cache_writes: Number = 0
    saved: Number = 0
    live: Number = 0
    keeps: tuple[Saved, ...] = ()
    kept: Kept | None = None
    transient: Number = 0
    groups: Number = 1
    launches: int = 1
    gradients: Number = 0
    states: Number = 0

    def __repr__(self) -> str:
        layers = "a layer" if self.step.count == 1 else f"{self.step.count:,} layers"
        return f"<Operation {self.name}, {self.phase}: {self.kind} of {self.component}, {layers}>"

    @property
    def name(self) -> str:
        """Its name in the layer, as the checkpoint spells it."""
        return self.step.name

    @property
    def component(self) -> str:
        """The component that it counts to."""
        return self.step.component

    @property
    def kind(self) -> str:
        """ "matmul", "attention", "elementwise", "lookup", "convolution" or "scan"."""
        return self.step.kind

    @property
    def span(self) -> Span:
        """Which layers of which stack it stands for."""
        return self.step.span

    @property
    def layers(self) -> str:
        """Where it runs, for instance "model.layers.0-2"."""
        return self.step.label

    @property
    def count(self) -> int:
        """Layers in which it runs."""
        return self.step.count

    @property
    def stored(self) -> int:
        """Instances that hold the weights: those of the forward pass hold them for all phases."""
        return self.step.stored if self.phase == "forward" else 0

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The tensors it reads and holds; those of the forward pass hold them for all phases."""
        return self.step.weights if self.phase == "forward" else ()

    @property
    def parameters(self) -> Number:
        """Parameters of one layer."""
        return self.step.parameters

    @property
    def active(self) -> Number:
        """The parameters that one token touches."""
        return self.step.active

    @property
    def weight_bytes(self) -> Number:
        """Bytes of weights of one layer."""
        return self.step.weight_bytes

    @property
    def split(self) -> Split:
        """How it divides over devices."""
        return self.step.split

    @property
    def rows(self) -> Number:
        """M of its matrix product: rows over all its groups; 0 where it is none."""
        step = self.step
        return self.flops // (2 * step.inputs * step.outputs) if step.inputs and step.outputs else 0

    @property
    def traffic(self) -> Number:
        """Bytes moved to and from device memory by one instance."""
        return self.weight_reads + self.reads + self.writes + self.cache_reads + self.cache_writes

    def stored_as(self, copies: int) -> Operation:
        """The operation with another number of instances that keep their weights."""
        return replace(self, step=replace(self.step, stored=copies))


OF_THE_PASS = (*(q for q in QUANTITIES if q not in HELD), "transient", "groups", "gradients", "states")
"""The amounts that the workload changes."""
