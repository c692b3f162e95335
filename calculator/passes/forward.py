"""`operations(model, workload)`: the single list from which every number is a sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.errors import WorkloadError, needs
from calculator.formats.cache import cache_format_named
from calculator.model import Model
from calculator.numbers.symbolic import Expression, Number, numeric, symbol
from calculator.numbers.symbols import BATCH, LENGTH
from calculator.passes.plan import Plan, PlannedStack, cache_format, plan_of
from calculator.passes.training import training_step
from calculator.record.operation import OF_THE_PASS, Operation
from calculator.record.options import DEFAULT_LENGTH
from calculator.record.run import Run
from calculator.record.vocabulary import HELD
from calculator.record.workload import Workload


def resolved_length(model: Model, workload: Workload) -> Any:
    """The workload's sequence length, with the default and "max" looked up in the model."""
    length = workload.sequence_length
    if length is None:
        return min(DEFAULT_LENGTH, model.context_length or DEFAULT_LENGTH)
    if isinstance(length, str):
        if model.context_length is None:
            raise WorkloadError(
                f"{model.name} states no longest context, so --seq-len max has no meaning; give a number."
            )
        return model.context_length
    return length


def encoder_length(model: Model, workload: Workload, length: Number) -> Number:
    """Tokens per sequence that the encoder reads; 0 for a model without one."""
    if model.encoder is None:
        return 0
    return workload.encoder_length or model.encoder_length or length


def forward(
    model: Model,
    workload: Workload,
    batch: Number,
    length: Number,
    *,
    steps: int = 1,
    plan: Plan | None = None,
    source: Number | None = None,
) -> list[Operation]:
    """The operations of a pass in numbers of whatever kind `batch`, `length` and the plan's parts hold."""
    if workload.mode == "decode" and not model.text.causal:
        raise WorkloadError(
            f"{model.name} is an encoder and generates no tokens, so it has no decode mode; choose prefill or "
            "pretraining."
        )
    plan = plan or plan_of(model, workload)
    decoding = workload.mode == "decode"
    run = Run(
        workload,
        batch,
        steps if decoding else length,
        length if decoding else workload.past_length,
        source=encoder_length(model, workload, length) if source is None else source,
        steps=steps if decoding else 1,
        width=plan.native.bits // 8,
        cache_format=cache_format_named(cache_format(model, workload)),
        native=plan.native,
        modules=model.modules,
    )
    for planned in plan.stacks:
        _write(planned, _pass_over(planned, run, planned.stack is model.encoder))
    return _store_experts_once(run.out) if workload.share_experts_across_layers else run.out


def _pass_over(planned: PlannedStack, run: Run, encoder: bool) -> Run:
    """The pass as a stack sees it. Held but not run are a tower, because the workload has no images, and an encoder
    once its output is in the cache: in decode, and where a prompt goes on."""
    stack, width = planned.stack, planned.width
    if stack.tower or (encoder and (run.workload.mode == "decode" or run.past)):
        component = "vision" if stack.tower else None
        return replace(run, residual=width, causal=False, active=False, batch=0, past=0, steps=1, component=component)
    if encoder:
        return replace(run, residual=width, causal=False, queries=run.source, past=0)
    return replace(run, residual=width, causal=stack.causal)


def _write(planned: PlannedStack, through: Run) -> None:
    """The operations of a stack's groups. A prompt of learned tokens goes through the layers and ends with them: the
    head sees the sequence's own tokens."""
    prompt, inside = planned.stack.prompt, through
    if prompt and through.decoding:
        inside = replace(through, past=through.past + prompt)
    elif prompt:
        inside = replace(through, queries=through.queries + prompt)
    for group in planned.groups:
        run = through if group is planned.groups[-1] else inside
        run.go_to(group.span, group.formats, group.steps)
        for part in group.parts:
            run.parallel = through.stream if part.name in group.parallel else 0
            part.write(run)


def _store_experts_once(listed: list[Operation]) -> list[Operation]:
    """Routed experts held once for all layers: the first layer's stay, the others' cost nothing to hold."""
    seen: set[str] = set()
    out = []
    for op in listed:
        if op.component == "experts" and op.weights:
            op = op.stored_as(0 if op.name in seen else 1)
            seen.add(op.name)
        out.append(op)
    return out


def operations(model: Model, workload: Workload) -> list[Operation]:
    """Every operation of the workload, in the order they run; amounts are ints, or arrays of the broadcast shape.

    Args:
        model: what `load_model` returned.
        workload: mode, batch, lengths, precision and options.
    """
    needs("operations", model, Model)
    needs("operations", workload, Workload)
    batch, length = symbols(workload.batch_size, resolved_length(model, workload))
    return numbers(every_operation(model, workload, batch, length), shape_of(batch, length))


def every_operation(
    model: Model,
    workload: Workload,
    batch: Number,
    length: Number,
    *,
    plan: Plan | None = None,
    source: Number | None = None,
) -> list[Operation]:
    """The operations of all phases of the workload's mode."""
    written = forward(model, workload, batch, length, plan=plan, source=source)
    if workload.mode != "pretraining":
        return written
    return training_step(written, workload, (plan or plan_of(model, workload)).native)


def numbers(listed: list[Operation], shape: tuple[int, ...] | None) -> list[Operation]:
    """The operations with plain ints, or with arrays of the shape, for amounts."""
    if shape is None:
        return listed
    return [
        replace(
            op,
            step=replace(op.step, **{q: numeric(getattr(op.step, q), shape) for q in HELD}),
            **{q: numeric(getattr(op, q), shape) for q in OF_THE_PASS},
        )
        for op in listed
    ]


def shape_of(batch: Number, length: Number) -> tuple[int, ...] | None:
    """The broadcast shape of batch and length, None where both are plain.

    Raises:
        WorkloadError: the arrays do not broadcast.
    """
    if not isinstance(batch, Expression):
        return None
    import numpy as np

    arrays = [np.asarray(numeric(n)) for n in (batch, length)]
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        raise WorkloadError(
            f"batch_size of shape {arrays[0].shape} and sequence_length of shape {arrays[1].shape} do not broadcast."
        ) from None


def symbols(batch: Any, length: Any) -> tuple[Number, Number]:
    """Batch and length as plain ints, or both as Expressions over arrays if either is one."""
    batch, length = (int(v) if getattr(v, "shape", None) == () else v for v in (batch, length))
    if not (hasattr(batch, "shape") or hasattr(length, "shape")):
        return batch, length
    memo: dict[Any, Expression] = {}
    return symbol(BATCH, batch, memo), symbol(LENGTH, length, memo)
