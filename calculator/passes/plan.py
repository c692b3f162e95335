"""The precision plan of a model: which layers are alike in shape and format, and what each weight is stored in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calculator.formats.named import FORMATS, GGML_FORMATS, Format, format_named, ggml_head
from calculator.formats.rules import LINEAR, Scheme, Share, converting
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.numbers.symbolic import Number
from calculator.record.run import weights_of
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.parts import Part


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
        self.scheme = self._scheme(model, dtype, training)
        if self.scheme is not None and dtype == "auto":
            self.title = self.scheme.title
        self.beside = bool(model.towers)  # whether rules may call the language model one of several
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

    def _scheme(self, model: Model, dtype: str, training: bool) -> Scheme | None:
        """The rules that say what is not in the native format."""
        if dtype == "auto":
            # Checkpoints are quantized for inference; training "auto" is in the type the config computes in.
            return model.scheme if not training else None
        form = format_named(dtype)
        if not form.quantized:
            return None
        if form.name in GGML_FORMATS:
            return _ggml_scheme(model, form)
        return Scheme(form.title, converting("Linear of the layers", form, "dtype", LINEAR, towers=False), place="")

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
        if self.scheme is None:
            return (None,) * len(weights)
        return tuple(
            self.scheme.form(_module(prefix, w), w, self.native, tower=stack.tower is not None, beside=self.beside)
            if self.asked(w)
            else None
            for w in weights
        )

    def asked(self, weight: Weight) -> bool:
        """Whether a rule may be about the tensor: most say nothing of tensors of one axis."""
        return self.scheme is not None and (self.scheme.vectors or len(weight.shape) > 1)

    def shares(self, prefix: str, weight: Weight, stack: Stack) -> list[Share]:
        """Which rules price the tensor, those of one format for all its experts together."""
        if self.scheme is None or not self.asked(weight):
            return [Share(None, None)]
        tower = stack.tower is not None
        return self.scheme.shares(_module(prefix, weight), weight, tower=tower, beside=self.beside)


def _module(prefix: str, weight: Weight) -> str:
    """What rules call the module that a tensor belongs to."""
    return f"{prefix}{weight.name.removesuffix('.weight')}"


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
