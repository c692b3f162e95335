"""`operations(model, workload)`: the single list from which every number is a sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.errors import WorkloadError
from calculator.formats.named import CACHE_BITS, Format
from calculator.model import Model
from calculator.numbers.symbolic import Expression, Number, numeric, symbol
from calculator.passes.plan import Plan, cache_format, plan_of
from calculator.record.operation import QUANTITIES, Operation
from calculator.record.run import Run, gradient_bytes
from calculator.record.workload import DEFAULT_LENGTH, Workload

ADAMW_FLOPS = 16  # per parameter: two moments (7), bias corrections (2), root and quotient (3), decay and update (4)


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
    queries, past = (steps, length) if workload.mode == "decode" else (length, 0)
    bits = CACHE_BITS[cache_format(model, workload)]
    width = plan.native.bits // 8
    steps = steps if workload.mode == "decode" else 1
    source = encoder_length(model, workload, length) if source is None else source
    run = Run(workload, batch, queries, past, width, 0, bits, plan.native, source=source, steps=steps)
    # Held but not run: a tower, because the workload has no images; an encoder, once its output is in the cache.
    idle: dict[str, Any] = {"causal": False, "active": False, "batch": 0, "past": 0, "steps": 1}
    for planned in plan.stacks:
        changes: dict[str, Any] = {"causal": planned.stack.causal}
        if planned.stack.tower:
            changes = {**idle, "component": "vision"}
        elif planned.stack is model.encoder:
            changes = idle if workload.mode == "decode" else {"causal": False, "queries": source}
        pass_ = replace(run, residual=planned.width, **changes)
        prompt = planned.stack.prompt
        longer = {"past": pass_.past + prompt} if run.decoding else {"queries": pass_.queries + prompt}
        prompted = replace(pass_, **longer) if prompt else pass_
        for group in planned.groups:
            # A prompt ends with the layers: the head sees the sequence's own tokens.
            through = pass_ if group is planned.groups[-1] else prompted
            inner = through.at(group.label, group.count, group.formats, group.prices)
            for part in group.parts:
                inner.parallel = pass_.stream if part.name in group.parallel else 0
                part.write(inner)
    listed = run.out
    if workload.share_experts_across_layers:
        listed = _store_experts_once(listed)
    if workload.mode == "pretraining":
        listed.append(optimizer_step(run, listed))
    return listed


def _store_experts_once(listed: list[Operation]) -> list[Operation]:
    """Routed experts held once for all layers: the first layer's stay, the others' cost nothing to hold."""
    seen: set[str] = set()
    out = []
    for op in listed:
        if op.component == "experts" and op.weights:
            op = replace(op, stored=0 if op.name in seen else 1)
            seen.add(op.name)
        out.append(op)
    return out


def operations(model: Model, workload: Workload) -> list[Operation]:
    """Every operation of the workload, in the order they run; amounts are ints, or arrays of the broadcast shape.

    Args:
        model: what `load_model` returned.
        workload: mode, batch, lengths, precision and options.
    """
    batch, length = symbols(workload.batch_size, resolved_length(model, workload))
    return numbers(forward(model, workload, batch, length), shape_of(batch, length))


def numbers(listed: list[Operation], shape: tuple[int, ...] | None) -> list[Operation]:
    """The operations with plain ints, or with arrays of the shape, for amounts."""
    if shape is None:
        return listed
    return [replace(op, **{q: numeric(getattr(op, q), shape) for q in QUANTITIES}) for op in listed]


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
    return symbol("B", batch, memo), symbol("S", length, memo)


def optimizer_bytes(native: Format) -> int:
    """AdamW's bytes per parameter: two 32-bit moments, and a 32-bit master copy where the weights are narrower
    (arXiv:1910.02054, section 3.1)."""
    return 8 if native.bits == 32 else 12


def optimizer_step(run: Run, listed: list[Operation]) -> Operation:
    """The AdamW update (arXiv:1711.05101) of every stored parameter: elementwise, bound by the bytes it moves."""
    parameters = sum(op.parameters * op.stored for op in listed)
    state = parameters * optimizer_bytes(run.native)
    held = sum(op.weight_bytes * op.stored for op in listed)
    return Operation(
        "adamw",
        "optimizer",
        "elementwise",
        "",
        1,
        1,
        flops=ADAMW_FLOPS * parameters,
        # Without a master copy the weights themselves are read.
        reads=parameters * gradient_bytes(run.workload, run.native) + state + (held if run.native.bits == 32 else 0),
        writes=state + held,
    )
