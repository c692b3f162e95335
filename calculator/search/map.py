"""Whether each of many batches and contexts fits: one evaluation over arrays."""

from __future__ import annotations

from typing import Any

from calculator.engines.memory.fit import Fit


def fit_map(found: Fit, batches: Any, contexts: Any) -> Any:
    """How much of the pool each batch at each context takes: an array of batches × contexts; at most 1 fits.

    Args:
        found: what `fit` returned; its settings hold for every cell.
        batches, contexts: NumPy integer arrays of one axis.
    """
    import numpy as np

    each = np.asarray(found.budget.cache.needed(np.asarray(contexts)), dtype=float)
    if found.cache_pool <= 0:
        return np.full((len(batches), len(contexts)), np.inf)
    return np.asarray(batches)[:, None] * each[None, :] / found.cache_pool


def longest_rows(found: Fit, batches: Any, contexts: Any) -> list[dict[str, Any]]:
    """For each context, the largest of the batches that fits: the edge of the map, to draw."""
    import numpy as np

    shares = fit_map(found, batches, contexts)
    largest = (shares <= 1).sum(axis=0)
    order = np.sort(np.asarray(batches))
    return [
        {"context": int(context), "batch": int(order[count - 1]) if count else 0}
        for context, count in zip(contexts, largest, strict=True)
    ]
