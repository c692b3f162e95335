"""The memory of a training step as a timeline: what each event holds, and the largest of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.training.recipe import BASE_FORMATS, Training, tables
from calculator.training.stage import LayerKept, StageKept


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
        return sum(self.terms.values())


def events(
    stage: StageKept, model: Model, training: Training, layout: Layout, *, in_flight: float, accumulates: bool
) -> tuple[States, tuple[Event, ...]]:
    """The events of a step on the fullest device of a stage.

    Args:
        in_flight: micro-batches whose activations the stage holds at once. accumulates: gradients of earlier
            micro-batches stand beside those of the next.
    """
    row = tables()["precisions"][training.precision]
    held = _states(stage, training, layout)
    stored = _stored(stage, training) * in_flight
    layer = max(stage.layers, key=lambda each: each.all, default=LayerKept())
    gathered, unsharded = _gathered(stage, training, layout, row)
    copies = sum(each.fixed for each in stage.layers) if training.column == "autocast" and training.zero < 3 else 0.0
    work = layer.work if training.kernels == "plain" else layer.work / 2
    again = layer.all if training.recompute not in ("none", "selective") else 0.0
    forward, backward = _loss(stage, training)
    before = held.gradients if accumulates and not training.optimizer_in_backward else 0.0
    always = {"weights": held.weights, "optimizer": held.optimizer + held.master, "adapters": held.adapters}
    always |= {"gathered weights": gathered, "casts": copies}
    last = _head_gradient(stage, training, row)
    inside = held.gradients if not training.optimizer_in_backward else _largest(stage, row)
    depth = max(len(stage.layers), 1)
    temporary = _temporary(stage, training, held, layout)
    found = [
        Event("load", {"weights": _loaded(stage, training, row, held), "adapters": held.adapters}),
        Event("loss forward", {**always, "activations": stored, "loss": forward, "gradients": before}),
        Event("loss backward", {**always, "activations": stored, "loss": backward, "gradients": before}),
        Event(
            "last layer",
            {**always, "activations": stored + again, "work": work, "gradients": max(before, last) + unsharded},
        ),
        Event(
            "first layer",
            {**always, "activations": stored / depth + again, "work": work, "gradients": inside + unsharded},
        ),
        Event(
            "optimizer",
            {
                "weights": held.weights,
                "optimizer": held.optimizer + held.master,
                "adapters": held.adapters,
                "gradients": inside,
                "temporaries": temporary,
            },
        ),
    ]
    return held, tuple(found)


def _shards(training: Training, layout: Layout, level: int) -> int:
    return layout.dp * layout.cp if training.zero >= level else 1


def _trainable(stage: StageKept, training: Training) -> float:
    return stage.adapters if training.frozen else stage.parameters


def _states(stage: StageKept, training: Training, layout: Layout) -> States:
    row = tables()["precisions"][training.precision]
    offloaded = training.offloaded
    if training.frozen:
        base = _base_bytes(stage, training)
        width = training.adapter_bytes
        adapters = stage.adapters * width / _shards(training, layout, 3)
        optimizer = _optimizer(training, stage.adapters, 0.0, width, layout)
        return States(
            base / _shards(training, layout, 3),
            optimizer,
            0.0,
            stage.adapters * width / _shards(training, layout, 2),
            adapters,
        )
    whole = stage.parameters
    weights = whole * row["weights"] / _shards(training, layout, 3)
    master = whole * row["master"] / _shards(training, layout, 1)
    gradients = whole * row["gradients"] / _shards(training, layout, 2)
    optimizer = _optimizer(training, whole, stage.ends, row["state"], layout)
    return States(
        0.0 if "parameters" in offloaded else weights,
        0.0 if "optimizer" in offloaded else optimizer,
        0.0 if "optimizer" in offloaded else master,
        gradients,
    )


def _base_bytes(stage: StageKept, training: Training) -> float:
    if training.method != "qlora":
        return stage.parameters * 2
    matrices = sum(layer.matrices for layer in stage.layers)
    return matrices * BASE_FORMATS[training.base_format] + (stage.parameters - matrices) * 2


def _optimizer(training: Training, parameters: float, ends: float, width: int, layout: Layout) -> float:
    """Bytes of optimizer states on a device."""
    row = tables()["optimizers"][training.optimizer]
    if row.get("paged"):
        return 0.0
    if "bytes" in row:
        size = (parameters - ends) * row["bytes"] + ends * row["wide_rows"]
    elif row.get("factored"):
        size = 0.002 * parameters * width  # a row and a column of each matrix
    else:
        wide = row.get("wide_states", row["states"])
        size = ((parameters - ends) * row["states"] + ends * wide) * width
    return float(size) / _shards(training, layout, 1)


def _temporary(stage: StageKept, training: Training, held: States, layout: Layout) -> float:
    row = tables()["optimizers"][training.optimizer]
    width = training.adapter_bytes if training.frozen else tables()["precisions"][training.precision]["state"]
    if training.optimizer_in_backward:
        return 0.0
    return float(_trainable(stage, training) * width * row["temporary"]) / _shards(training, layout, 1)


def _stored(stage: StageKept, training: Training) -> float:
    """What all layers keep between the passes, and the ends."""
    if "activations" in training.offloaded:
        return stage.beside
    how, layers = training.recompute, stage.layers
    if how == "none":
        kept = sum(layer.all for layer in layers)
    elif how == "selective":
        kept = sum(layer.all - layer.scores for layer in layers)
    elif how == "ops":
        kept = sum(min(layer.ops, layer.all) for layer in layers)
    elif how == "full":
        kept = sum(layer.input for layer in layers)
    else:
        kept = sum(layer.input if i % int(how) == 0 else layer.all for i, layer in enumerate(layers))
    return kept + stage.beside


def _loss(stage: StageKept, training: Training) -> tuple[float, float]:
    """Bytes of logits and what is made of them, forward and backward, on the stage that has the head."""
    name, _, count = training.loss.partition(":")
    row = tables()["losses"][name]
    compiled = training.kernels != "plain"
    if "chunks" not in row:
        forward, backward = (
            (row["compiled_forward"], row["compiled_backward"])
            if compiled
            else (
                row["forward"],
                row["backward"],
            )
        )
        return stage.logits * forward, stage.logits * backward
    chunks = int(count) if count else row["chunks"]
    each = (row["compiled_each"],) * 2 if compiled else (row["each_forward"], row["each_backward"])
    return (
        stage.logits * (row["forward"] + each[0] / chunks),
        stage.logits * (row["backward"] + each[1] / chunks),
    )


def _gathered(stage: StageKept, training: Training, layout: Layout, row: Mapping[str, Any]) -> tuple[float, float]:
    """ZeRO 3: the weights of the running and the prefetched layers whole, in 16 bit, and a layer's gradients before
    they are scattered. The embedding and the head are a unit of their own."""
    if training.zero < 3 or layout.dp * layout.cp == 1:
        unsharded = max((layer.parameters for layer in stage.layers), default=0.0) * row["gradients"]
        return 0.0, unsharded if training.zero == 2 and layout.dp > 1 else 0.0
    width = 2 if row["compute"] != "fp32" else 4
    biggest = max((layer.parameters for layer in stage.layers), default=0.0)
    scale = BASE_FORMATS[training.base_format] / 2 if training.method == "qlora" else 1.0
    units = max(biggest * scale * (1 + training.prefetch), stage.ends)
    trained = 0.0 if training.frozen else max(biggest, stage.ends / 2) * row["gradients"]
    return units * width, trained


def _head_gradient(stage: StageKept, training: Training, row: Mapping[str, Any]) -> float:
    return 0.0 if training.frozen or not stage.logits else stage.ends / 2 * float(row["gradients"])


def _largest(stage: StageKept, row: Mapping[str, Any]) -> float:
    """The largest gradient that lives alone."""
    matrices = [layer.matrices / 4 for layer in stage.layers]
    return max([*matrices, stage.ends / 2], default=0.0) * float(row["gradients"])


def _loaded(stage: StageKept, training: Training, row: Mapping[str, Any], held: States) -> float:
    """Weights as they are read, which may be before they are sharded."""
    if training.loading == "sharded":
        return held.weights
    return _base_bytes(stage, training) if training.frozen else stage.parameters * float(row["weights"])
