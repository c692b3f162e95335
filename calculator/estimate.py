"""`estimate(model, workload)`: memory, FLOPs, traffic and intensity, each a sum over one list of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError
from calculator.formats import format_named
from calculator.model import Model
from calculator.operation import COMPONENTS, KINDS, MATMUL_KINDS, Operation
from calculator.operations import (
    cache_format,
    encoder_length,
    forward,
    numbers,
    optimizer_bytes,
    plan_of,
    resolved_length,
    shape_of,
    symbols,
)
from calculator.run import gradient_bytes
from calculator.symbolic import Expression, Number, numeric
from calculator.workload import Workload

if TYPE_CHECKING:
    from calculator.engines import Reserved

MEMORY_KINDS = ("weights", "kv_cache", "activations", "gradients", "optimizer_states")


def intensity_class(intensity: float) -> str:
    """low below 10 FLOP/B, medium from 10 to 100, high above 100."""
    return "low" if intensity < 10 else "medium" if intensity <= 100 else "high"


def total(listed: Iterable[Operation], amount: Callable[[Operation], Number]) -> Number:
    """The sum of an amount over operations; the amount already counts layers."""
    found: Number = 0
    for op in listed:
        found = found + amount(op)
    return found


Shape = tuple[int, ...] | None
"""The broadcast shape of a workload's arrays, None where it has none."""


class Memory:
    """Bytes in device memory, by what they are and whose they are. Every byte stands in one cell.

    Attributes:
        weights: all tensors, scales and zero points included.
        kv_cache: keys and values, latents and recurrent states that the sequences hold.
        activations: inference: the most that lives at once; pretraining: what the backward pass keeps.
        gradients, optimizer_states: pretraining only; AdamW moments and the 32-bit master copy.
        by_component: component -> {kind of memory: bytes}.
    """

    def __init__(
        self, listed: list[Operation], training: bool, gradient: int, optimizer: int, shape: Shape = None
    ) -> None:
        self._listed, self._shape, self._training = listed, shape, training
        self._per_parameter = {"gradients": gradient, "optimizer_states": optimizer}

    def _held(self, kind: str, component: str | None = None) -> Number:
        chosen = [op for op in self._listed if component in (None, op.component)]
        if kind == "weights":
            return total(chosen, lambda op: op.weight_bytes * op.stored)
        if kind == "kv_cache":
            return total(chosen, lambda op: op.cache_bytes * op.count)
        if kind == "activations":
            return total(chosen, lambda op: op.saved * op.count)
        width = self._per_parameter[kind] if self._training else 0
        return total(chosen, lambda op: op.parameters * op.stored * width)

    @cached_property
    def weights(self) -> Any:
        return numeric(self._held("weights"), self._shape)

    @cached_property
    def kv_cache(self) -> Any:
        return numeric(self._held("kv_cache"), self._shape)

    @cached_property
    def activations(self) -> Any:
        if self._training:
            return numeric(self._held("activations"), self._shape)
        return numeric(largest([op.live for op in self._listed]), self._shape)

    @cached_property
    def gradients(self) -> Any:
        return numeric(self._held("gradients"), self._shape)

    @cached_property
    def optimizer_states(self) -> Any:
        return numeric(self._held("optimizer_states"), self._shape)

    @cached_property
    def total(self) -> Any:
        static = (
            self._held("weights") + self._held("kv_cache") + self._held("gradients") + self._held("optimizer_states")
        )
        return numeric(static, self._shape) + self.activations

    @cached_property
    def by_component(self) -> Mapping[str, Mapping[str, Any]]:
        found = {}
        for component in COMPONENTS:
            if any(op.component == component for op in self._listed):
                cells = {
                    kind: numeric(self._held(kind, component), self._shape)
                    for kind in MEMORY_KINDS
                    if kind != "activations"
                }
                cells["activations"] = self._activations_of(component)
                found[component] = {kind: cells[kind] for kind in MEMORY_KINDS}
        return found

    def _activations_of(self, component: str) -> Any:
        if self._training:
            return numeric(self._held("activations", component), self._shape)
        # A peak belongs to the component that reaches it; the first one where several do.
        before: list[Any] = []
        for name in COMPONENTS:
            peak = numeric(largest([op.live for op in self._listed if op.component == name]), self._shape)
            if name == component:
                mine = (peak == self.activations) & ~_any(before)
                return peak * mine
            before.append(peak == self.activations)
        return 0

    @cached_property
    def peak_operation(self) -> Operation | None:
        """The operation during which most activation bytes live; None for pretraining and for arrays."""
        if self._training or any(isinstance(op.live, Expression) for op in self._listed):
            return None
        return max(self._listed, key=lambda op: op.live, default=None)


def _any(flags: list[Any]) -> Any:
    found: Any = False
    for flag in flags:
        found = found | flag
    return found if hasattr(found, "shape") else _Flag(bool(found))


class _Flag(int):
    """A bool whose ~ is not bitwise, so that scalars read like arrays of bool."""

    def __invert__(self) -> int:
        return int(not self)


def largest(quantities: list[Number]) -> Any:
    """The largest of the quantities, element by element on arrays."""
    if not any(isinstance(q, Expression) for q in quantities):
        return max(quantities, default=0)
    import numpy as np

    expressions = {tuple(sorted(q.terms.items())): q for q in quantities if isinstance(q, Expression)}
    kept: list[Expression] = []
    for candidate in sorted(expressions.values(), key=lambda e: -sum(e.terms.values())):
        if not any(other.covers(candidate) for other in kept):
            kept.append(candidate)
    peak = max((q for q in quantities if not isinstance(q, Expression)), default=0)
    for expression in kept:
        peak = np.maximum(peak, expression.value())
    return peak


class Flops:
    """Floating-point operations; a multiply-add is 2.

    Attributes:
        total: everything. matmul: matrix products, convolutions and attention, what torch's FlopCounterMode counts.
        by_component, by_kind: parts of total.
    """

    def __init__(self, listed: list[Operation], shape: Shape = None) -> None:
        self._listed, self._shape = listed, shape

    @cached_property
    def total(self) -> Any:
        return numeric(total(self._listed, lambda op: op.flops * op.count), self._shape)

    @cached_property
    def matmul(self) -> Any:
        return numeric(
            total((op for op in self._listed if op.kind in MATMUL_KINDS), lambda op: op.flops * op.count), self._shape
        )

    @cached_property
    def by_component(self) -> Mapping[str, Any]:
        return _by(self._listed, self._shape, COMPONENTS, lambda op: op.component, lambda op: op.flops * op.count)

    @cached_property
    def by_kind(self) -> Mapping[str, Any]:
        return _by(self._listed, self._shape, KINDS, lambda op: op.kind, lambda op: op.flops * op.count)


class Traffic:
    """Bytes moved to and from device memory, each operation reading its inputs and writing its outputs once.

    Attributes:
        total: weights + activations + cache.
    """

    def __init__(self, listed: list[Operation], shape: Shape = None) -> None:
        self._listed, self._shape = listed, shape

    @cached_property
    def total(self) -> Any:
        return numeric(total(self._listed, lambda op: op.traffic * op.count), self._shape)

    @cached_property
    def weights(self) -> Any:
        return numeric(total(self._listed, lambda op: op.weight_reads * op.count), self._shape)

    @cached_property
    def activations(self) -> Any:
        return numeric(total(self._listed, lambda op: (op.reads + op.writes) * op.count), self._shape)

    @cached_property
    def cache(self) -> Any:
        return numeric(total(self._listed, lambda op: (op.cache_reads + op.cache_writes) * op.count), self._shape)

    @cached_property
    def by_component(self) -> Mapping[str, Any]:
        return _by(self._listed, self._shape, COMPONENTS, lambda op: op.component, lambda op: op.traffic * op.count)


def _by(
    listed: list[Operation],
    shape: Shape,
    names: Iterable[str],
    key: Callable[[Operation], str],
    amount: Callable[[Operation], Number],
) -> Mapping[str, Any]:
    present = {key(op) for op in listed}
    return {
        name: numeric(total((op for op in listed if key(op) == name), amount), shape)
        for name in names
        if name in present
    }


class Generation:
    """The whole of a decode: `tokens` steps, the context growing by one each step.

    Attributes:
        tokens: steps. flops, traffic: sums over the steps. kv_cache: bytes held after the last step.
    """

    def __init__(self, listed: list[Operation], after: list[Operation], shape: Shape, tokens: int) -> None:
        self.tokens = tokens
        self.flops = Flops(listed, shape)
        self.traffic = Traffic(listed, shape)
        self._after, self._shape = after, shape

    @cached_property
    def kv_cache(self) -> Any:
        return numeric(total(self._after, lambda op: op.cache_bytes * op.count), self._shape)


class Estimate:
    """The numbers of one workload on one model. Amounts are ints, or arrays where the workload's are.

    Attributes:
        model, workload: what was asked. sequence_length: the length used; encoder_length: the encoder's, None where
            the model has no encoder before its decoder.
        memory, flops, traffic, generation: see their classes; generation is None outside decode mode.
        notes: what a reader should know beside the numbers; warnings: what makes them doubtful.
    """

    def __init__(self, model: Model, workload: Workload) -> None:
        self.model, self.workload = model, workload
        self.sequence_length = resolved_length(model, workload)
        self._batch, self._length = symbols(workload.batch_size, self.sequence_length)
        self._source = encoder_length(model, workload, self._length)
        self.encoder_length = numeric(self._source, shape_of(self._batch, self._length)) if model.encoder else None
        self._listed = forward(model, workload, self._batch, self._length, source=self._source)
        training = workload.mode == "pretraining"
        plan = plan_of(model, workload)
        self._shape = shape_of(self._batch, self._length)
        gradient, optimizer = gradient_bytes(workload, plan.native), optimizer_bytes(plan.native)
        self.memory = Memory(self._listed, training, gradient, optimizer, self._shape)
        self.flops = Flops(self._listed, self._shape)
        self.traffic = Traffic(self._listed, self._shape)

    @property
    def scalar(self) -> bool:
        """Whether the amounts are single numbers."""
        return self._shape is None

    @cached_property
    def intensity(self) -> Any:
        """FLOPs per byte moved."""
        return self.flops.total / self.traffic.total

    @property
    def parameters(self) -> Any:
        """The model's parameter counts."""
        return self.model.parameters

    @cached_property
    def operations(self) -> list[Operation]:
        """The operations with amounts as numbers (or arrays)."""
        return numbers(self._listed, self._shape)

    @cached_property
    def generation(self) -> Generation | None:
        if self.workload.mode != "decode":
            return None
        steps, source = self.workload.decode_length, self._source
        listed = forward(self.model, self.workload, self._batch, self._length, steps=steps, source=source)
        after = forward(self.model, self.workload, self._batch, self._length + steps, source=source)
        return Generation(listed, after, self._shape, steps)

    @cached_property
    def cache_growth(self) -> Any:
        """Bytes that the cache of one sequence grows by with its next token: 0 if windows are full or states fixed."""
        if self.workload.mode == "pretraining":
            return numeric(0, self._shape)
        lengths, source = (self._length, self._length + 1), self._source
        held = [forward(self.model, self.workload, 1, n, source=source) for n in lengths]
        before, after = (total(listed, lambda op: op.cache_bytes * op.count) for listed in held)
        return numeric(after - before, self._shape)

    @cached_property
    def reserved(self) -> list[Reserved]:
        """What inference engines reserve for the caches, beside `memory.kv_cache`, the architecture's minimum.

        Raises:
            WorkloadError: pretraining, or arrays.
        """
        from calculator.engines import reserved

        return reserved(self.model, self.workload)

    @property
    def precision(self) -> str:
        """How the weights are stored, in words."""
        return plan_of(self.model, self.workload).title

    @property
    def kv_precision(self) -> str:
        """The KV cache's format."""
        return cache_format(self.model, self.workload)

    @property
    def last_logits(self) -> bool:
        """Whether only the last position of each sequence reaches the head; an encoder's positions all do."""
        return self.workload.last_logits and (self.model.text.causal or self.workload.logits == "last")

    @property
    def conventions(self) -> str:
        """The counting conventions behind the FLOPs, in words."""
        return self.workload.with_(logits="last" if self.last_logits else "all").conventions

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        found = []
        longest, context = _largest_value(self.sequence_length), self.model.context_length
        if self.workload.mode == "decode":
            longest += self.workload.decode_length
        if context is not None and longest > context:
            found.append(
                f"{longest:,} tokens are more than the {context:,} that {self.model.name} was configured for; the "
                "numbers hold for the arithmetic, not for what the model can use."
            )
        positions, asked = self.model.encoder_length, self.workload.encoder_length
        if positions is not None and asked is not None and asked != positions:
            found.append(
                f"The encoder of {self.model.name} always reads {positions:,} tokens; the numbers for {asked:,} hold "
                "for the arithmetic, not for what the model can use."
            )
        if (
            self.workload.mode == "pretraining"
            and self.workload.dtype != "auto"
            and format_named(self.workload.dtype).bits < 8
        ):
            found.append(f"Weights in {self.workload.dtype} cannot be pretrained; what is priced is their storage.")
        return tuple(found)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        found = list(self.model.notes)
        if self.workload.sequence_length is None:
            found.append(f"No sequence length was given: {self.sequence_length:,} tokens are taken.")
        return tuple(found)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The table of that kind as a list of rows with raw numbers: "memory", "flops", "reuse", "operations", "cache"
        or "engines"."""
        from calculator.tables import rows

        return rows(self, kind)

    def table(self, kind: str) -> Any:
        """The table of that kind as a pandas DataFrame with raw numbers."""
        import pandas as pd

        return pd.DataFrame(self.rows(kind))

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        from calculator.tables import as_dict

        return as_dict(self)


def _largest_value(length: Any) -> int:
    return int(length.max()) if hasattr(length, "max") else int(length)


def estimate(model: Model, workload: Workload | None = None, **options: Any) -> Estimate:
    """Memory, FLOPs, traffic and intensity of a workload.

    Args:
        model: what `load_model` returned.
        workload: what is run; or its fields as keywords, `estimate(model, mode="decode", batch_size=8)`.

    Raises:
        WorkloadError: an option outside what is allowed.
    """
    if not isinstance(model, Model):
        raise WorkloadError(f"estimate needs the Model that load_model returns, not {type(model).__name__}.")
    if workload is not None and not isinstance(workload, Workload):
        raise WorkloadError(f"estimate needs a Workload or its fields as keywords, not {type(workload).__name__}.")
    chosen = workload or Workload()
    return Estimate(model, chosen.with_(**options) if options else chosen)


__all__ = ["MEMORY_KINDS", "Estimate", "Flops", "Generation", "Memory", "Traffic", "estimate", "intensity_class"]
