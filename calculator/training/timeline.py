"""The memory of a training step as a timeline: what each event holds, and the largest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.training.recipe import BASE_FORMATS, Training, tables
from calculator.training.stage import LayerKept, StageKept, expert_devices


@dataclass(frozen=True)
class States:
    """Bytes of a stage that live through the whole step, on one device."""

    weights: float
    optimizer: float
    master: float
    gradients: float
    adapters: float = 0.0

    @property
    def total(self) -> float:
        """Without gradients, which come and go."""
        return self.weights + self.optimizer + self.master + self.adapters


@dataclass(frozen=True)
class Event:
    """A moment of the step with its terms in bytes."""

    name: str
    terms: Mapping[str, float]

    @property
    def total(self) -> float:
        """Bytes of all kinds at that moment."""
        return sum(self.terms.values())


def events(
    stage: StageKept, model: Model, training: Training, layout: Layout, *, in_flight: float, accumulates: bool
) -> tuple[States, tuple[Event, ...]]:
    """The events of a step on the fullest device of a stage.

    Args:
        in_flight: micro-batches whose activations the stage holds at once. accumulates: gradients of earlier
            micro-batches stand beside those of the next.
    """
    row = training.states(layout)
    held = states(stage, training, layout)
    gathered, unsharded = _gathered(stage, training, layout, row)
    casts = sum(each.fixed for each in stage.layers) if training.column(layout) == "autocast" else 0.0
    lasting = {"weights": held.weights, "optimizer": held.optimizer + held.master, "adapters": held.adapters}
    always = {**lasting, "gathered weights": gathered, "casts": casts}
    before = held.gradients if accumulates and not training.optimizer_in_backward else 0.0
    found = [Event("load", {"weights": _loaded(stage, training, row, held), "adapters": held.adapters})]
    found += _of_the_loss(stage, training, layout, always, before, _stored(stage, training) * in_flight)
    found += _of_layers(stage, training, layout, always, (before, unsharded, accumulates, in_flight))
    inside = _inside(stage, training, row, held)
    found.append(
        Event("optimizer", {**lasting, "gradients": inside, "temporaries": _temporary(stage, training, held, layout)})
    )
    return held, tuple(found)


def _of_the_loss(
    stage: StageKept, training: Training, layout: Layout, always: Mapping[str, float], before: float, stored: float
) -> list[Event]:
    """What all layers keep, beside logits and the gradients of earlier micro-batches."""
    forward, backward = _loss(stage, training, layout)
    kept = {**always, "activations": stored}
    head = before + _head_gradient(stage, training, training.states(layout))
    return [
        Event("loss forward", {**kept, "loss": forward, "gradients": before}),
        Event("loss backward", {**kept, "loss": backward, "gradients": before}),
        Event("head backward", {**kept, "loss": _logit_gradients(stage, training), "gradients": head}),
    ]


def _of_layers(
    stage: StageKept,
    training: Training,
    layout: Layout,
    always: Mapping[str, float],
    gradients: tuple[float, float, bool, float],
) -> list[Event]:
    """The backward pass of the last layer, where all that was kept still lives, and of the first, where all gradients
    do. `gradients` are those of earlier micro-batches, of a layer before it is sharded, whether they add up, and how
    many micro-batches are in flight."""
    before, unsharded, accumulates, in_flight = gradients
    row, held = training.states(layout), states(stage, training, layout)
    layer = max(stage.layers, key=lambda each: each.all, default=LayerKept())
    again = {"none": 0.0, "selective": layer.scores, "experts": layer.mixture}.get(str(training.recompute), layer.all)
    one = 2 * stage.tensor * row["state"] if training.optimizer_in_backward else 0.0  # of the update of one tensor
    work = layer.work if training.kernels == "plain" else layer.work / 2
    # Under context parallelism a part's keys and values come in beside its own, and their gradients go on.
    beside = work + one + layer.input + 2 * layer.neighbour
    # A product's gradient stands alone before it is added.
    matrix = _largest(stage, row) if accumulates and not training.frozen else 0.0
    # What the head kept is gone, and the residual stream's gradient has come.
    deep = _stored(stage, training) * in_flight - stage.beside
    last = (before or _head_gradient(stage, training, row)) + matrix + unsharded
    first = _inside(stage, training, row, held) + unsharded
    depth = max(len(stage.layers), 1)
    return [
        Event("last layer", {**always, "activations": deep + again, "work": beside, "gradients": last}),
        Event("first layer", {**always, "activations": deep / depth + again, "work": beside, "gradients": first}),
    ]


def _inside(stage: StageKept, training: Training, row: Mapping[str, Any], held: States) -> float:
    """Gradients that live at the end of a backward pass."""
    if training.optimizer_in_backward:
        return float(max(_largest(stage, row), stage.end * row["gradients"]))
    return held.gradients


def copies(layout: Layout) -> int:
    """Devices that hold the same weights, which ZeRO divides."""
    return layout.dp * layout.cp


def expert_copies(layout: Layout) -> int:
    """Devices that hold the same routed experts: of those of a stage, the ones that expert parallelism leaves."""
    return max(1, layout.tp * copies(layout) // expert_devices(layout))


def _shards(training: Training, layout: Layout, level: int) -> int:
    return copies(layout) if training.zero >= level else 1


def _held(stage: StageKept, training: Training, layout: Layout, level: int) -> float:
    """Parameters of the stage whose states of a level a device holds."""
    if training.zero < level:
        return stage.parameters
    return (stage.parameters - stage.experts) / copies(layout) + stage.experts / expert_copies(layout)


def states(stage: StageKept, training: Training, layout: Layout) -> States:
    """Bytes of weights, optimizer, master copies and gradients on a device of the stage."""
    row = training.states(layout)
    offloaded = training.offloaded
    if training.frozen:
        base = _base_bytes(stage, training)
        width = training.adapter_bytes
        adapters = stage.adapters * width / _shards(training, layout, 3)
        optimizer = _optimizer(training, stage.adapters / _shards(training, layout, 1), 0.0, width)
        return States(
            base / _shards(training, layout, 3),
            optimizer,
            0.0,
            stage.adapters * width / _shards(training, layout, 2),
            adapters,
        )
    weights = _held(stage, training, layout, 3) * row["weights"]
    master = _held(stage, training, layout, 1) * row["master"]
    gradients = _held(stage, training, layout, 2) * row["gradients"]
    optimizer = _optimizer(
        training, _held(stage, training, layout, 1), stage.ends / _shards(training, layout, 1), row["state"]
    )
    return States(
        0.0 if "parameters" in offloaded else weights,
        0.0 if "optimizer" in offloaded else optimizer,
        0.0 if "optimizer" in offloaded else master,
        0.0 if "parameters" in offloaded else gradients,  # they follow their parameters
    )


def _base_bytes(stage: StageKept, training: Training) -> float:
    if training.method != "qlora":
        return stage.parameters * 2
    matrices = sum(layer.matrices for layer in stage.layers)
    return matrices * BASE_FORMATS[training.base_format] + (stage.parameters - matrices) * 2


def _optimizer(training: Training, parameters: float, ends: float, width: int) -> float:
    """Bytes of the optimizer states of so many parameters, `ends` of them an embedding's or a head's."""
    row = tables()["optimizers"][training.optimizer]
    if row.get("paged"):
        return 0.0
    ends = min(ends, parameters)
    if "bytes" in row:
        return float((parameters - ends) * row["bytes"] + ends * row["wide_rows"])
    if row.get("factored"):
        return 0.002 * parameters * width  # a row and a column of each matrix
    wide = row.get("wide_states", row["states"])
    return float(((parameters - ends) * row["states"] + ends * wide) * width)


def _temporary(stage: StageKept, training: Training, held: States, layout: Layout) -> float:
    row = tables()["optimizers"][training.optimizer]
    width = training.adapter_bytes if training.frozen else training.states(layout)["state"]
    if training.optimizer_in_backward:
        return 0.0
    trained = stage.adapters / _shards(training, layout, 1) if training.frozen else _held(stage, training, layout, 1)
    return float(trained * width * row["temporary"])


def _stored(stage: StageKept, training: Training) -> float:
    """What all layers keep between the passes, and the ends."""
    if "activations" in training.offloaded:
        return stage.beside
    how, layers = training.recompute, stage.layers
    if how == "none":
        kept = sum(layer.all for layer in layers)
    elif how == "selective":
        kept = sum(layer.all - layer.scores for layer in layers)
    elif how == "experts":
        kept = sum(layer.all - max(layer.mixture - layer.input, 0.0) for layer in layers)
    elif how == "ops":
        kept = sum(min(layer.ops, layer.all) for layer in layers)
    elif how == "full":
        kept = sum(layer.input for layer in layers)
    else:
        kept = sum(layer.input if i % int(how) == 0 else layer.all for i, layer in enumerate(layers))
    return kept + stage.beside


def _loss(stage: StageKept, training: Training, layout: Layout) -> tuple[float, float]:
    """Bytes of logits and what is made of them, forward and backward, on the stage that has the head."""
    name, _, count = training.loss.partition(":")
    row = tables()["losses"][name]
    if "chunks" not in row:
        kind = _kernels_of_loss(training, layout)
        kind = kind if f"{kind}forward" in row else ""  # a loss of its own kernel costs the same under any others
        return stage.logits * row[f"{kind}forward"], stage.logits * row[f"{kind}backward"]
    chunks = int(count) if count else row["chunks"]
    each = (row["compiled_each"],) * 2 if training.kernels != "plain" else (row["each_forward"], row["each_backward"])
    return (
        stage.logits * (row["forward"] + each[0] / chunks),
        stage.logits * (row["backward"] + each[1] / chunks),
    )


def _logit_gradients(stage: StageKept, training: Training) -> float:
    """What the head's backward pass reads: the logits' gradients in 16 bit, unless the loss made the head's as well."""
    return 2 * stage.logits if tables()["losses"][training.loss.partition(":")[0]]["forward"] else 0.0


def _kernels_of_loss(training: Training, layout: Layout) -> str:
    """Which of a loss's costs is meant: frameworks that divide a model bring a loss of their own."""
    if training.kernels != "fused":
        return ""  # torchtune and torchtitan compile the layers, not the loss
    if layout.tp * layout.pp > 1 or training.states(layout)["master"]:
        return "parallel_"
    return "fused_"


def _gathered(stage: StageKept, training: Training, layout: Layout, row: Mapping[str, Any]) -> tuple[float, float]:
    """ZeRO 3: the weights of the running and the prefetched layers whole, in 16 bit, and a layer's gradients before
    they are scattered. The embedding and the head are a unit of their own."""
    if training.zero < 3 or layout.dp * layout.cp == 1:
        unsharded = max((layer.parameters for layer in stage.layers), default=0.0) * row["gradients"]
        return 0.0, unsharded if training.zero == 2 and layout.dp > 1 else 0.0
    width = 2 if row["compute"] != "fp32" else 4
    if layout.pp > 1:  # what is gathered stays for the next micro-batch, and gradients are scattered after the last
        return stage.parameters * width, 0.0 if training.frozen else stage.parameters * row["gradients"]
    biggest = max((layer.parameters for layer in stage.layers), default=0.0)
    scale = BASE_FORMATS[training.base_format] / 2 if training.method == "qlora" else 1.0
    units = max(biggest * scale * (1 + training.prefetch), stage.ends)
    trained = 0.0 if training.frozen else max(biggest, stage.end) * row["gradients"]
    return units * width, trained


def _head_gradient(stage: StageKept, training: Training, row: Mapping[str, Any]) -> float:
    return 0.0 if training.frozen or not stage.logits else stage.end * float(row["gradients"])


def _largest(stage: StageKept, row: Mapping[str, Any]) -> float:
    """The largest gradient of a layer that stands alone: of gate and up together, or another projection's."""
    return max((layer.largest for layer in stage.layers), default=0.0) * float(row["gradients"])


def _loaded(stage: StageKept, training: Training, row: Mapping[str, Any], held: States) -> float:
    """Weights as they are read, which may be before they are sharded."""
    if training.loading == "sharded":
        return held.weights
    if training.loading == "16-bit":
        return stage.parameters * 2
    return _base_bytes(stage, training) if training.frozen else stage.parameters * float(row["weights"])
