"""A pass over a stack of layers, to which the parts of a model hand their operations. Only the forward pass is written;
what training adds is made of its list (calculator/passes/training.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calculator.formats.cache import CacheFormat, cache_format_named
from calculator.formats.named import FORMATS, Format
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.record.caches import NOTHING, Cache
from calculator.record.modules import NARROW, Modules
from calculator.record.operation import Operation, Span, Step
from calculator.record.recent import Recent
from calculator.record.saved import Saved
from calculator.record.split import REPLICATED, Split
from calculator.record.tokens import Tokens
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.parts import Part

NOWHERE = Span()
MATRICES = frozenset(("linear", "experts", "router", "embedding", "head"))  # roles of what a product multiplies with


@dataclass(slots=True)
class Run(Tokens):
    """One pass. Shapes are in tokens, element widths in bytes.

    Attributes:
        width: bytes per activation element. residual: features of the residual stream.
        cache_format: of keys and values. native: the format of tensors that are not quantized.
        formats: weight name -> format, where it is not `native`.
        steps_made: what is constant of each operation, by its name, once it was written.
        span: the layers that the operations stand for.
        component: every operation's, where a whole stack is one ("vision").
        parallel: activation bytes of a sibling branch, alive while this one runs.
        modules: how transformers' own modules compute.
        differentiated: whether the backward pass of training comes here; what is frozen keeps nothing for it.
        stream: bytes of the residual stream, which lives while a branch runs.
        saving: whether operations keep tensors for the backward pass.
    """

    width: int = 2
    residual: Number = 1
    cache_format: CacheFormat = field(default_factory=lambda: cache_format_named("bf16"))
    native: Format = FORMATS["bf16"]
    formats: Mapping[str, Format] = field(default_factory=dict)
    steps_made: dict[str, Step] = field(default_factory=dict)
    span: Span = NOWHERE
    component: str | None = None
    parallel: Number = 0
    modules: Modules = NARROW
    differentiated: bool = True
    out: list[Operation] = field(default_factory=list)
    label: str = field(init=False)  # of the span
    stream: Number = field(init=False)
    saving: bool = field(init=False)

    def __post_init__(self) -> None:
        Tokens.__post_init__(self)
        self.label = self.span.label
        self.stream = self.tokens * self.residual * self.width
        self.saving = self.training and self.differentiated

    def go_to(self, span: Span, formats: Mapping[str, Format], steps_made: dict[str, Step]) -> None:
        """Go on over equal layers with their own formats."""
        self.span, self.formats, self.steps_made = span, formats, steps_made
        self.label = span.label

    def bytes_of(self, weight: Weight) -> Number:
        """Bytes of the weight in the format that the plan chose for it."""
        return self.formats.get(weight.name, self.native).size(weight)

    def add(
        self,
        name: str,
        component: str,
        kind: str,
        *,
        weights: tuple[Weight, ...] = (),
        active_share: tuple[Number, Number] | None = None,
        tied: bool = False,
        split: Split = REPLICATED,
        kernel: str = "",
        input_gradient: bool = True,
        flops: Number = 0,
        reads: Number = 0,
        writes: Number = 0,
        weight_reads: Number | None = None,
        cache: Cache = NOTHING,
        saved: Number | tuple[Saved, ...] = 0,
        workspace: Number = 0,
        spilled: Number = 0,
        rereads: Number = 0,
        in_place: bool = False,
        stream: Number | None = None,
        transient: Number = 0,
        groups: Number = 1,
        launches: int = 1,
    ) -> None:
        """Append an operation of the forward pass, amounts given per instance.

        Args:
            active_share: (used, of) when a token touches only some of the weights' equal parts.
            tied: the weights are stored elsewhere: they are read here but not held.
            kernel: the name of the kernel it runs in with its neighbours; "" for one of its own.
            input_gradient: False where the backward pass needs no gradient of the input (a patch embedding's pixels).
            weight_reads: bytes of weights the pass reads; None: all of them once per step.
            cache: bytes held, read, written, and what a layer keeps of one sequence.
            saved: bytes of its input kept for the backward pass, whatever the kernels; or the tensors that are kept.
            workspace: bytes alive beside what is read and written.
            spilled: bytes that are written, read back once and then dropped (the partial results of split attention).
            rereads: bytes that are read again, by later tiles, beside `reads`.
            in_place: what is written replaces what is read.
            stream: bytes alive beside what is read and written; None: the residual stream's.
            transient: bytes that a training pass holds for a moment beside those.
            groups: matrices that the rows are spread over. launches: kernels started; 0 inside a neighbour's.
        """
        step = self.steps_made.get(name)
        if step is None:
            step = self._step(name, component, kind, weights, active_share, tied, split, kernel, input_gradient)
            self.steps_made[name] = step
        if not self.active:
            moved: Number = 0
        elif weight_reads is None:
            moved = step.weight_bytes * self.steps
        else:
            moved = weight_reads
        beside = self.stream if stream is None else stream
        live = (reads if in_place else reads + writes) + workspace + spilled + beside + self.parallel
        if spilled:
            reads, writes = reads + spilled, writes + spilled
        if rereads:
            reads = reads + rereads
        keeps: tuple[Saved, ...] = ()
        total: Number = 0
        if self.saving:
            keeps = saved if isinstance(saved, tuple) else self._input(step, saved)
            total = sum(tensor[self.workload.saved_column] for tensor in keeps)
        if self.training:
            cache = NOTHING
        self.out.append(
            Operation(
                step,
                "forward",
                flops,
                moved,
                reads,
                writes,
                cache.held,
                cache.read,
                cache.written,
                total,
                live,
                keeps,
                cache.kept,
                transient,
                groups,
                launches,
            )
        )

    def _step(
        self,
        name: str,
        component: str,
        kind: str,
        weights: tuple[Weight, ...],
        active_share: tuple[Number, Number] | None,
        tied: bool,
        split: Split,
        kernel: str,
        input_gradient: bool,
    ) -> Step:
        """What is constant of an operation."""
        form, stored, count = self.native, "", self.span.count
        parameters: Number = 0
        held: Number = 0
        inputs: Number = 0
        outputs: Number = 0
        for weight in weights:
            held += self.bytes_of(weight)
            if weight.role != "buffer":
                parameters += weight.elements()
            if kind == "matmul" and weight.role in MATRICES:
                if not stored:
                    form, inputs = self.formats.get(weight.name, self.native), weight.shape[-1]
                    stored = form.name
                outputs += weight.shape[-2]
        active = parameters if active_share is None else parameters * active_share[0] // active_share[1]
        return Step(
            name,
            self.component or component,
            kind,
            self.span,
            self.label,
            count,
            0 if tied else count,
            weights,
            parameters,
            active,
            held,
            stored,
            form.arithmetic or self.native.name if stored else self.native.name,
            inputs,
            outputs,
            split,
            name.rpartition(".")[2],
            kernel or name,
            "none" if not (self.differentiated and self.active) else "both" if input_gradient else "weights",
        )

    def _input(self, step: Step, size: Number) -> tuple[Saved, ...]:
        """The input of an operation, kept as it is by all kernels."""
        if not size:
            return ()
        need = "weight" if step.kind in ("matmul", "convolution") else "input"
        region = "tensor" if step.split.input == "sharded" else "sequence"
        return (Saved(f"{step.name}.input", size, size, size, size, need=need, region=region),)


_WRITTEN: Recent[tuple[tuple[Part, ...], tuple[Operation, ...]]] = Recent(20_000)
"""What the parts of layers wrote, by the tuple's identity, which lives as long as its entry; at most so many
operations. Parameters, plans and rules of one model each ask for the same few tuples."""
_EQUAL: Recent[tuple[Operation, ...]] = Recent(20_000)
"""The same by value: in a sweep over configs most models have a layer that another had."""
ONE_TOKEN = Workload()


def written(parts: tuple[Part, ...]) -> tuple[Operation, ...]:
    """The operations of the parts for one token, their amounts in 16 bit: what they hold, whatever the workload."""
    known = _WRITTEN.get(id(parts))
    if known is not None and known[0] is parts:
        return known[1]
    found = _EQUAL.get(parts)
    if found is None:
        run = Run(ONE_TOKEN, 1, 1, 0)
        for part in parts:
            part.write(run)
        found = tuple(run.out)
        _check_names(found)
    size = max(len(found), 1)
    _WRITTEN.put(id(parts), (parts, found), size)
    _EQUAL.put(parts, found, size)
    return found


def _check_names(listed: tuple[Operation, ...]) -> None:
    """Prices are looked up by the operation's name."""
    names = [op.step.name for op in listed if op.step.weights]
    if len(set(names)) < len(names):
        raise RuntimeError(
            f"a layer has two operations of one name: {sorted(n for n in set(names) if names.count(n) > 1)}"
        )


def weights_of(parts: tuple[Part, ...], *, stored: bool = False) -> tuple[Weight, ...]:
    """The weights that the parts read; with `stored`, without those that are tied to others."""
    listed = written(parts)
    return tuple(w for op in listed if op.stored or not stored for w in op.weights)
