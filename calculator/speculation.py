"""`speculate(target, draft)`: a model and the draft that proposes its tokens, in one budget of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calculator.errors import WorkloadError, needs
from calculator.estimation import Estimate, estimate
from calculator.model import Model
from calculator.record.workload import Workload

OWN = "mtp"
"""What names the target's own multi-token-prediction layers as the draft."""


@dataclass(frozen=True)
class Speculation:
    """Both estimates of one workload. Sums are bytes.

    Attributes:
        target, draft: the estimates, each whole; tables that the draft shares with its target stand in the target's.
    """

    target: Estimate
    draft: Estimate

    @property
    def weights(self) -> Any:
        """Bytes of both models' weights."""
        return self.target.memory.weights + self.draft.memory.weights

    @property
    def kv_cache(self) -> Any:
        """Bytes of both models' caches."""
        return self.target.memory.kv_cache + self.draft.memory.kv_cache

    @property
    def activations(self) -> Any:
        """The most activation bytes alive at once: the two run in turn."""
        both = (self.target.memory.activations, self.draft.memory.activations)
        if not any(hasattr(each, "shape") for each in both):
            return max(both)
        import numpy as np

        return np.maximum(*both)

    @property
    def total(self) -> Any:
        """Bytes in all."""
        return self.weights + self.kv_cache + self.activations

    def rows(self) -> list[dict[str, Any]]:
        """A row for the target, one for the draft, and their sum."""
        found = [
            {"part": part, "model": e.model.name, "parameters": e.model.parameters.total, **_bytes(e)}
            for part, e in (("target", self.target), ("draft", self.draft))
        ]
        parameters = sum(row["parameters"] for row in found)
        whole = {name: getattr(self, name) for name in ("weights", "kv_cache", "activations", "total")}
        names = " + ".join(row["model"] for row in found)
        return [*found, {"part": "both", "model": names, "parameters": parameters, **whole}]


def _bytes(e: Estimate) -> dict[str, Any]:
    memory = e.memory
    found = {name: getattr(memory, name) for name in ("weights", "kv_cache", "activations")}
    return {**found, "total": memory.total}


def speculate(target: Model, draft: Model, workload: Workload | None = None, **options: Any) -> Speculation:
    """Memory of a target and its draft together.

    Args:
        target, draft: what `load_model` returned; `own_draft(target)` is the target's prediction layers.
        workload: as for `estimate`, or its fields as keywords.

    Raises:
        WorkloadError: pretraining, which runs one of the two; or an option outside what is allowed.
    """
    needs("speculate", workload, Workload, optional=True)
    chosen = (workload or Workload(mode="decode")).with_(**options)
    if chosen.mode == "pretraining":
        raise WorkloadError("A draft proposes tokens for inference; choose decode or prefill, or estimate it alone.")
    return Speculation(estimate(target, chosen), estimate(draft, chosen))


def own_draft(target: Model) -> Model:
    """The target's multi-token-prediction layers as a draft.

    Raises:
        ConfigError: its family knows none.
    """
    from calculator.config import Config
    from calculator.sources.load import model_from_config

    needs("own_draft", target, Model)

    config = target.config
    raw = dict(config.raw if isinstance(config, Config) else config)
    return model_from_config({**raw, "architectures": ["MTP"]}, name=f"{target.name} prediction", source=target.source)
