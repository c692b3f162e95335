"""One pass on the devices of a layout: what each holds, how long it takes, and what takes the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.parallel.placed import placed
from calculator.record.operation import Operation
from calculator.record.vocabulary import COMPONENT_LIST
from calculator.record.workload import Workload
from calculator.serving.efficiency import efficiency
from calculator.serving.seconds import Seconds, seconds
from calculator.serving.serve import OVERHEAD, USED
from calculator.serving.timing import pass_time, terms

LINKS, ENGINE = "Links", "Engine"
TITLE = {c.name: c.title for c in COMPONENT_LIST}
MOST_DEVICES = 64


@dataclass(frozen=True)
class Held:
    """Bytes on the fullest device, by what they are; `usable`: what an engine may fill of it."""

    kinds: Mapping[str, int]
    usable: int

    @property
    def total(self) -> int:
        return sum(self.kinds.values())

    @property
    def fits(self) -> bool:
        return self.total <= self.usable


@dataclass(frozen=True)
class Passed:
    """One pass of a layout: its time, what takes it (seconds by component, links and engine), and every operation's
    seconds beside it."""

    time: Seconds
    parts: Mapping[str, float]
    operations: tuple[tuple[Operation, float], ...]


def held(model: Model, workload: Workload, device: Device, layout: Layout) -> Held:
    """What the fullest device of a layout holds in an inference pass, with what the engine takes on it.

    Raises:
        DeviceError: the model cannot be laid out so.
    """
    found = []
    for stage in placed(model, workload, layout):
        ops = stage.operations
        kinds = {
            "weights": int(sum(op.weight_bytes * op.stored for op in ops)),
            "kv_cache": int(sum(op.cache_bytes * op.count for op in ops)),
            "activations": int(max((op.live for op in ops), default=0)),
            "runtime": int(OVERHEAD),
        }
        found.append(Held(kinds, int(device.memory * USED)))
    return max(found, key=lambda h: h.total)


def fewest(model: Model, workload: Workload, device: Device) -> int | None:
    """The smallest power of two of devices, as one tensor group, that holds a pass; None beyond 64."""
    count = 1
    while count <= MOST_DEVICES:
        if held(model, workload, device, Layout(tp=count)).fits:
            return count
        count *= 2
    return None


def passed(model: Model, workload: Workload, device: Device, layout: Layout, engine: str) -> Passed:
    """The time of one pass of inference and what takes it.

    Raises:
        DeviceError: no peak or no link of the device is known, or the model cannot be laid out so.
    """
    e = efficiency(device, engine)
    prefill = workload.mode == "prefill"
    context = 0 if prefill else int(workload.sequence_length or 0)
    bound = 0.0
    parts: dict[str, float] = {}
    timed: list[tuple[Operation, float]] = []
    for stage in placed(model, workload, layout):
        found = terms(stage.operations, device, prefill=prefill, context=context)
        for op, term in zip(stage.operations, found, strict=True):
            one = pass_time((term,), e, prefill=prefill)
            bound += one.bound
            name = LINKS if op.phase == "communication" else TITLE[op.component]
            parts[name] = parts.get(name, 0.0) + one.expected
            timed.append((op, one.expected))
    host = e.prefill_host if prefill else e.step + e.sequence * float(workload.batch_size)
    if host:
        parts[ENGINE] = host
    return Passed(seconds(bound, sum(parts.values()), "pass"), parts, tuple(timed))
