"""What a training step adds to the forward pass: passes over its list for the gradients and the optimizer's update."""

from __future__ import annotations

from calculator.formats.named import Format
from calculator.numbers.symbolic import Number
from calculator.record.operation import Operation, Step
from calculator.record.workload import Workload

ADAMW_FLOPS = 16  # per parameter: two moments (7), bias corrections (2), root and quotient (3), decay and update (4)


def gradient_bytes(workload: Workload, native: Format) -> int:
    """Bytes per gradient element."""
    return native.bits // 8 if workload.gradient_dtype == "auto" else 4 if workload.gradient_dtype == "fp32" else 2


def optimizer_bytes(native: Format) -> int:
    """AdamW's bytes per parameter: two 32-bit moments, and a 32-bit master copy where the weights are narrower
    (arXiv:1910.02054, section 3.1)."""
    return 8 if native.bits == 32 else 12


def training_step(forward: list[Operation], workload: Workload, native: Format) -> list[Operation]:
    """The forward pass with what it holds for training, the backward pass in reverse order, and AdamW's update."""
    gradient, state = gradient_bytes(workload, native), optimizer_bytes(native)
    for op in forward:  # just written, and nobody else's
        op.gradients, op.states = op.parameters * gradient, op.parameters * state
    return [*forward, *backward(forward), adamw(forward, native)]


def backward(forward: list[Operation]) -> list[Operation]:
    """The gradients: dX = dY·Wᵀ and dW = Xᵀ·dY are as many FLOPs each as the product itself (the first is left out
    where nothing needs it). What was read is read again with the output's gradient; the input's gradient is written,
    and the weights' own."""
    return [_differentiated(op) for op in reversed(forward) if op.step.differentiated != "none"]


def _differentiated(op: Operation) -> Operation:
    step = op.step
    return Operation(
        step,
        "backward",
        flops=op.flops * (2 if step.differentiated == "both" else 1),
        weight_reads=op.weight_reads,
        reads=op.reads + op.writes,
        writes=op.reads + op.gradients,
        live=op.live,
        groups=op.groups,
        launches=op.launches,
    )


def adamw(held: list[Operation], native: Format) -> Operation:
    """The AdamW update (arXiv:1711.05101) of every stored parameter: elementwise, bound by the bytes it moves."""
    parameters: Number = sum(op.parameters * op.stored for op in held)
    states: Number = sum(op.states * op.stored for op in held)
    weights: Number = sum(op.weight_bytes * op.stored for op in held)
    gradients: Number = sum(op.gradients * op.stored for op in held)
    return Operation(
        Step("adamw", "optimizer", "elementwise", arithmetic="fp32", kernel="adamw"),
        "optimizer",
        flops=ADAMW_FLOPS * parameters,
        # Without a master copy the weights themselves are read.
        reads=gradients + states + (weights if native.bits == 32 else 0),
        writes=states + weights,
    )
