"""The list of operations as one device of a layout sees it, with the collectives between devices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache

from calculator.model import Model
from calculator.numbers.symbolic import Number
from calculator.parallel.collectives import collective
from calculator.parallel.layout import Layout
from calculator.passes.forward import forward, resolved_length
from calculator.passes.plan import plan_of
from calculator.record.operation import Operation, Span, Step
from calculator.record.recent import Recent
from calculator.record.split import Split
from calculator.record.workload import Workload

OF_THE_GROUP = frozenset(("mlp", "experts", "head", "embedding"))
"""Components that see the tokens of the whole tensor group also where copies of the attention divide its batch."""


@dataclass(frozen=True)
class Stage:
    """What the fullest device of a pipeline stage does in one pass.

    Attributes:
        operations: with its share of each amount, collectives among them. layers: indices of the model's layers.
        tokens: that it reads a pass.
    """

    operations: tuple[Operation, ...]
    layers: tuple[int, ...]
    tokens: Number


def placed(model: Model, workload: Workload, layout: Layout) -> tuple[Stage, ...]:
    """Each pipeline stage of one copy of the model; the batch divides over the copies, the fullest has ⌈B/dp⌉.

    Raises:
        DeviceError: the model cannot be laid out so.
    """
    divided, tokens, sent = _divided_pass(model, workload, layout)
    bounds = stage_bounds(model.layers, layout.pp)
    stages = []
    for i, (first, last) in enumerate(bounds):
        spans: dict[Span, tuple[Span, str]] = {}  # the operations of a layer stand for the same ones
        cut = (_cut(op, model, (first, last), i, len(bounds), spans) for op in divided)
        inside = [op for op in cut if op is not None]
        if i + 1 < len(bounds):
            inside.append(_send(model, (last - 1,), sent))
        stages.append(Stage(tuple(inside), tuple(range(first, last)), tokens))
    return tuple(stages)


def in_turn(model: Model, workload: Workload, layout: Layout) -> tuple[Operation, ...]:
    """What the devices of all stages of one copy do one after another: the operations of `placed`, those of a layer
    once for all its stages, and what the stages send on.

    Raises:
        DeviceError: the model cannot be laid out so.
    """
    divided, _, sent = _divided_pass(model, workload, layout)
    ends = tuple(last - 1 for _, last in stage_bounds(model.layers, layout.pp)[:-1])
    return (*divided, _send(model, ends, sent)) if ends else divided


def _divided_pass(model: Model, workload: Workload, layout: Layout) -> tuple[tuple[Operation, ...], Number, Number]:
    """The pass of one copy before it is cut into stages, the tokens it reads, and the bytes of a stage's output."""
    layout.check(model)
    batch, length = workload.batch_size, resolved_length(model, workload)
    mine = -(-batch // layout.dp)
    tokens = mine * (1 if workload.mode == "decode" else length)
    width = plan_of(model, workload).native.bits // 8
    return (
        _of_a_copy(model, workload, layout, mine, length),
        tokens,
        tokens * model.hidden_size * width / layout.cp,
    )


def _send(model: Model, ends: tuple[int, ...], size: Number) -> Operation:
    """A stage's output on its way to the next, after each of these layers."""
    return collective("send", "stage", Span(model.text.path, ends), "norm", size, 2)


_DIVIDED: Recent[tuple[Model, tuple[Operation, ...]]] = Recent(10_000)
"""Passes that were lately divided, of at most so many operations together: pipelines of any depth cut the same one, and
what is held is the same whatever the load."""


def _of_a_copy(model: Model, workload: Workload, layout: Layout, batch: int, length: Number) -> tuple[Operation, ...]:
    """The pass of one copy of the model over its tensor, sequence and expert groups, before it is cut into stages."""
    asked = tuple(getattr(workload, f.name) for f in fields(workload) if f.name != "batch_size")
    groups = (layout.tp, layout.cp, layout.ep, layout.attention_dp, layout.sequence_parallel)
    key = (id(model), asked, batch, length, groups)
    known = _DIVIDED.get(key)
    if known is not None and known[0] is model:
        return known[1]
    listed = forward(model, workload, batch, length)
    experts = _of_all_copies(model, workload, layout, batch, length)
    found = tuple(_divided(listed, experts, model, layout))
    _DIVIDED.put(key, (model, found), max(len(found), 1))
    return found


def stage_bounds(layers: int, stages: int) -> list[tuple[int, int]]:
    """First and last-but-one layer of each stage: the layers as evenly as they go, the earlier stages one more."""
    each, rest = divmod(layers, stages)
    found, first = [], 0
    for i in range(stages):
        last = first + each + (i < rest)
        found.append((first, last))
        first = last
    return found


def _of_all_copies(
    model: Model, workload: Workload, layout: Layout, batch: int, length: Number
) -> dict[str, Operation]:
    """The routed experts' operations over the tokens of all copies that their devices serve."""
    copies = copies_served(layout)
    if copies == 1 or model.experts is None:
        return {}
    listed = forward(model, workload, batch * copies, length)
    return {f"{op.layers}/{op.name}": op for op in listed if op.component == "experts"}


def copies_served(layout: Layout) -> int:
    """Copies of the model whose tokens meet at the experts."""
    return max(1, layout.ep // (layout.tp * layout.cp))


def _divided(
    listed: list[Operation], experts: dict[str, Operation], model: Model, layout: Layout
) -> Iterator[Operation]:
    """Each operation's share, and the collectives where what stands partial must be whole."""
    pending: dict[tuple[str, tuple[int, ...]], str] = {}
    for op in listed:
        if op.component == "vision" or (model.encoder is not None and op.span.stack == model.encoder.path):
            yield _share(op, layout, layout.tp)
            continue
        devices = layout.tp if op.component in OF_THE_GROUP else layout.attention_tp
        whole = experts.get(f"{op.layers}/{op.name}", op)
        yield _share(whole, layout, devices)
        place = (op.span.stack, op.span.layers)
        if op.split.kind == "lookup" and layout.tp > 1:
            yield collective("all-reduce", op.name, op.span, "embedding", _mine(op, layout), layout.tp)
        elif op.split.output == "partial" and op.span.layers:
            # Routed and shared experts are summed before they are brought together.
            pending[place] = "experts" if pending.get(place) == "experts" else op.component
        elif op.split.kind == "join" and place in pending:
            yield from _joined(op, pending.pop(place), model, layout, _mine(op, layout))
        elif op.name.startswith("lm_head") and op.split.kind == "vocabulary" and layout.tp > 1 and op.kind == "matmul":
            yield collective("all-gather", op.name, op.span, "head", _mine(op, layout), layout.tp)


def _mine(op: Operation, layout: Layout) -> Number:
    """Bytes that an operation writes for the tokens of one part of the sequence."""
    return op.writes / layout.cp if layout.cp > 1 else op.writes


def _joined(op: Operation, branch: str, model: Model, layout: Layout, size: Number) -> Iterator[Operation]:
    """What brings a branch together before it is added to the residual stream: one all-reduce; between copies of the
    attention, the tokens to the devices that need them and back."""
    name, span = f"{branch}.join", op.span
    if branch not in OF_THE_GROUP:
        if layout.attention_tp > 1:
            yield collective("all-reduce", name, span, "attention", size / layout.attention_dp, layout.attention_tp)
        return
    apart = layout.attention_dp > 1 or copies_served(layout) > 1
    if branch == "experts" and layout.ep > 1 and apart and model.experts is not None:
        rows = size * model.experts.top_k / layout.attention_dp
        yield collective("all-to-all", f"{name}.dispatch", span, "experts", rows, layout.ep)
        yield collective("all-to-all", f"{name}.combine", span, "experts", rows, layout.ep)
    elif layout.attention_dp > 1:
        yield collective("all-gather", name, span, branch, size, layout.tp)
        yield collective("reduce-scatter", name, span, branch, size, layout.tp)
    elif layout.tp > 1:
        yield collective("all-reduce", name, span, branch, size, layout.tp)


def _share(op: Operation, layout: Layout, devices: int) -> Operation:
    """The operation as the fullest device runs it."""
    split, batch = op.split, 1 / layout.cp
    if op.component == "experts":
        held, work = _experts_held(op, layout), 1 / (layout.ep * _widths(layout))
        batch = work
    else:
        held = _shared(split, devices)
        if op.component not in OF_THE_GROUP or split.kind in ("replicated", "join"):
            batch /= layout.attention_dp
        work = float(held) * batch
        if layout.sequence_parallel and split.kind in ("replicated", "join") and op.kind == "elementwise":
            work = batch = work / devices
    cached = _cache_share(op, devices) / (layout.cp * layout.attention_dp)
    part = float(held)
    return replace(
        op,
        step=_held(op, held),
        flops=op.flops * work,
        weight_reads=op.weight_reads * part,
        reads=op.reads * (work if split.input == "sharded" else batch),
        writes=op.writes * (work if split.output == "sharded" else batch),
        cache_bytes=_whole(op.cache_bytes * cached) if op.cache_bytes else 0,
        cache_reads=op.cache_reads * float(cached),
        cache_writes=op.cache_writes * float(cached),
        live=_rounded(op.live * max(work, batch / devices)),
        groups=op.groups / layout.ep if op.component == "experts" else op.groups,
    )


def _cache_share(op: Operation, devices: int) -> Fraction:
    """The part of an operation's cache that a device holds; a recurrent state is where its channels or heads are."""
    if not op.split.cache and op.kind in ("scan", "convolution"):
        return _shared(op.split, devices)
    return op.split.cache_share(devices)


@lru_cache(maxsize=4096)
def _shared(split: Split, devices: int) -> Fraction:
    return split.share(devices)


def _held(op: Operation, held: Fraction) -> Step:
    """What a device holds of the operation's weights."""
    step = op.step
    if held == 1 or not step.weights:
        return step
    column, row = step.split.kind in ("column", "vocabulary"), step.split.kind == "row"
    return replace(
        step,
        weight_bytes=_whole(step.weight_bytes * held),
        parameters=_whole(step.parameters * held),
        active=_whole(step.active * held),
        outputs=step.outputs * float(held) if column else step.outputs,
        inputs=step.inputs * float(held) if row else step.inputs,
    )


def _widths(layout: Layout) -> int:
    """Devices that divide the width of each expert."""
    return max(1, layout.tp * layout.cp // layout.ep)


def _experts_held(op: Operation, layout: Layout) -> Fraction:
    """The part of the routed experts that the fullest device holds: whole ones by ep, the rest by their width."""
    experts = int(op.split.pieces[0][1]) if op.split.pieces else layout.ep
    return Fraction(-(-experts // layout.ep), experts * _widths(layout))


def _whole(size: Number) -> Number:
    """A part of a whole number of bytes, rounded up."""
    return -(-size.numerator // size.denominator) if isinstance(size, Fraction) else size


def _rounded(size: Number) -> Number:
    """Whole bytes, rounded up."""
    return math.ceil(size) if isinstance(size, float) else size


def _cut(
    op: Operation,
    model: Model,
    bounds: tuple[int, int],
    stage: int,
    stages: int,
    spans: dict[Span, tuple[Span, str]],
) -> Operation | None:
    """The part of an operation that a stage runs: its layers of the language model; what stands before them and beside
    them on the first stage, what stands after them on the last."""
    whole = op.span
    if stages == 1:
        return op
    if whole.stack != model.text.path:
        return op if stage == 0 else None
    if not whole.layers:
        return op if stage == (stages - 1 if whole.after else 0) else None
    if whole not in spans:
        span = Span(whole.stack, tuple(i for i in whole.layers if bounds[0] <= i < bounds[1]))
        spans[whole] = span, span.label
    span, label = spans[whole]
    count = len(span.layers)
    if not count:
        return None
    if count == len(whole.layers):
        return op
    return replace(
        op, step=replace(op.step, span=span, label=label, count=count, stored=count if op.step.stored else 0)
    )
