"""The precision plan of a model: which layers are alike in shape and format, and what each weight is stored in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import ref

from calculator.errors import ConfigError
from calculator.formats.alike import Alike
from calculator.formats.named import FORMATS, GGML_FORMATS, MIXTURES, Format, format_named, ggml_head
from calculator.formats.rules import LINEAR, Scheme, Share, converting
from calculator.formats.weight import Weight
from calculator.limits import limits
from calculator.model import Layer, Model, Stack
from calculator.numbers.symbolic import Number
from calculator.record.operation import Span, Step
from calculator.record.recent import Recent
from calculator.record.run import weights_of, written
from calculator.record.workload import Workload

if TYPE_CHECKING:
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
class Plan:
    """A model in one precision: which layers are alike, and each weight's format where it is not the native one.

    Attributes:
        native: the format of what is not quantized, and of activations. title: the precision in words.
        scheme: the rules that say what is not in the native format, None where all is.
        beside: whether rules may call the language model one of several.
    """

    native: Format
    title: str
    scheme: Scheme | None
    beside: bool
    stacks: tuple[PlannedStack, ...] = ()

    def asked(self, weight: Weight) -> bool:
        """Whether a rule may be about the tensor: most say nothing of tensors of one axis."""
        return self.scheme is not None and (self.scheme.vectors or len(weight.shape) > 1)

    def form(self, prefix: str, weight: Weight, stack: Stack) -> Format | None:
        """The format of a tensor below `prefix`; None for the native one."""
        if self.scheme is None or not self.asked(weight):
            return None
        tower = stack.tower is not None
        return self.scheme.form(_module(prefix, weight), weight, self.native, tower=tower, beside=self.beside)

    def alike(self, stack: Stack, layers: tuple[int, ...], weights: tuple[Weight, ...]) -> list[Alike]:
        """Layers of a stack that no rule tells apart, of those that hold these weights."""
        if self.scheme is None:
            return [Alike(layers, {})]
        return self.scheme.alike(stack.path, layers, weights, tower=stack.tower is not None, beside=self.beside)

    def shares(self, prefix: str, weight: Weight, stack: Stack) -> list[Share]:
        """Which rules price the tensor, those of one format for all its experts together."""
        if self.scheme is None or not self.asked(weight):
            return [Share(None, None)]
        tower = stack.tower is not None
        return self.scheme.shares(_module(prefix, weight), weight, tower=tower, beside=self.beside)


def _module(prefix: str, weight: Weight) -> str:
    """What rules call the module that a tensor belongs to."""
    return f"{prefix}{weight.name.removesuffix('.weight')}"


def planned(model: Model, dtype: str, training: bool) -> Plan:
    """The plan of a model for a precision by name, as `plan_of` keeps it.

    Raises:
        ConfigError: it has too many tensors for a mixture, which names each.
    """
    native, title = _native(model, dtype)
    scheme = _scheme(model, dtype, training)
    if scheme is not None and dtype == "auto":
        title = scheme.title
    plan = Plan(native, title, scheme, bool(model.towers))
    return replace(plan, stacks=tuple(_planned_stack(stack, plan) for stack in model.stacks))


def _native(model: Model, dtype: str) -> tuple[Format, str]:
    stated = model.stated_dtype or "bf16"
    if dtype == "auto":
        return FORMATS[stated], FORMATS[stated].title
    form = format_named(dtype)
    if not form.quantized:
        return form, form.title
    # Quantized engines compute in 16 bit whatever the checkpoint was saved in.
    return FORMATS["bf16" if stated == "fp32" else stated], form.title


def _scheme(model: Model, dtype: str, training: bool) -> Scheme | None:
    """The rules that say what is not in the native format."""
    if dtype == "auto":
        # Checkpoints are quantized for inference; training "auto" is in the type the config computes in.
        return model.scheme if not training else None
    form = format_named(dtype)
    if not form.quantized:
        return None
    if form.name in MIXTURES:
        from calculator.passes.recipe import mixed_scheme

        _check_named(model)
        return mixed_scheme(model, form.name)
    if form.name in GGML_FORMATS:
        return _ggml_scheme(model, form)
    return Scheme(form.title, converting("Linear of the layers", form, "dtype", LINEAR, towers=False), place="")


def _check_named(model: Model) -> None:
    groups = (group for stack in model.stacks for group in stack.groups)
    named = sum(len(layers) * len(weights_of(layer.parts)) for layer, layers in groups)
    if named > limits().named:
        raise ConfigError(
            f"{model.name} has {named:,} tensors in its layers; a mixture, which has a rule for each, is made of "
            f"{limits().named:,} at most. Check the number of layers in the config, or choose another precision."
        )


def _planned_stack(stack: Stack, plan: Plan) -> PlannedStack:
    groups = [group for layer, layers in stack.groups for group in _groups_of(layer, layers, stack, plan)]
    first, last = (
        Group(parts, Span(stack.path, after=after), _formats_of(parts, stack, plan))
        for parts, after in ((stack.before, False), (stack.after, True))
    )
    return PlannedStack(stack, (first, *groups, last), stack.width)


def _groups_of(layer: Layer, layers: tuple[int, ...], stack: Stack, plan: Plan) -> Iterator[Group]:
    """Equal layers, those apart whose formats differ."""
    if plan.scheme is None:  # nothing tells layers apart
        yield Group(layer.parts, Span(stack.path, layers), {}, layer.parallel)
        return
    weights = weights_of(layer.parts)
    found: dict[tuple[Format | None, ...], list[int]] = {}
    for same in plan.alike(stack, layers, weights):  # by their first layer
        prefix = f"{stack.path}.{same.layers[0]}."
        with plan.scheme.standing_for(same):
            forms = tuple(plan.form(prefix, weight, stack) for weight in weights)
        found.setdefault(forms, []).extend(same.layers)
    for forms, members in found.items():
        yield Group(layer.parts, Span(stack.path, tuple(sorted(members))), _chosen(weights, forms), layer.parallel)


def _formats_of(parts: tuple[Part, ...], stack: Stack, plan: Plan) -> dict[str, Format]:
    """The formats of what stands before or after the layers."""
    if plan.scheme is None:
        return {}
    weights = weights_of(parts)
    return _chosen(weights, tuple(plan.form("", weight, stack) for weight in weights))


def _ggml_scheme(model: Model, form: Format) -> Scheme:
    """As llama.cpp converts: all matrices and the embedding, a better type for the head (and for an embedding that is
    the head too), routers and vectors in 32 bit; towers, which are files of their own, in 16 bit."""
    from calculator.parts import Head

    head = ggml_head(form)
    tied = any(isinstance(part, Head) and part.tied for part in model.text.after)
    forms = {"embedding": head if tied else form, "head": head}
    rest = frozenset(("router", "norm", "convolution", "vector", "buffer"))
    rules = (
        *converting("matrices", form, "dtype", LINEAR, towers=False),
        *(rule for role, f in forms.items() for rule in converting(role, f, "dtype", frozenset((role,)), towers=False)),
        *converting("routers and vectors", FORMATS["fp32"], "dtype", rest, towers=False),
    )
    return Scheme(form.title, rules, vectors=True)


def _chosen(weights: tuple[Weight, ...], formats: tuple[Format | None, ...]) -> dict[str, Format]:
    return {w.name: f for w, f in zip(weights, formats, strict=True) if f is not None}


def plan_of(model: Model, workload: Workload) -> Plan:
    """The model's precision plan for the workload, made once."""
    training = workload.mode == "pretraining"
    key = f"{workload.dtype}{'+training' if training else ''}"
    known: Plan | None = model.plans.get(key)
    if known is None:
        known = model.plans[key] = planned(model, workload.dtype, training)
        size = sum(len(written(group.parts)) for stack in known.stacks for group in stack.groups)
        _KEPT.put((id(model), key), ref(model), size)
    return known


def _forget(key: Any, whose: ref[Model]) -> None:
    model = whose()
    if model is not None:
        model.plans.pop(key[1], None)


_KEPT: Recent[ref[Model]] = Recent(30_000, _forget)
"""The plans that models hold, of at most so many operations over all models: one model has a plan for each format."""


def cache_format(model: Model, workload: Workload) -> str:
    """The KV cache's format by name."""
    if workload.kv_dtype != "auto":
        return workload.kv_dtype
    asked = model.scheme.cache if model.scheme and workload.dtype == "auto" else None
    return asked or plan_of(model, workload).native.name
