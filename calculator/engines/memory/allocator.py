"""What torch's caching allocator counts of weights beyond their bytes.

A tensor of 10 MiB and more gets memory of whole 2 MiB, and what is left of them is only split off where it is more than
1 MiB; otherwise it counts as the tensor's (c10/cuda/CUDACachingAllocator.cpp: kMinLargeAlloc, kRoundLarge, kSmallSize,
should_split). It explains what vLLM logs for tensor groups: 0.160 GiB of Qwen2.5-14B and 0.187 of 32B on two devices.
"""

from __future__ import annotations

from collections.abc import Iterable

from calculator.engines.memory.shares import Stage, replica_share
from calculator.formats.named import FORMATS
from calculator.numbers.units import MIB
from calculator.parallel import Layout
from calculator.record.operation import Operation

LARGE, ROUNDED, SPLIT = 10 * MIB, 2 * MIB, MIB
MERGED = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}
"""Projections that engines keep as one matrix."""


def unsplit(size: int) -> int:
    """Bytes that an allocation of so many counts beyond them."""
    left = -size % ROUNDED
    return left if size >= LARGE and left <= SPLIT else 0


def rounding(listed: Iterable[Operation], stage: Stage, layout: Layout, path: str, width: int) -> int:
    """Bytes on a device of the stage that torch counts beyond those of its weights; `width` is bytes of an element
    where no format says otherwise."""
    sizes: dict[tuple[object, ...], int] = {}
    for op in listed:
        if not op.stored or not op.weights or (op.component == "head" and not op.stored):
            continue
        head, _, name = op.name.rpartition(".")
        here = _copies(op, stage, path)
        key = (op.span, head, MERGED.get(name, name), here)
        sizes[key] = sizes.get(key, 0) + _matrix(op, layout, width)
    return sum(unsplit(size) * int(str(key[-1])) for key, size in sizes.items())


def _copies(op: Operation, stage: Stage, path: str) -> int:
    """How many of the operation's layers the stage holds."""
    if op.span.stack != path:
        return op.count * stage.first
    if not op.span.layers:
        return op.count * (stage.last if op.span.after else stage.first)
    return sum(stage.start <= index < stage.stop for index in op.span.layers)


def _matrix(op: Operation, layout: Layout, width: int) -> int:
    """Bytes of the operation's matrices on a device, without biases and scales, which are tensors of their own."""
    vectors = sum(int(w.elements()) for w in op.weights if len(w.shape) < 2)
    form = FORMATS.get(op.step.format)
    bits = form.bits if form is not None else 8 * width
    return round((int(op.parameters) - vectors) * bits / 8 * replica_share(op, layout))
