"""The precision plan of a model: which layers are alike in shape and format, and what each weight is stored in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calculator.formats.named import FORMATS, GGML_FORMATS, Format, format_named, ggml_head
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.numbers.symbolic import Number
from calculator.record.run import weights_of
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.formats.quantization import Picker
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
