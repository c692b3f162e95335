"""What is built: a frozen description of a model, layer by layer, and the counts that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from calculator.config import LARGEST
from calculator.formats.named import TORCH_DTYPES
from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.record.modules import Modules, modules_of
from calculator.record.operation import Operation
from calculator.record.run import weights_of, written
from calculator.record.vocabulary import COMPONENTS, TITLES

if TYPE_CHECKING:
    from calculator.formats.quantization import Scheme
    from calculator.parts import Experts, Part


@dataclass(frozen=True)
class Layer:
    """One layer: its parts in the order they run.

    Attributes:
        kind: what a person would call it, for instance "sliding attention + experts".
        parallel: names of parts that run beside a sibling, so that an input or an output waits while they run.
    """

    kind: str
    parts: tuple[Part, ...]
    parallel: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """A sequence of layers with what stands before and after it.

    Attributes:
        path: the checkpoint's path of the layers, for instance "model.layers".
        width: features of the residual stream.
        tower: the name of the modality for an encoder beside the language model; None for the language model.
        causal: a token sees only those before it; False for encoders, whose tokens see one another.
        prompt: learned tokens that go through the layers before those of every sequence (CPM-Ant).
    """

    path: str
    width: int
    layers: tuple[Layer, ...]
    before: tuple[Part, ...] = ()
    after: tuple[Part, ...] = ()
    tower: str | None = None
    causal: bool = True
    prompt: int = 0

    @cached_property
    def groups(self) -> tuple[tuple[Layer, tuple[int, ...]], ...]:
        """Equal layers with the indices they stand at, in order of first appearance."""
        found: dict[Layer, list[int]] = {}
        same: dict[int, list[int]] = {}  # most families repeat one object, which costs less to find than to hash
        for index, layer in enumerate(self.layers):
            members = same.get(id(layer))
            if members is None:
                members = same[id(layer)] = found.setdefault(layer, [])
            members.append(index)
        return tuple((layer, tuple(indices)) for layer, indices in found.items())


def _placed(prefix: str, name: str) -> str:
    """The checkpoint's name of a tensor of the layer that `prefix` ends in. Where a type numbers the layers' modules by
    kind (XLM: attentions.0, ffns.0), the name has {} for the layer's index and stands beside the layers' own path."""
    if "{}" not in name:
        return prefix + name
    *path, _, index = prefix.rstrip(".").split(".")
    return ".".join((*path, name.replace("{}", index)))


@dataclass(frozen=True)
class Parameters:
    """Exact parameter counts: every stored tensor once, tied ones once.

    Attributes:
        total: all of the model, vision towers included.
        apart: stored beside the model and run by no pass here (multi-token-prediction layers); not in `total`.
        active: all but the routed experts a token is not sent to and the rows of n-gram tables that it does not look
            up; the token embedding in full, as most makers count.
        touched: the same with the looked-up rows of every embedding: what one token touches. An embedding that is the
            head too is read in full.
        embedding: input embeddings and learned positions.
        by_component: total by component, zero components left out.
    """

    total: int
    active: int
    embedding: int
    by_component: Mapping[str, int]
    apart: int = 0
    touched: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Model(Shown):
    """A model: stacks of layers with their shapes, and the facts the config states beside them.

    Attributes:
        name: what it is called, for instance "Qwen/Qwen2.5-7B".
        source: where the description came from, for people to read.
        model_type: the config's model_type, family: the rules that read it.
        text: the language model; towers: encoders beside it; encoder: of an encoder-decoder model, whose output
            the language model attends to.
        apart: what the checkpoint holds and no pass here runs: multi-token-prediction layers.
        encoder_length: tokens that the encoder reads where its positions fix them (Whisper), None for any number.
        hidden_size, vocabulary_size, context_length: as the config says; the last is None if nothing bounds it.
        config: the parsed config.json with its type's defaults filled in.
        notes: what a reader of the numbers should know about this model.
        stored: how the checkpoint is stored where its headers say it, tensor by tensor; None where the config does.
        certainty: of a model that no family reads, quantity -> "exact", "derived" (from fields of the config) or
            "unknown"; empty where a family does.
    """

    name: str
    source: str
    model_type: str
    text: Stack
    hidden_size: int
    vocabulary_size: int
    context_length: int | None
    config: Mapping[str, Any]
    towers: tuple[Stack, ...] = ()
    notes: tuple[str, ...] = ()
    encoder: Stack | None = None
    encoder_length: int | None = None
    apart: tuple[Stack, ...] = ()
    stored: Scheme | None = field(default=None, repr=False)
    certainty: Mapping[str, str] = field(default_factory=dict)
    plans: dict[str, Any] = field(
        default_factory=dict, repr=False
    )  # precision plans by dtype, made when first asked for

    def summary(self) -> str:
        """Its name, type, parameters and layers."""
        p = self.parameters
        active = "" if p.active == p.total else f", {units.count(p.active)} active"
        return f"{self.name}: {self.model_type}, {units.count(p.total)} parameters{active}, {self.layers} layers"

    def blocks(self) -> Sequence[Block]:
        """What it is, and its parameters by component."""
        p = self.parameters
        sizes = f"{self.layers} layers, hidden {self.hidden_size:,}, vocabulary {self.vocabulary_size:,}"
        facts = [("source", self.source), ("type", self.model_type), ("sizes", sizes)]
        facts += [("active", f"{p.active:,}")] if p.active != p.total else []
        facts += [("context", f"{self.context_length:,}")] if self.context_length else []
        rows = [(TITLES[c], f"{n:,}", f"{n / p.total:.2%}") for c, n in p.by_component.items()]
        total = ("Total", f"{p.total:,}", "100.00%")
        return [
            Facts(self.name, [*facts, *(("note", note) for note in self.notes)]),
            Grid("Parameters", ("Component", "Parameters", "Share"), rows, total),
        ]

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Towers, encoder and language model, in the order they run."""
        return (*self.towers, *((self.encoder,) if self.encoder else ()), self.text)

    def stated(self, *names: str) -> int | float | None:
        """The first of these fields of the language model's config that is a number above zero. A family holds against
        their kinds only the fields it reads, so the others may be anything."""
        inner = self.config.get("text_config")
        for config in (inner, self.config) if isinstance(inner, Mapping) else (self.config,):
            for name in names:
                value = config.get(name)
                if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LARGEST:
                    return value
        return None

    @property
    def layers(self) -> int:
        """Layers of the language model."""
        return len(self.text.layers)

    @cached_property
    def parameters(self) -> Parameters:
        """Counts over the same operations every other number comes from."""
        by_component, active, touched = dict.fromkeys(COMPONENTS, 0), 0, 0
        heads = {op.parameters for op in self._ends if not op.stored and op.component == "head"}
        for stack in self.stacks:
            places = (((stack.before, 1), (stack.after, 1)), ((layer.parts, len(at)) for layer, at in stack.groups))
            for parts, count in chain(*places):
                for op in written(parts):
                    copies = op.stored * count
                    by_component["vision" if stack.tower else op.component] += op.parameters * copies
                    active += op.active * copies
                    looked_up = op.kind == "lookup" and op.parameters not in heads
                    # One token's rows, in the 16 bit that `written` counts in.
                    touched += (op.weight_reads // 2 if looked_up else op.active) * copies
        return Parameters(
            total=sum(by_component.values()),
            active=active,
            touched=touched,
            embedding=by_component["embedding"],
            by_component={c: n for c, n in by_component.items() if n},
            apart=sum(
                w.elements()
                for stack in self.apart
                for parts in (stack.before, *(layer.parts for layer in stack.layers), stack.after)
                for w in weights_of(parts, stored=True)
                if w.role != "buffer"
            ),
        )

    @property
    def _ends(self) -> list[Operation]:
        """What stands before and after the layers of every stack."""
        return [op for stack in self.stacks for parts in (stack.before, stack.after) for op in written(parts)]

    def tensors(self, *, apart: bool = False) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every stored tensor by its name in the checkpoint, with its shape ([outputs, inputs] for a matrix). A tied
        head is stored with the embedding and not listed; buffers are listed; with `apart`, so are the tensors that the
        checkpoint holds and no pass runs."""
        for stack in (*self.stacks, *(self.apart if apart else ())):
            places = [
                ("", stack.before),
                *((f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)),
                ("", stack.after),
            ]
            for prefix, parts in places:
                for weight in weights_of(parts, stored=True):
                    names = (
                        (weight.name.replace("*", str(weight.first + i), 1) for i in range(weight.copies))
                        if "*" in weight.name
                        else (weight.name,)
                    )
                    yield from ((_placed(prefix, name), weight.shape) for name in names)

    @cached_property
    def scheme(self) -> Scheme | None:
        """How the checkpoint is quantized, None if it is not (or not in a way that is understood: see `notes`)."""
        from calculator.formats.quantization import scheme_of

        return self.stored or scheme_of(self.config)[0]

    @cached_property
    def stated_dtype(self) -> str | None:
        """fp32, fp16 or bf16 as `dtype` or `torch_dtype` says; None where the config does not."""
        for name in ("dtype", "torch_dtype"):
            value = self.config.get(name)
            if isinstance(value, str):
                return TORCH_DTYPES.get(value.removeprefix("torch."))
        text = self.config.get("text_config")
        if isinstance(text, Mapping):
            value = text.get("dtype") or text.get("torch_dtype")
            return TORCH_DTYPES.get(value.removeprefix("torch.")) if isinstance(value, str) else None
        return None

    @cached_property
    def modules(self) -> Modules:
        """How transformers' own modules of its type compute."""
        return modules_of(self.config)

    @property
    def experts(self) -> Experts | None:
        """The first mixture of experts, None for a dense model."""
        stacks = (self.text, *((self.encoder,) if self.encoder else ()))
        layers = (layer for stack in stacks for layer in stack.layers)
        return next((cast("Experts", p) for layer in layers for p in layer.parts if p.ROUTED), None)

    def with_layers(self, layers: tuple[Layer, ...], **changes: Any) -> Model:
        """The same model with other layers in its language model: a what-if."""
        return replace(self, text=replace(self.text, layers=layers), plans={}, **changes)
