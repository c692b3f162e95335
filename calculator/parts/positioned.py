"""What runs for some of the positions only: a pooled token of each sequence, or those whose logits are wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.numbers.symbols import Symbol
from calculator.parts.base import Part, activation
from calculator.parts.symbols import HIDDEN
from calculator.record.run import Run


@dataclass(frozen=True)
class Positioned(Part):
    """Parts that see one token of each sequence (`pooled`: BERT's pooler reads the first), or otherwise the positions
    whose logits are wanted, as the head after them does.

    Attributes:
        unread: nothing reads the result, so that the backward pass does not come here (LayoutLM pools under any head).
    """

    parts: tuple[Part, ...]
    pooled: bool = False
    unread: bool = False

    def write(self, run: Run) -> None:
        one = self.pooled or run.last_logits
        inner = replace(run, queries=run.steps) if one else run  # writes into the same list
        if self.unread:
            inner = replace(inner, differentiated=False)
        for part in self.parts:
            part.write(inner)


@dataclass(frozen=True)
class Activation(Part):
    """A nonlinearity that stands alone, after a projection outside of the layers."""

    size: int
    component: str = "head"
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"size": HIDDEN}

    def write(self, run: Run) -> None:
        activation(run, self.name, run.tokens, self.size, gated=False, component=self.component)
