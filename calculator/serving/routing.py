"""How many of a mixture's experts a pass reads: real prompts prefer some of them."""

from __future__ import annotations

from functools import lru_cache

from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.parallel.placed import copies_served
from calculator.passes.forward import resolved_length
from calculator.record.workload import Workload

SKEW = 1.0
"""Exponent of the power law by which tokens choose experts: the i-th is chosen i ** -SKEW times as often as the first.
The tables of kernel times that the model was compared with were taken at exponents of 1.01 and 1.2
(aiconfigurator-core 0.12.0, column `distribution` of its tables of mixtures)."""


def experts_read(model: Model, workload: Workload, layout: Layout) -> float:
    """Distinct experts that a pass reads, relative to what the workload's routing counts."""
    mixture = model.experts
    if mixture is None or workload.expert_capacity_factor is not None:
        return 1.0
    queries = 1 if workload.mode == "decode" else int(resolved_length(model, workload))
    tokens = -(-int(workload.batch_size) // layout.dp) * copies_served(layout) * queries
    counted = drawn(mixture.experts, mixture.top_k, tokens, 0.0)
    if workload.routing != "uniform":
        counted = min(mixture.experts, tokens * mixture.top_k)
    return drawn(mixture.experts, mixture.top_k, tokens, SKEW) / counted


@lru_cache(maxsize=4096)
def drawn(experts: int, top_k: int, tokens: int, skew: float) -> float:
    """Distinct experts that so many tokens choose, each token `top_k` different ones, where an expert's share of the
    tokens falls by a power law but is never above all of them."""
    weights = [float(rank**-skew) for rank in range(1, experts + 1)]
    always, rest, total = 0, float(top_k), sum(weights)
    while always < experts and weights[always] * rest >= total * (1 - 1e-12):
        total -= weights[always]
        rest -= 1
        always += 1
    return always + sum(1.0 - (1.0 - w * rest / total) ** tokens for w in weights[always:])
