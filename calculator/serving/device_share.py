"""What one device of a layout holds and does, and how long a pass takes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Shown
from calculator.parallel.layout import Layout
from calculator.parallel.placed import Stage, placed
from calculator.passes.totals import Flops, Memory, Traffic
from calculator.record.operation import Operation
from calculator.record.workload import Workload
from calculator.serving.efficiency import efficiency
from calculator.serving.seconds import Seconds, seconds
from calculator.serving.timing import pass_time, terms


@dataclass(frozen=True, repr=False)
class PerDevice(Shown):
    """The fullest device of the fullest pipeline stage.

    Attributes:
        memory, flops, traffic: as of an estimate. sent: bytes that it sends to other devices in a pass.
        operations: its list, collectives among them. stages: all pipeline stages.
    """

    memory: Memory
    flops: Flops
    traffic: Traffic
    sent: float
    operations: tuple[Operation, ...]
    stages: tuple[Stage, ...]

    def summary(self) -> str:
        """What it holds, does, moves and sends."""
        of = f", the fullest of {len(self.stages)} stages" if len(self.stages) > 1 else ""
        does = f"{units.flops(self.flops.total)}, {units.gib(self.traffic.total)} moved"
        return f"{units.gib(self.memory.total)}, {does}, {units.gib(self.sent)} sent to other devices{of}"

    def blocks(self) -> Sequence[Block]:
        """Its memory, FLOPs and bytes moved."""
        sums = (self.memory, self.flops, self.traffic)
        return [Facts(self.summary(), []), *(block for each in sums for block in each.blocks())]


def per_device(model: Model, workload: Workload, layout: Layout) -> PerDevice:
    """What the fullest device holds and does.

    Raises:
        DeviceError: the model cannot be laid out so. WorkloadError: pretraining, or a workload of arrays.
    """
    if workload.mode == "pretraining":
        raise WorkloadError("A layout of a pretraining step is what calculator.train answers; estimate has inference.")
    if any(hasattr(v, "shape") for v in (workload.batch_size, workload.sequence_length)):
        raise WorkloadError("A layout is of one batch size and one length; this workload holds arrays.")
    stages = placed(model, workload, layout)
    counted = [_counted(s) for s in stages]
    fullest = max(range(len(stages)), key=lambda i: counted[i].total)
    operations = stages[fullest].operations
    own = [op for op in operations if op.phase != "communication"]
    sent = sum(float(op.writes) * op.count for op in operations if op.phase == "communication")
    return PerDevice(counted[fullest], Flops(own), Traffic(own), sent, operations, stages)


def _counted(stage: Stage) -> Memory:
    return Memory([op for op in stage.operations if op.phase != "communication"], False)


def time_of(
    share: PerDevice, workload: Workload, device: Device, length: Any, engine: str = "vllm", experts_read: float = 1.0
) -> Seconds:
    """One pass through all stages, without the engine's host: a prompt's prefill, or one decode step. `experts_read`
    is the distinct experts relative to those that the workload's routing counts."""
    prefill = workload.mode != "decode"
    e, context = efficiency(device, engine), 0 if prefill else int(length)
    found = [
        pass_time(
            terms(s.operations, device, prefill=prefill, context=context, experts_read=experts_read), e, prefill=prefill
        )
        for s in share.stages
    ]
    return seconds(sum(f.bound for f in found), sum(f.expected for f in found), "pass", device)
