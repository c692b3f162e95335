"""Sums over a list of operations: memory by what it is and whose it is, FLOPs, traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Shown
from calculator.numbers.symbolic import Expression, Number, numeric
from calculator.record.operation import KINDS, MATMUL_KINDS, Operation
from calculator.record.vocabulary import COMPONENTS, MEMORY_KINDS, PHASES, TITLES


def intensity_class(intensity: float) -> str:
    """low below 10 FLOP/B, medium from 10 to 100, high above 100."""
    return "low" if intensity < 10 else "medium" if intensity <= 100 else "high"


Shape = tuple[int, ...] | None
"""The broadcast shape of a workload's arrays, None where it has none."""

Amount = Callable[[Operation], Number]
"""An amount of an operation over all its layers."""

AMOUNTS: dict[str, Amount] = {
    "weights": lambda op: op.step.weight_bytes * op.stored,
    "kv_cache": lambda op: op.cache_bytes * op.step.count,
    "saved": lambda op: op.saved * op.step.count,
    "gradients": lambda op: op.gradients * op.stored,
    "optimizer_states": lambda op: op.states * op.stored,
    "flops": lambda op: op.flops * op.step.count,
    "traffic": lambda op: op.traffic * op.step.count,
    "weight traffic": lambda op: op.weight_reads * op.step.count,
    "activation traffic": lambda op: (op.reads + op.writes) * op.step.count,
    "cache traffic": lambda op: (op.cache_reads + op.cache_writes) * op.step.count,
}
"""What is summed over operations, by name: what is held once for each stored copy, what is done once for each layer."""


class Totals(Shown):
    """Sums over operations, as numbers or as arrays of the workload's shape.

    Attributes:
        total: their sum. PARTS: those that are shown.
    """

    PARTS: ClassVar[tuple[str, ...]] = ()
    total: Any

    def __init__(self, listed: list[Operation], shape: Shape = None) -> None:
        self._listed, self._shape = listed, shape

    def _sum(self, amount: str, chosen: Iterable[Operation] | None = None) -> Any:
        return numeric(total(self._listed if chosen is None else chosen, AMOUNTS[amount]), self._shape)

    def summary(self) -> str:
        """The sum, and the parts that are not 0."""
        return f"{self._worded('total')}: {', '.join(f'{name} {said}' for name, said in self._parts())}"

    def blocks(self) -> Sequence[Block]:
        """The sum and its parts."""
        return [Facts(type(self).__name__, [("total", self._worded("total")), *self._parts()])]

    def _parts(self) -> list[tuple[str, str]]:
        """Of arrays every part; of numbers those that are not 0."""
        chosen = [n for n in self.PARTS if hasattr(v := getattr(self, n), "shape") or v]
        return [(TITLES[n] if n == "kv_cache" else n.replace("_", " "), self._worded(n)) for n in chosen]

    def _said(self, amount: float) -> str:
        """An amount for people."""
        return units.gib(amount)

    def _worded(self, name: str) -> str:
        value = getattr(self, name)
        if not hasattr(value, "shape"):
            return self._said(value)
        low, high = (self._said(float(v)) for v in (value.min(), value.max()))
        return low if low == high else f"{low} to {high}"

    def _by(self, amount: str, names: Iterable[str], key: Callable[[Operation], str]) -> Mapping[str, Any]:
        found: dict[str, list[Operation]] = {}
        for op in self._listed:
            found.setdefault(key(op), []).append(op)
        return {name: self._sum(amount, found[name]) for name in names if name in found}


def total(listed: Iterable[Operation], amount: Amount) -> Number:
    """The sum of an amount over operations; the amount already counts layers."""
    return sum(map(amount, listed))


class Memory(Totals):
    """Bytes in device memory, by what they are and whose they are. Every byte stands in one cell.

    Attributes:
        weights: all tensors, scales and zero points included.
        kv_cache: keys and values, latents and recurrent states that the sequences hold.
        activations: inference: the most that lives at once; pretraining: what the backward pass keeps.
        gradients, optimizer_states: pretraining only; AdamW moments and the 32-bit master copy.
        by_component: component -> {kind of memory: bytes}.
    """

    PARTS = MEMORY_KINDS

    def __init__(self, listed: list[Operation], training: bool, shape: Shape = None) -> None:
        super().__init__(listed, shape)
        self._training = training

    @cached_property
    def weights(self) -> Any:
        """Bytes of weights."""
        return self._sum("weights")

    @cached_property
    def kv_cache(self) -> Any:
        """Bytes of keys, values and states."""
        return self._sum("kv_cache")

    @cached_property
    def activations(self) -> Any:
        """Bytes kept for the backward pass; in inference the most that are alive at once."""
        return self._sum("saved") if self._training else numeric(largest([op.live for op in self._listed]), self._shape)

    @cached_property
    def gradients(self) -> Any:
        """Bytes of gradients, 0 in inference."""
        return self._sum("gradients") if self._training else numeric(0, self._shape)

    @cached_property
    def optimizer_states(self) -> Any:
        """Bytes of optimizer states, 0 in inference."""
        return self._sum("optimizer_states") if self._training else numeric(0, self._shape)

    @cached_property
    def total(self) -> Any:
        """Bytes of all kinds together."""
        return self.weights + self.kv_cache + self.gradients + self.optimizer_states + self.activations

    @cached_property
    def by_component(self) -> Mapping[str, Mapping[str, Any]]:
        """component -> kind -> bytes; activations of inference are those of the component's largest operation."""
        owned: dict[str, list[Operation]] = {}
        for op in self._listed:
            owned.setdefault(op.component, []).append(op)
        peaks = {} if self._training else self._peaks(owned)
        found = {}
        for component in (c for c in COMPONENTS if c in owned):
            mine = owned[component]
            cells = {kind: self._sum(kind, mine) for kind in MEMORY_KINDS if kind != "activations"}
            cells["activations"] = self._sum("saved", mine) if self._training else peaks[component]
            found[component] = {kind: cells[kind] for kind in MEMORY_KINDS}
        return found

    def _peaks(self, owned: Mapping[str, list[Operation]]) -> dict[str, Any]:
        """The peak stands at the component that reaches it; at the first one where several do."""
        found: dict[str, Any] = {}
        left = self.activations
        for component in (c for c in COMPONENTS if c in owned):
            peak = numeric(largest([op.live for op in owned[component]]), self._shape)
            found[component] = peak * (peak == left)
            left = left - found[component]
        return found

    @cached_property
    def peak_operation(self) -> Operation | None:
        """The operation during which most activation bytes live; None for pretraining and for arrays."""
        if self._training or any(isinstance(op.live, Expression) for op in self._listed):
            return None
        return max(self._listed, key=lambda op: op.live, default=None)


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


class Flops(Totals):
    """Floating-point operations; a multiply-add is 2.

    Attributes:
        total: everything. matmul: matrix products, convolutions and attention, what torch's FlopCounterMode counts.
        by_component, by_kind, by_phase: parts of total.
    """

    PARTS = ("matmul",)

    def _said(self, amount: float) -> str:
        """FLOPs for people."""
        return units.flops(amount)

    @cached_property
    def total(self) -> Any:
        """FLOPs of all operations."""
        return self._sum("flops")

    @cached_property
    def matmul(self) -> Any:
        """FLOPs of matrix products, convolutions and attention: what torch's counter counts."""
        return self._sum("flops", (op for op in self._listed if op.kind in MATMUL_KINDS))

    @cached_property
    def by_component(self) -> Mapping[str, Any]:
        """component -> FLOPs."""
        return self._by("flops", COMPONENTS, lambda op: op.component)

    @cached_property
    def by_kind(self) -> Mapping[str, Any]:
        """kind of operation -> FLOPs."""
        return self._by("flops", KINDS, lambda op: op.kind)

    @cached_property
    def by_phase(self) -> Mapping[str, Any]:
        """phase (forward, backward, optimizer) -> FLOPs."""
        return self._by("flops", PHASES, lambda op: op.phase)


class Traffic(Totals):
    """Bytes moved to and from device memory, each operation reading its inputs and writing its outputs once.

    Attributes:
        total: weights + activations + cache. by_component, by_phase: parts of total.
    """

    PARTS = ("weights", "activations", "cache")

    @cached_property
    def total(self) -> Any:
        """Bytes read and written together."""
        return self._sum("traffic")

    @cached_property
    def weights(self) -> Any:
        """Bytes of weights, gradients and optimizer states that are moved."""
        return self._sum("weight traffic")

    @cached_property
    def activations(self) -> Any:
        """Bytes of activations that are moved."""
        return self._sum("activation traffic")

    @cached_property
    def cache(self) -> Any:
        """Bytes of the cache that are moved."""
        return self._sum("cache traffic")

    @cached_property
    def by_component(self) -> Mapping[str, Any]:
        """component -> bytes."""
        return self._by("traffic", COMPONENTS, lambda op: op.component)

    @cached_property
    def by_phase(self) -> Mapping[str, Any]:
        """phase (forward, backward, optimizer) -> bytes."""
        return self._by("traffic", PHASES, lambda op: op.phase)


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
        """Bytes of the cache after the last generated token."""
        return Memory(self._after, False, self._shape).kv_cache
