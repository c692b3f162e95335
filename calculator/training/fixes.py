"""What makes a training step fit: changes of its recipe, each tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from calculator.training.train import Trained


class Change(NamedTuple):
    """A change that makes a step fit.

    Attributes:
        words: what it is. peak: bytes allocated at most with it. saved: bytes less than before.
        slower: how much longer a step takes, as a factor; None where there is no time.
    """

    words: str
    peak: int
    saved: int
    slower: float | None


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
    ("full recomputation and a fused loss", {"recompute": "full", "loss": "fused"}),
    ("ZeRO 3 with full recomputation and a fused loss", {"zero": 3, "recompute": "full", "loss": "fused"}),
    ("optimizer states in the host's memory", {"offload": "optimizer", "recompute": "full", "loss": "fused"}),
    ("LoRA of rank 16", {"method": "lora", "recompute": "full", "loss": "fused"}),
    ("QLoRA of rank 16", {"method": "qlora", "recompute": "full", "loss": "fused"}),
)
"""Changes of a recipe, from what costs least time to what changes what is trained."""


def fixes(found: Trained) -> tuple[Change, ...]:
    """Changes with which the step fits, in the order of `CHEAPEST`."""
    good = []
    for words, changes in CHEAPEST:
        if "zero" in changes and found.layout.dp * found.layout.cp == 1:
            continue
        if all(getattr(found.training, name) == value for name, value in changes.items()):
            continue
        again = found.with_(**changes)
        if again.fits:
            slower = (
                again.step_time.expected / found.step_time.expected if again.step_time and found.step_time else None
            )
            good.append(Change(words, again.peak, found.peak - again.peak, slower))
    return tuple(good)
