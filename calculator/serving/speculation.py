"""Speculative decoding: a draft proposes tokens, the target verifies them in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.serving.case import Case
from calculator.serving.timing import PassTime

OWN = "mtp"
"""What names the target's own multi-token-prediction layer as the draft."""
FIELDS = ("draft", "tokens", "acceptance")


@dataclass(frozen=True)
class Speculation:
    """How tokens are drafted.

    Attributes:
        draft: a model, or "mtp", the target's own layer for it. tokens: drafted before each verification.
        acceptance: chance that a drafted token is accepted when those before it are.
    """

    draft: Model | str
    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        if not isinstance(self.draft, Model) and self.draft != OWN:
            raise WorkloadError(f'The draft of a speculation is a loaded model or "{OWN}", not {self.draft!r}.')
        if isinstance(self.tokens, bool) or not isinstance(self.tokens, int) or not 1 <= self.tokens <= 64:
            raise WorkloadError(f"tokens of a speculation must be a whole number from 1 to 64, not {self.tokens!r}.")
        good = isinstance(self.acceptance, int | float) and not isinstance(self.acceptance, bool)
        if not good or not 0 <= self.acceptance < 1:
            raise WorkloadError(f"acceptance must be a share from 0 to below 1, not {self.acceptance!r}.")

    @staticmethod
    def of(said: Speculation | Mapping[str, Any] | None) -> Speculation | None:
        """From its fields by name.

        Raises:
            WorkloadError: a field that it does not have, or one that is missing.
        """
        if said is None or isinstance(said, Speculation):
            return said
        given = dict(said)
        if sorted(given) != sorted(FIELDS):
            raise WorkloadError(f"A speculation has {', '.join(FIELDS)}; given were {', '.join(given) or 'none'}.")
        return Speculation(**given)

    @property
    def tokens_a_step(self) -> float:
        """Tokens that one verification yields, on average: (1 - a^(n + 1)) / (1 - a) (arXiv:2211.17192, equation 1)."""
        return (1 - self.acceptance ** (self.tokens + 1)) / (1 - self.acceptance)

    def token(self, case: Case, batch: int, context: int, host: float) -> tuple[PassTime, float]:
        """The verifying pass, and seconds a token."""
        verify = case.verify(batch, self.tokens + 1, context)
        step = verify.expected + self.tokens * self._drafting(case, batch, context) + host
        gained = self.tokens_a_step
        shares = (getattr(verify, name) / gained for name in PassTime.__dataclass_fields__)
        return PassTime(*shares), step / gained

    def takes(self, case: Case, mean: int) -> tuple[int, int]:
        """Bytes of the fullest device for the draft: its weights, and its cache of a sequence of `mean` tokens."""
        if isinstance(self.draft, Model):
            return _beside(self.draft, case).held(mean)
        operations = [op for op in case.operations("decode", 1, mean) if op.span.layers]
        weights, cache = (sum(getattr(op, n) * op.count for op in operations) for n in ("weight_bytes", "cache_bytes"))
        return int(weights / case.model.layers), int(cache / case.model.layers)

    def _drafting(self, case: Case, batch: int, context: int) -> float:
        """Seconds of one drafted token of every sequence."""
        if isinstance(self.draft, Model):
            return _beside(self.draft, case).decode(batch, context).expected
        # One layer like the target's, in front of the target's own head.
        operations = case.operations("decode", batch, context)
        head = [op for op in operations if op.component == "head"]
        layers = [op for op in operations if op.component != "head"]
        timed = [case.timed(case.terms_of(ops, context), prefill=False).expected for ops in (layers, head)]
        return timed[0] / case.model.layers + timed[1]


def _beside(draft: Model, case: Case) -> Case:
    """The draft on its target's devices: a tensor group of them, without stages (vLLM)."""
    layout = Layout(tp=case.layout.tp, dp=case.layout.dp, pp=1)
    return replace(case, model=draft, layout=layout, dtype="auto", known={})
