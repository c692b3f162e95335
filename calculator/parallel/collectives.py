"""Operations that move data between devices, and how many bytes each device sends."""

from __future__ import annotations

from calculator.numbers.symbolic import Number
from calculator.record.operation import Operation, Span, Step

SENT = {
    "all-reduce": lambda size, n: 2 * (n - 1) * size / n,
    "all-gather": lambda size, n: (n - 1) * size / n,
    "reduce-scatter": lambda size, n: (n - 1) * size / n,
    "all-to-all": lambda size, n: (n - 1) * size / n,
    "send": lambda size, n: size,
}
"""Bytes that each of n devices sends for a tensor of `size` bytes, the whole of it over all devices; of an all-reduce
by a ring, a reduce-scatter and an all-gather (Patarasuk and Yuan, 2009)."""


def collective(kind: str, name: str, span: Span, component: str, size: Number, devices: int) -> Operation:
    """One collective of every layer of the span. `reads` is the tensor's bytes, `writes` what a device sends, `groups`
    the devices that take part."""
    step = Step(
        f"{name}.{kind}", component, kind, span, span.label, span.count, 0, target=kind, kernel=f"{name}.{kind}"
    )
    return Operation(step, "communication", reads=size, writes=SENT[kind](size, devices), groups=devices)
