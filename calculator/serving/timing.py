"""How long one pass takes on one device of a layout: a bound from the datasheet, and what is expected."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from calculator.hardware import Device
from calculator.record.operation import MATMUL_KINDS, Operation, Step
from calculator.serving.efficiency import Efficiency, link_of

TILE = 128  # rows and columns of a matrix product that one multiprocessor computes at a time
TILED = 64  # rows up to which a product is bound by its weights, however it is cut
SPLIT_AT = 512  # cached tokens above which a decode step splits its attention and joins the parts
NATIVE = frozenset(("fp32", "fp16", "bf16", ""))


@dataclass(frozen=True)
class PassTime:
    """Seconds of one pass. `bound`: no device is faster by its datasheet; `expected`; and what it is made of."""

    bound: float
    expected: float
    products: float = 0.0
    memory: float = 0.0
    launches: float = 0.0
    collectives: float = 0.0


def pass_time(
    operations: Iterable[Operation], device: Device, e: Efficiency, *, prefill: bool, context: int = 0
) -> PassTime:
    """The time of a list of operations.

    Args:
        operations: of one device, as `placed` gives them. context: cached tokens of a decode step.
    """
    bound = busy = products = memory = moved = 0.0
    kernels: dict[tuple[str, str], int] = {}
    for op in operations:
        count = op.step.count
        if op.phase == "communication":
            devices = int(op.groups)
            rate = link_of(device, devices)
            bound += count * float(op.writes) / rate
            moved += count * (e.collective + e.hop * max(devices - 2, 0) + float(op.writes) / (rate * e.link))
            continue
        least, compute, traffic = _times(op, device, e, prefill=prefill)
        bound += count * least
        busy += count * max(compute, traffic)
        if compute > traffic:
            products += count * compute
        else:
            memory += count * traffic
        if op.launches and (op.traffic or op.flops):
            key = (op.step.label, op.step.kernel)
            parts = 2 if op.kind == "attention" and not prefill and context > SPLIT_AT else op.launches
            kernels[key] = max(kernels.get(key, 0), parts * count)
    launches = e.launch * sum(kernels.values())
    return PassTime(bound, busy + launches + moved, products, memory, launches, moved)


def _times(op: Operation, device: Device, e: Efficiency, *, prefill: bool) -> tuple[float, float, float]:
    """The bound of one instance, and what arithmetic and memory are expected to take."""
    step = op.step
    traffic = float(op.traffic)
    flops = float(op.flops) if op.kind in MATMUL_KINDS or op.kind == "scan" else 0.0
    arithmetic = arithmetic_on(device, step)
    peak = device.peak_of(arithmetic)
    least = max(flops / peak, traffic / device.bandwidth)
    weights = float(op.weight_reads)
    rate = device.bandwidth * e.memory
    expanded = step.format not in NATIVE and arithmetic in NATIVE
    memory = (traffic - weights) / rate + weights / (rate * (e.dequantized if expanded else 1.0))
    if not flops:
        return least, 0.0, memory
    reached = peak * e.compute * e.low.get(arithmetic, 1.0) * _tiles(op, device)
    reached *= e.experts if op.component == "experts" else e.attention if op.kind == "attention" else 1.0
    if expanded and prefill:
        reached *= e.dequantized_prefill
    return least, flops / reached, memory


def arithmetic_on(device: Device, step: Step) -> str:
    """The format that products are computed in: of MXFP4 weights (gpt-oss) FP8 where the device has units for four
    bits, whose kernels take 8-bit activations; the 16-bit type elsewhere."""
    if step.format == "mxfp4" and step.arithmetic in NATIVE and device.peak.get("fp4"):
        return "fp8"
    return step.arithmetic


def _tiles(op: Operation, device: Device) -> float:
    """The part of the multiprocessors' work that is of use: products are cut into tiles, and the last wave of tiles
    may be short."""
    step, units = op.step, device.units
    if op.kind != "matmul" or not units or not step.inputs or not step.outputs:
        return 1.0
    groups = max(float(op.groups), 1.0)
    rows = float(op.flops) / (2 * float(step.inputs) * float(step.outputs)) / groups
    if rows <= TILED:
        return 1.0
    down = math.ceil(rows / TILE)
    tiles = down * math.ceil(float(step.outputs) / TILE) * groups
    return tiles / (math.ceil(tiles / units) * units) * rows / (TILE * down)
