"""What makes a training step fit: changes of its recipe, each tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from calculator.training.recipe import METHODS

if TYPE_CHECKING:
    from calculator.training.result import Trained


class Change(NamedTuple):
    """A change of the recipe.

    Attributes:
        words: what it is. peak: bytes allocated at most with it. saved: bytes less than before.
        slower: how much longer a step takes, as a factor; None where there is no time.
    """

    words: str
    peak: int
    saved: int
    slower: float | None


FEWER = {"recompute": "full", "loss": "fused"}  # what a step holds least with, at the price of a forward pass
CHEAPEST: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a fused loss", {"loss": "fused"}),
    ("compiled kernels", {"kernels": "compiled"}),
    ("a fused optimizer", {"optimizer": "adamw-fused"}),
    ("8-bit AdamW", {"optimizer": "adamw-8bit"}),
    ("selective recomputation", {"recompute": "selective"}),
    ("recomputing every second product", {"recompute": "ops"}),
    ("full recomputation", {"recompute": "full"}),
    ("ZeRO 1", {"zero": 1}),
    ("ZeRO 2", {"zero": 2}),
    ("ZeRO 3", {"zero": 3}),
    ("full recomputation and a fused loss", FEWER),
    ("ZeRO 3 with full recomputation and a fused loss", {"zero": 3, **FEWER}),
    ("8-bit AdamW with full recomputation and a fused loss", {"optimizer": "adamw-8bit", **FEWER}),
    (
        "paged 8-bit AdamW in the backward pass, full recomputation and a fused loss",
        {"optimizer": "paged-adamw-8bit", "optimizer_in_backward": True, **FEWER},
    ),
    ("optimizer states in the host's memory", {"offload": "optimizer", **FEWER}),
    ("LoRA of rank 16, full recomputation and a fused loss", {"method": "lora", **FEWER}),
    ("QLoRA of rank 16, full recomputation and a fused loss", {"method": "qlora", **FEWER}),
)
"""Changes of a recipe, from what costs least time to what changes what is trained."""


def fixes(found: Trained) -> tuple[Change, ...]:
    """Changes with which the step fits, in the order of `CHEAPEST`."""
    return tuple(change for change, fits in _tried(found) if fits)


def savings(found: Trained) -> tuple[Change, ...]:
    """Single changes that leave what is trained as it is, enough or not, by the bytes that each saves."""
    single = {words for words, changes in CHEAPEST if len(changes) == 1}
    saved = [change for change, _ in _tried(found) if change.words in single and change.saved > 0]
    return tuple(sorted(saved, key=lambda change: -change.saved))


def _tried(found: Trained) -> Iterator[tuple[Change, bool]]:
    for words, changes in CHEAPEST:
        if not _applies(found, changes):
            continue
        again = found.with_(**changes)
        slower = again.step_time.expected / found.step_time.expected if again.step_time and found.step_time else None
        yield Change(words, again.peak, found.peak - again.peak, slower), bool(again.fits)


def _applies(found: Trained, changes: dict[str, Any]) -> bool:
    """Whether a change is one: it alters the recipe, there are copies to shard over, and a frozen base stays so."""
    recipe = found.training
    if all(getattr(recipe, name) == value for name, value in changes.items()):
        return False
    if changes.get("zero", 4) <= recipe.zero or ("zero" in changes and found.layout.dp * found.layout.cp == 1):
        return False
    if "optimizer_in_backward" in changes and found.micro_batches > 1:
        return False
    adapters = recipe.frozen and ("optimizer" in changes or "offload" in changes)
    return not adapters and METHODS.index(changes.get("method", recipe.method)) >= METHODS.index(recipe.method)
