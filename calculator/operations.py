"""`operations(model, workload)`: the single list from which every number is a sum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError
from calculator.formats import CACHE_BITS, FORMATS, GGML_FORMATS, Format, format_named, ggml_head
from calculator.model import Model, Stack
from calculator.operation import QUANTITIES, Operation, Weight
from calculator.run import Run, gradient_bytes
from calculator.symbolic import Expression, Number, numeric, symbol
from calculator.workload import DEFAULT_LENGTH, Workload

if TYPE_CHECKING:
    from calculator.parts import Part
    from calculator.quantization import Picker

ADAMW_FLOPS = 16  # per parameter: two moments (7), bias corrections (2), root and quotient (3), decay and update (4)
NATIVE = ("fp32", "fp16", "bf16")


@dataclass(slots=True)
class Group:
    """Layers that are alike, in shape and in format: what one operation with a count stands for."""

    parts: tuple[Part, ...]
    label: str
    count: int
    formats: dict[str, Format]
    parallel: tuple[str, ...] = ()
    prices: dict[str, tuple[Number, Number]] = field(default_factory=dict)


@dataclass(slots=True)
class PlannedStack:
    """A stack as groups, what stands before its layers first and what stands after them last."""

    stack: Stack
    groups: tuple[Group, ...]
    width: Number  # of the residual stream


class Plan:
    """A model in one precision: which layers are alike, and each weight's format where it is not the native one."""

    def __init__(self, model: Model, dtype: str, training: bool) -> None:
        self.native, self.title = self._native(model, dtype)
        self.pick = self._picker(model, dtype, training)
        if self.pick is not None and dtype == "auto" and model.scheme:
            self.title = model.scheme.title
        own = dtype == "auto" and not training and model.scheme is not None and model.scheme.vectors
        self.vectors = own or dtype in GGML_FORMATS  # whether vectors have formats of their own
        self.stacks = [self._stack(stack) for stack in model.stacks]

    def _native(self, model: Model, dtype: str) -> tuple[Format, str]:
        stated = model.stated_dtype or "bf16"
        if dtype == "auto":
            return FORMATS[stated], FORMATS[stated].title
        form = format_named(dtype)
        if not form.quantized:
            return form, form.title
        # Quantized engines compute in 16 bit whatever the checkpoint was saved in.
        return FORMATS["bf16" if stated == "fp32" else stated], form.title

    def _picker(self, model: Model, dtype: str, training: bool) -> Picker | None:
        if dtype == "auto":
            # Checkpoints are quantized for inference; training "auto" is in the type the config computes in.
            return model.scheme.pick if model.scheme and not training else None
        form = format_named(dtype)
        if not form.quantized:
            return None
        if form.name in GGML_FORMATS:
            return _ggml_picker(model, form)
        return lambda module, role, tower: form if role in ("linear", "experts") and not tower else None

    def _stack(self, stack: Stack) -> PlannedStack:
        groups: list[Group] = []
        for layer, indices in stack.groups:
            weights = weights_of(layer.parts)
            alike: dict[tuple[Format | None, ...], list[int]] = {}
            for index in indices:
                alike.setdefault(self._formats(f"{stack.path}.{index}.", weights, stack), []).append(index)
            for formats, members in alike.items():
                label = f"{stack.path}.{index_ranges(members)}"
                groups.append(Group(layer.parts, label, len(members), _chosen(weights, formats), layer.parallel))
        ends = [
            Group(parts, "", 1, _chosen(weights_of(parts), self._formats("", weights_of(parts), stack)))
            for parts in (stack.before, stack.after)
        ]
        return PlannedStack(stack, (ends[0], *groups, ends[1]), stack.width)

    def _formats(self, prefix: str, weights: tuple[Weight, ...], stack: Stack) -> tuple[Format | None, ...]:
        if self.pick is None:
            return (None,) * len(weights)
        tower = stack.tower is not None
        return tuple(
            self.pick(f"{prefix}{w.name.removesuffix('.weight')}", w.role, tower)
            if self.vectors or len(w.shape) > 1
            else None
            for w in weights
        )


def _ggml_picker(model: Model, form: Format) -> Picker:
    """As llama.cpp converts: all matrices and the embedding, a better type for the head (and for an embedding that is
    the head too), routers and vectors in 32 bit; towers, which are files of their own, in 16 bit."""
    from calculator.parts import Head

    head = ggml_head(form)
    tied = any(isinstance(part, Head) and part.tied for part in model.text.after)
    forms = {"linear": form, "experts": form, "embedding": head if tied else form, "head": head}

    def pick(module: str, role: str, tower: bool) -> Format | None:
        return None if tower else forms.get(role, FORMATS["fp32"])

    return pick


def index_ranges(indices: list[int]) -> str:
    """[0, 1, 2, 5] as "0-2,5"; long alternating lists are cut after a few."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]
    return ",".join(words) if len(words) <= 4 else f"{','.join(words[:3])},…,{words[-1]}"


def _chosen(weights: tuple[Weight, ...], formats: tuple[Format | None, ...]) -> dict[str, Format]:
    return {w.name: f for w, f in zip(weights, formats, strict=True) if f is not None}


def weights_of(parts: tuple[Part, ...], *, stored: bool = False) -> tuple[Weight, ...]:
    """The weights that the parts read; with `stored`, without those that are tied to others."""
    run = Run(Workload(), 1, 1, 0, 2, 1, 16, FORMATS["bf16"])
    for part in parts:
        part.write(run)
    names = [op.name for op in run.out if op.weights]
    if len(set(names)) < len(names):
        # Prices are looked up by the operation's name.
        raise RuntimeError(
            f"a layer has two operations of one name: {sorted(n for n in set(names) if names.count(n) > 1)}"
        )
    return tuple(w for op in run.out if op.stored or not stored for w in op.weights)


def plan_of(model: Model, workload: Workload) -> Plan:
    """The model's precision plan for the workload, made once."""
    training = workload.mode == "pretraining"
    key = f"{workload.dtype}{'+training' if training else ''}"
    if key not in model.plans:
        model.plans[key] = Plan(model, workload.dtype, training)
    plan: Plan = model.plans[key]
    return plan


def cache_format(model: Model, workload: Workload) -> str:
    """The KV cache's format by name."""
    if workload.kv_dtype != "auto":
        return workload.kv_dtype
    asked = model.scheme.cache if model.scheme and workload.dtype == "auto" else None
    return asked or plan_of(model, workload).native.name


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
