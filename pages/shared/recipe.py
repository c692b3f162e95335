"""The sidebar of training: how is trained, on how many tokens, and the plans that a cluster allows for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import streamlit as st

from calculator.errors import CalculatorError, DeviceError, WorkloadError
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers.reading import amount
from calculator.sources import memory
from calculator.training import Trained, search, train
from calculator.training.recipe import METHODS, tables
from pages.shared import fields

AUTO = "auto"
HOUR = 3600  # seconds that plans are kept, as many as the visitors' memory has room for
COUNTS = (1, 2, 4, 8, 16, 32, 64)
STEP = 2**22  # tokens of a step of full training where nobody says: what models of this decade were trained with
TUNED = 16  # sequences of a step that tunes
CHOICES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "method": ("Method", METHODS, "All weights, or adapters on a frozen base: LoRA in 16 bit, QLoRA in 4."),
    "optimizer": ("Optimizer", tuple(tables()["optimizers"]), "What keeps its states beside the weights."),
    "train_as": ("Trained in", tuple(tables()["precisions"]), "Of weights, gradients and products."),
    "loss": ("Loss", tuple(tables()["losses"]), "Whether logits are held at once."),
    "zero": (
        "ZeRO",
        (AUTO, "0", "1", "2", "3"),
        "What copies divide: 1 optimizer states, 2 and gradients, 3 and weights (FSDP). auto: the fastest that fits.",
    ),
    "recompute": (
        "Recompute",
        (AUTO, "none", "selective", "ops", "full"),
        "What the backward pass computes again to keep less. auto: the fastest that fits.",
    ),
}


@dataclass(frozen=True)
class Recipe:
    """What the sidebar says of training.

    Attributes:
        fields: of `calculator.Training`, without those that are searched. sequences: of a step, None for the usual.
        tokens: to train on.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    sequences: int | None = None
    tokens: int = 10**9

    def step(self, length: int, devices: int) -> int:
        """Sequences of a step: four million tokens' worth where all weights are trained, else a few."""
        if self.sequences is not None:
            return self.sequences
        usual = TUNED if self.fields.get("method", "full") != "full" else 2 ** max(0, (STEP // length).bit_length() - 1)
        return max(devices, usual)


class Found(NamedTuple):
    """The step that is shown, and every plan that fits, the fastest first; without one the step does not fit."""

    case: Trained
    plans: tuple[Trained, ...]


def choose_work(refused: fields.Refused) -> tuple[int | None, int]:
    """Draw sequences a step and tokens to train on; their length stands beside them."""
    with st.container(gap="xxsmall"):
        sequences = fields.number(
            "Sequences a step",
            "step",
            refused,
            placeholder="usual",
            help="Over all devices, whatever the micro-batch. Empty: four million tokens' worth, or 16 for adapters.",
        )
    with st.container(gap="xxsmall"):
        said = st.text_input(
            "Tokens in all",
            key="tokens",
            bind="query-params",
            persist_state="session",
            placeholder="1B",
            max_chars=40,
            help="To train on, for time and cost. Reads 300M, 1.4T, 1e12.",
        )
        try:
            return sequences, amount(said, "Tokens in all") if (said or "").strip() else 10**9
        except WorkloadError as error:
            refused.beside(str(error))
            return sequences, 10**9


def choose_recipe() -> dict[str, Any]:
    """Draw the recipe; what is left to the search is not in it."""
    st.subheader("Recipe", anchor=False)
    found: dict[str, Any] = {}
    with st.grid(2, min_column_width=100, gap="xsmall"):
        for key, (label, options, meaning) in CHOICES.items():
            found[key] = st.selectbox(
                label, options, key=key, bind="query-params", persist_state="session", help=meaning
            )
    found["precision"] = found.pop("train_as")
    chosen = {name: value for name, value in found.items() if value != AUTO}
    if "zero" in chosen:
        chosen["zero"] = int(chosen["zero"])
    return chosen


def found(model: Model, device: Device, count: int | None, length: int, recipe: Recipe) -> Found:
    """The fastest plan on so many devices, or on the fewest that hold the job; what does not fit where none does.

    Raises:
        CalculatorError: numbers outside what is allowed.
    """
    # A model is built once for all who ask for it, and what is kept keeps it: its id stands for it.
    said = (*sorted(recipe.fields.items()), recipe.sequences)
    key = ("plans", id(model), repr(device), count, length, said)
    return memory.current().made(key, HOUR, lambda: _tried(model, device, count, length, recipe))


def _tried(model: Model, device: Device, count: int | None, length: int, recipe: Recipe) -> Found:
    with st.spinner("Trying layouts…"):
        for devices in (count,) if count else COUNTS:
            try:
                listed = search.plans(
                    model,
                    device=device,
                    devices=devices,
                    sequence_length=length,
                    global_batch=recipe.step(length, devices),
                    **recipe.fields,
                )
            except DeviceError:
                if count or devices == 1:
                    raise
                return Found(_too_large(model, device, 1, length, recipe), ())  # no link is known that would join two
            if listed:
                return Found(listed[0], listed)
    return Found(_too_large(model, device, count or COUNTS[-1], length, recipe), ())


def _too_large(model: Model, device: Device, devices: int, length: int, recipe: Recipe) -> Trained:
    """The leanest step of copies, which says by how much it is short."""
    zero = recipe.fields.get("zero", 3 if devices > 1 else 0)
    again = recipe.fields.get("recompute", "full")
    return train(
        model,
        device=device,
        devices=devices,
        sequence_length=length,
        micro_batches=max(1, recipe.step(length, devices) // devices),
        **{**recipe.fields, "zero": zero, "recompute": again},
    )


def side_by_side(case: Trained, recipes: dict[str, dict[str, Any]]) -> dict[str, Trained]:
    """Other recipes of one sequence on copies of the model, as many as the case has devices. A recipe that has no row
    for the case's precision is left out."""
    steps: dict[str, Trained] = {}
    for name, changes in recipes.items():
        try:
            steps[name] = train(
                case.model,
                device=case.device,
                devices=case.layout.devices,
                sequence_length=case.sequence_length,
                micro_batches=max(1, case.batch_size * case.micro_batches * case.layout.dp // case.layout.devices),
                training=case.training.with_(**changes),
            )
        except CalculatorError:
            continue
    return steps
