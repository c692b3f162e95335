"""Sums over a list of operations: memory by what it is and whose it is, FLOPs, traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from calculator.numbers.symbolic import Expression, Number, numeric
from calculator.record.operation import COMPONENTS, KINDS, MATMUL_KINDS, Operation

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
