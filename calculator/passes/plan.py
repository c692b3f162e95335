"""The precision plan of a model: which layers are alike in shape and format, and what each weight is stored in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calculator.formats.named import FORMATS, GGML_FORMATS, Format, format_named, ggml_head
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.numbers.symbolic import Number
from calculator.record.operation import Span, Step
from calculator.record.run import weights_of
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.formats.quantization import Picker
    from calculator.parts import Part


@dataclass(slots=True)
class Group:
    """Layers that are alike, in shape and in format: what one operation with a count stands for."""

    parts: tuple[Part, ...]
    span: Span
    formats: dict[str, Format]
    parallel: tuple[str, ...] = ()
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(slots=True)
class PlannedStack:
    """A stack as groups, what stands before its layers first and what stands after them last."""

    stack: Stack
    groups: tuple[Group, ...]
    width: Number  # of the residual stream


@dataclass(frozen=True, slots=True)
class Prices:
    """The format of each weight.

    Attributes:
        pick: by module, role and whether it is a tower's; None where nothing is quantized.
        vectors: whether tensors of one axis have formats of their own.
    """

    pick: Picker | None
    vectors: bool

    def of(self, prefix: str, weight: Weight, stack: Stack) -> Format | None:
        """The format of a weight below `prefix`; None for the native one."""
        if self.pick is None or not (self.vectors or len(weight.shape) > 1):
            return None
        return self.pick(f"{prefix}{weight.name.removesuffix('.weight')}", weight.role, stack.tower is not None)


@dataclass(frozen=True, slots=True)
class Plan:
    """A model in one precision: which layers are alike, and each weight's format where it is not the native one.

    Attributes:
        native: the format of what is not quantized, and of activations. title: the precision in words.
        prices: the format of each weight by its name.
    """

    native: Format
    title: str
    stacks: tuple[PlannedStack, ...]
    prices: Prices


def planned(model: Model, dtype: str, training: bool) -> Plan:
    """The plan of a model for a precision by name, as `plan_of` keeps it."""
    native, title = _native(model, dtype)
    pick = _picker(model, dtype, training)
    scheme = model.scheme if dtype == "auto" and not training else None
    prices = Prices(pick, dtype in GGML_FORMATS or (scheme is not None and scheme.vectors))
    stacks = tuple(_planned_stack(stack, prices) for stack in model.stacks)
    return Plan(native, scheme.title if scheme and pick is not None else title, stacks, prices)


def _native(model: Model, dtype: str) -> tuple[Format, str]:
    stated = model.stated_dtype or "bf16"
    if dtype == "auto":
        return FORMATS[stated], FORMATS[stated].title
    form = format_named(dtype)
    if not form.quantized:
        return form, form.title
    # Quantized engines compute in 16 bit whatever the checkpoint was saved in.
    return FORMATS["bf16" if stated == "fp32" else stated], form.title


def _picker(model: Model, dtype: str, training: bool) -> Picker | None:
    if dtype == "auto":
        # Checkpoints are quantized for inference; training "auto" is in the type the config computes in.
        return model.scheme.pick if model.scheme and not training else None
    form = format_named(dtype)
    if not form.quantized:
        return None
    if form.name in GGML_FORMATS:
        return _ggml_picker(model, form)
    return lambda module, role, tower: form if role in ("linear", "experts") and not tower else None


def _planned_stack(stack: Stack, prices: Prices) -> PlannedStack:
    def formats(prefix: str, weights: tuple[Weight, ...]) -> tuple[Format | None, ...]:
        return tuple(prices.of(prefix, weight, stack) for weight in weights)

    groups: list[Group] = []
    for layer, indices in stack.groups:
        weights = weights_of(layer.parts)
        alike: dict[tuple[Format | None, ...], list[int]] = {}
        for index in indices:
            alike.setdefault(formats(f"{stack.path}.{index}.", weights), []).append(index)
        for forms, members in alike.items():
            span = Span(stack.path, tuple(members))
            groups.append(Group(layer.parts, span, _chosen(weights, forms), layer.parallel))
    first, last = (
        Group(parts, Span(stack.path, after=after), _chosen(weights, formats("", weights)))
        for parts, after in ((stack.before, False), (stack.after, True))
        for weights in (weights_of(parts),)
    )
    return PlannedStack(stack, (first, *groups, last), stack.width)


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


def _chosen(weights: tuple[Weight, ...], formats: tuple[Format | None, ...]) -> dict[str, Format]:
    return {w.name: f for w, f in zip(weights, formats, strict=True) if f is not None}


def plan_of(model: Model, workload: Workload) -> Plan:
    """The model's precision plan for the workload, made once."""
    training = workload.mode == "pretraining"
    key = f"{workload.dtype}{'+training' if training else ''}"
    if key not in model.plans:
        model.plans[key] = planned(model, workload.dtype, training)
    plan: Plan = model.plans[key]
    return plan


def cache_format(model: Model, workload: Workload) -> str:
    """The KV cache's format by name."""
    if workload.kv_dtype != "auto":
        return workload.kv_dtype
    asked = model.scheme.cache if model.scheme and workload.dtype == "auto" else None
    return asked or plan_of(model, workload).native.name
