"""What the fullest device of a pipeline stage keeps: parameters, and tensors of each layer for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.parallel.placed import placed
from calculator.passes.plan import plan_of
from calculator.record.operation import Operation
from calculator.record.recent import Recent
from calculator.record.workload import Workload
from calculator.training.recipe import Training

LINEAR = frozenset(("linear", "experts"))
_QKV, _GATE_UP = frozenset(("q_proj", "k_proj", "v_proj")), frozenset(("gate_proj", "up_proj"))
PACKED = {
    **dict.fromkeys(("Wqkv", "qkv_proj", "query_key_value", "c_attn", "qkv", "attn_qkv"), _QKV),
    "gate_up_proj": _GATE_UP,
}
"""A packed matrix -> its parts, of which an adapter's target may be one, as litgpt has it."""


@dataclass
class LayerKept:
    """Bytes of one layer on one device.

    Attributes:
        all: kept for the backward pass. fixed: kept however many tokens there are. scores: of all, what attention's
            softmax keeps; mixture: what routed experts keep. ops: kept where every second product is computed again.
            input: of the residual stream. neighbour: of another part's keys and values, under context parallelism.
            work: gradients beside what was kept while the layer runs backward.
            parameters, adapters: of its weights and of what trains beside them; experts, matrices: of those, the
            routed experts' and all that adapters can stand beside; largest: of the product with most.
    """

    all: float = 0.0
    fixed: float = 0.0
    scores: float = 0.0
    mixture: float = 0.0
    ops: float = 0.0
    input: float = 0.0
    neighbour: float = 0.0
    work: float = 0.0
    parameters: float = 0.0
    experts: float = 0.0
    matrices: float = 0.0
    adapters: float = 0.0
    largest: float = 0.0


@dataclass
class StageKept:
    """A stage: its layers, and what stands beside them.

    Attributes:
        beside: bytes that embedding, final norm and head keep. ends: parameters of embedding and head, end: of the
            larger one. towers: parameters of stacks beside the text's, which text alone does not run.
        logits: positions times vocabulary on a device, 0 on stages without the head.
    """

    layers: list[LayerKept] = field(default_factory=list)
    beside: float = 0.0
    ends: float = 0.0
    end: float = 0.0
    towers: float = 0.0
    logits: float = 0.0
    tokens: float = 0.0
    operations: tuple[Operation, ...] = ()

    @property
    def parameters(self) -> float:
        """Of the base."""
        return self.ends + self.towers + sum(layer.parameters for layer in self.layers)

    @property
    def tensor(self) -> float:
        """Parameters of the largest tensor."""
        return max([self.end, *(layer.largest / 2 for layer in self.layers)])

    @property
    def experts(self) -> float:
        """Parameters of the routed experts among them, of which there are fewer copies."""
        return sum(layer.experts for layer in self.layers)

    @property
    def adapters(self) -> float:
        """Parameters of the adapters."""
        return sum(layer.adapters for layer in self.layers)


def stages(model: Model, training: Training, layout: Layout, batch: int, length: int) -> list[StageKept]:
    """Every pipeline stage with one micro-batch of so many sequences a copy."""
    workload = Workload(
        mode="pretraining",
        batch_size=batch * layout.dp,
        sequence_length=length,
        kernels=training.column(layout),
        attention=training.attention,
        attention_flops="causal" if training.attention == "flash" else "full",  # eager kernels skip nothing
    )
    layout.check(model)
    key = _key(model, training, layout, batch, length)
    known = _LAID.get(key)
    if known is not None and known[0] is model:
        return known[1]
    width = plan_of(model, workload).native.bits // 8
    found = [
        _stage(stage.operations, model, training, layout, batch * length / layout.cp, width)
        for stage in placed(model, workload, layout)
    ]
    _LAID.put(key, (model, found), sum(len(stage.operations) + len(stage.layers) for stage in found))
    return found


BESIDE = frozenset(("optimizer", "precision", "recompute", "zero", "loss", "base_format", "offload", "prefetch"))
BESIDE |= {"optimizer_in_backward", "loading"}
"""Fields of a recipe that change nothing of what a stage's layers keep, beyond the kernels and the width of inputs."""

_LAID: Recent[tuple[Model, list[StageKept]]] = Recent(10_000)
"""Stages that were lately laid out, of at most so many operations and layers together: a page of recipes asks for the
same ones again and again. They are never changed."""


def _key(model: Model, training: Training, layout: Layout, batch: int, length: int) -> tuple[object, ...]:
    """What the stages depend on; copies of the model divide the batch, of which each has its own."""
    recipe = tuple(str(getattr(training, f.name)) for f in fields(training) if f.name not in BESIDE)
    divided = (layout.tp, layout.pp, layout.cp, layout.ep, layout.attention_dp, layout.sequence_parallel)
    kept = (training.column(layout), training.states(layout).get("inputs"))
    return id(model), batch, length, recipe, divided, kept


def _stage(
    operations: tuple[Operation, ...], model: Model, training: Training, layout: Layout, tokens: float, width: int
) -> StageKept:
    found = StageKept(tokens=tokens, operations=operations)
    wide = _beside_targets(operations, training)
    alike: dict[tuple[int, ...], LayerKept] = {}  # all operations of a layer stand for the same layers
    second: dict[tuple[int, ...], int] = {}
    kernels: dict[tuple[str, tuple[int, ...]], float] = {}
    for op in operations:
        if op.phase == "communication":
            continue
        own = _layer_of(op, training, layout, tokens, width)
        if op.step.kernel and (op.step.kernel, op.span.layers) in wide:
            own.matrices = 0.0
        if not op.span.layers or op.span.stack != model.text.path:
            found.beside += (own.all + own.fixed) * op.count if op.name != "loss" else 0.0
            if op.span.stack != model.text.path:
                found.towers += own.parameters * op.stored
            elif op.stored:
                found.ends += own.parameters
                found.end = max(found.end, own.parameters)
            if op.name == "loss":
                found.logits = float(op.reads) / width / layout.tp
            continue
        if op.kind == "matmul":
            place = op.span.layers
            second[place] = second.get(place, 0) + 1
            own.ops = float(op.writes) if second[place] % 2 else 0.0  # torchtitan keeps the first, the third ...
        elif op.kind == "attention":
            own.ops = float(op.writes)
        _add(alike.setdefault(op.span.layers, LayerKept()), own)
        if op.kind == "matmul" and op.component != "experts":
            kernels[op.step.kernel, op.span.layers] = (
                kernels.get((op.step.kernel, op.span.layers), 0.0) + own.parameters
            )
    for (_, indices), size in kernels.items():
        alike[indices].largest = max(alike[indices].largest, size)
    whole = 1 if not (training.sequence_parallel or layout.sequence_parallel) else layout.tp
    for layer in alike.values():
        layer.input = width * model.hidden_size * tokens / whole
        layer.ops += layer.input
    placed_at = {index: layer for indices, layer in alike.items() for index in indices}
    found.layers = [placed_at[index] for index in sorted(placed_at)]
    return found


def _beside_targets(operations: tuple[Operation, ...], training: Training) -> set[tuple[str, tuple[int, ...]]]:
    """Kernels whose matrices stay in 16 bit because an adapter stands beside one of them (litgpt packs them)."""
    if training.quantizes_targets:
        return set()
    return {(op.step.kernel, op.span.layers) for op in operations if op.step.kernel and targeted(op, training)}


def _add(layer: LayerKept, own: LayerKept) -> None:
    for name in (
        "all",
        "fixed",
        "scores",
        "mixture",
        "ops",
        "parameters",
        "experts",
        "matrices",
        "adapters",
        "neighbour",
    ):
        setattr(layer, name, getattr(layer, name) + getattr(own, name))
    layer.work = max(layer.work, own.work)


def _layer_of(op: Operation, training: Training, layout: Layout, tokens: float, width: int) -> LayerKept:
    """What one operation adds to its layer."""
    own = LayerKept()
    sequence = layout.tp if training.sequence_parallel or layout.sequence_parallel else 1
    divided = {"sequence": sequence, "tensor": layout.tp, "whole": 1}
    trained = targeted(op, training)
    column, narrow = training.column(layout), training.states(layout).get("inputs")
    for tensor in op.keeps:
        if training.frozen and tensor.need == "weight":
            continue
        size = float(tensor.bytes(column)) / divided[tensor.region] / layout.cp
        if tensor.fixed:
            own.fixed += float(tensor.bytes(column))
            continue
        if op.component == "experts":
            # The rows of all copies that meet at these experts, divided over their devices.
            size = float(tensor.bytes(column)) / expert_devices(layout) * training.imbalance
        if narrow and tensor.need == "weight" and op.kind == "matmul" and op.component != "head":
            size *= narrow / width  # a product in 8 bit keeps its input so
        if layout.cp > 1 and op.kind == "attention" and tensor.tensor.endswith("keys and values"):
            own.neighbour += size
        if training.repeats_kv and op.kind == "attention" and tensor.tensor.endswith("keys and values"):
            size *= float(op.split.pieces[0][1]) / float(op.split.cache or op.split.pieces[0][1])
        own.all += size
        own.mixture += size if op.component == "experts" else 0.0
        if op.kind == "elementwise" and op.name.endswith((".softmax", "attention.softmax")):
            own.scores += size
    if trained:
        rows = (
            float(op.flops) / (2 * float(op.step.inputs) * float(op.step.outputs))
            if op.step.inputs and op.step.outputs
            else tokens
        )
        inputs, outputs, rank = float(op.step.inputs), float(op.step.outputs), training.rank
        copies = sum(w.copies if "*" in w.name else 1 for w in op.weights if w.role in LINEAR)
        own.adapters = (inputs + outputs) * rank * (1 if op.component != "experts" else copies)
        # A 32-bit adapter reads a 32-bit copy of its input; a 16-bit one the input itself, kept once by who shares it.
        own.all += rows * (inputs * training.adapter_bytes + rank * training.adapter_bytes)
        if training.dora:  # the base's result and the adapter's, which the magnitudes scale
            own.adapters += outputs
            own.all += rows * outputs * (2 + training.adapter_bytes)
        if training.dropout:
            own.all += rows * inputs * (training.adapter_bytes + 1)
    own.parameters = float(op.step.parameters)
    own.experts = own.parameters if op.component == "experts" else 0.0
    own.matrices = own.parameters if any(w.role in LINEAR for w in op.weights) else 0.0
    if op.step.split.kind in ("inner", "expert") and op.kind == "elementwise":
        own.work = float(op.reads)
    return own


def expert_devices(layout: Layout) -> int:
    """Devices that divide the routed experts: whole ones by ep, each one's width by what is left of the group."""
    return layout.ep * max(1, layout.tp * layout.cp // layout.ep)


def targeted(op: Operation, training: Training) -> bool:
    """Whether an adapter stands beside the operation's matrix."""
    if not training.frozen or op.kind != "matmul" or not any(w.role in LINEAR for w in op.weights):
        return False
    if training.targets == "all-linear":
        return op.component != "experts"  # PEFT adapts modules, and packed experts are none
    names = (training.targets,) if isinstance(training.targets, str) else training.targets
    return op.step.target in names or not PACKED.get(op.step.target, frozenset()).isdisjoint(names)
