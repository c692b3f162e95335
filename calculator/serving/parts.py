"""One pass on the devices of a layout: how long it takes, and what takes the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.parallel.placed import in_turn
from calculator.passes.forward import resolved_length
from calculator.record.operation import Operation
from calculator.record.vocabulary import COMPONENT_LIST
from calculator.record.workload import Workload
from calculator.serving.efficiency import efficiency
from calculator.serving.routing import experts_read
from calculator.serving.seconds import Seconds, seconds
from calculator.serving.timing import pass_time, terms

LINKS, ENGINE = "Links", "Engine"
TITLE = {c.name: c.title for c in COMPONENT_LIST}


@dataclass(frozen=True)
class Passed:
    """One pass of a layout: its time, what takes it (seconds by component, links and engine), and every operation's
    seconds beside it."""

    time: Seconds
    parts: Mapping[str, float]
    operations: tuple[tuple[Operation, float], ...]


def passed(model: Model, workload: Workload, device: Device, layout: Layout, engine: str) -> Passed:
    """The time of one pass of inference and what takes it.

    Raises:
        DeviceError: no peak or no link of the device is known, or the model cannot be laid out so.
    """
    e = efficiency(device, engine)
    prefill = workload.mode == "prefill"
    context = 0 if prefill else int(resolved_length(model, workload))
    read = experts_read(model, workload, layout)
    bound = 0.0
    parts: dict[str, float] = {}
    timed: list[tuple[Operation, float]] = []
    operations = in_turn(model, workload, layout)
    found = terms(operations, device, prefill=prefill, context=context, experts_read=read)
    for op, term in zip(operations, found, strict=True):
        one = pass_time((term,), e, prefill=prefill)
        bound += one.bound
        name = LINKS if op.phase == "communication" else TITLE[op.component]
        parts[name] = parts.get(name, 0.0) + one.expected
        timed.append((op, one.expected))
    host = e.prefill_host if prefill else e.step + e.sequence * float(workload.batch_size)
    if host:
        parts[ENGINE] = host
    return Passed(seconds(bound, sum(parts.values()), "pass", device), parts, tuple(timed))
