"""How long one pass takes on one device of a layout: a bound from the datasheet, and what is expected."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from calculator.hardware import Device
from calculator.record.operation import MATMUL_KINDS, Operation
from calculator.serving.efficiency import Efficiency, link_of

TILE = 128  # rows and columns of a matrix product that one multiprocessor computes at a time
TILED = 64  # rows up to which a product is bound by its weights, however it is cut
SPLIT = 512  # terms of a sum that one multiprocessor adds at the least
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


class Term(NamedTuple):
    """One operation of all its layers on one device, in seconds at the datasheet's rates.

    Attributes:
        times: layers that run it. flops: its arithmetic; useful: the part of it that is not padding of tiles.
        weights, moved: its weights and everything else through memory. arithmetic: what its products are computed in.
        stored: "" as computed, "low" weights that are widened first, "experts" those of routed experts.
        experts: whether it is routed experts. kernels: that it starts. devices, sent, kind: of a collective, or "host"
            for weights that stand in the host's memory.
    """

    times: float
    flops: float = 0.0
    useful: float = 1.0
    weights: float = 0.0
    moved: float = 0.0
    arithmetic: str = ""
    stored: str = ""
    experts: bool = False
    kernels: int = 0
    devices: int = 0
    sent: float = 0.0
    kind: str = ""


def terms(
    operations: Iterable[Operation],
    device: Device,
    *,
    prefill: bool,
    context: int = 0,
    experts_read: float = 1.0,
    rows: int = 1,
) -> list[Term]:
    """What the time of a pass is computed from.

    Args:
        operations: of one device, as `placed` gives them. context: cached tokens of a decode step.
        experts_read: distinct experts relative to those that the operations count. rows: tokens of one sequence that
            the operations count as sequences, and that read its cache once.
    """
    found, started = [], dict[tuple[str, str], int]()
    for op in operations:
        step = op.step
        if op.phase == "communication":
            devices = int(op.groups)
            sent = float(op.writes) / link_of(device, devices)
            found.append(Term(step.count, devices=devices, sent=sent, kind=op.kind))
            continue
        flops = float(op.flops) if op.kind in MATMUL_KINDS or op.kind == "scan" else 0.0
        weights, experts = float(op.weight_reads), op.component == "experts"
        others = float(op.traffic) - weights - float(op.cache_reads) * (1 - 1 / rows)
        weights *= experts_read if experts else 1.0
        arithmetic, stored = step.arithmetic, ""
        if device.peak_of(arithmetic) == device.peak_of("bf16"):  # no units for it: its products are 16-bit ones
            arithmetic = arithmetic if arithmetic in NATIVE else "bf16"
        if step.format not in NATIVE and arithmetic in NATIVE:
            stored = "low"
            if experts and step.format == "mxfp4":
                # Units for 4 bit take MXFP4 as it is, beside activations in 8 bit; others widen it in the kernel.
                arithmetic, stored = ("fp8", "") if device.peak.get("fp4") else (arithmetic, "experts")
        kernels = 0
        if op.launches and (op.traffic or op.flops):
            key = (step.label, step.kernel)
            parts = 2 if op.kind == "attention" and not prefill and context > SPLIT_AT else op.launches
            kernels = max(parts - started.get(key, 0), 0)
            started[key] = started.get(key, 0) + kernels
        found.append(
            Term(
                step.count,
                flops / device.peak_of(arithmetic),
                _tiles(op, device, splits=arithmetic in NATIVE or device.vendor != "NVIDIA"),
                weights / device.bandwidth,
                others / device.bandwidth,
                arithmetic,
                stored,
                experts,
                kernels,
            )
        )
    return found


def pass_time(found: Iterable[Term], e: Efficiency, *, prefill: bool) -> PassTime:
    """The time of a pass."""
    bound = busy = products = memory = moved = 0.0
    kernels = 0.0
    for t in found:
        if t.kind == "host":
            bound += t.times * t.sent
            memory += t.times * t.sent
            busy += t.times * t.sent
            continue
        if t.devices:
            bound += t.times * t.sent
            start = e.all_to_all if t.kind == "all-to-all" else e.collective + e.hop * max(t.devices - 2, 0)
            moved += t.times * (start + t.sent / e.link)
            continue
        bound += t.times * max(t.flops, t.weights + t.moved)
        low = t.arithmetic in e.low
        reached = e.compute * e.low.get(t.arithmetic, 1.0) * t.useful
        reached *= e.compute_experts * (e.experts_low if low else 1.0) if t.experts else 1.0
        if t.stored and prefill:
            reached *= e.dequantized_prefill
        widened = {"low": e.dequantized, "experts": e.dequantized_experts}.get(t.stored, 1.0)
        traffic = (t.weights / widened + t.moved) / e.memory
        compute = t.flops / reached
        busy += t.times * max(compute, traffic)
        if compute > traffic:
            products += t.times * compute
        else:
            memory += t.times * traffic
        kernels += t.kernels * t.times
    launches = e.launch * kernels
    return PassTime(bound, busy + launches + moved, products, memory, launches, moved)


def _tiles(op: Operation, device: Device, *, splits: bool) -> float:
    """The part of the multiprocessors' work that is of use: products are cut into tiles, and the last wave of tiles
    may be short. Kernels of 16-bit products split the sum, too, where tiles are fewer than the multiprocessors; those
    of NVIDIA's for FP8 and FP4 do not (timings of single products by aiconfigurator-core 0.12.0, on ten devices)."""
    step, units = op.step, device.units
    if op.kind != "matmul" or not units or not step.inputs or not step.outputs:
        return 1.0
    groups = max(float(op.groups), 1.0)
    rows = float(op.flops) / (2 * float(step.inputs) * float(step.outputs)) / groups
    if rows <= TILED:
        return 1.0
    down = math.ceil(rows / TILE)
    tiles = down * math.ceil(float(step.outputs) / TILE) * groups
    if splits and tiles < units:
        tiles *= max(1, min(int(units // tiles), int(float(step.inputs) // SPLIT)))
    return tiles / (math.ceil(tiles / units) * units) * rows / (TILE * down)
