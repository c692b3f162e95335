"""Whether each of many batches and contexts fits: one evaluation over arrays."""

from __future__ import annotations

from typing import Any

from calculator.engines.memory.fit import Fit
from calculator.extras import needed

CELLS = 8  # of a map on each axis: as many as a phone has room for
LARGEST_BATCH, LONGEST = 1024, 2**20  # where neither engine nor model has a limit


def fit_map(found: Fit, batches: Any, contexts: Any) -> Any:
    """How much of the pool each batch at each context takes: an array of batches × contexts; at most 1 fits.

    Args:
        found: what `fit` returned; its settings hold for every cell.
        batches, contexts: NumPy integer arrays of one axis.
    """
    np = needed("numpy", "A map")

    each = np.asarray(found.budget.cache.needed(np.asarray(contexts)), dtype=float)
    each = np.broadcast_to(each, len(contexts))  # recurrent states (Mamba) are as large at every length
    if found.cache_pool <= 0:
        return np.full((len(batches), len(contexts)), np.inf)
    return np.asarray(batches)[:, None] * each[None, :] / found.cache_pool


def longest_rows(found: Fit, batches: Any, contexts: Any) -> list[dict[str, Any]]:
    """For each context, the largest of the batches that fits: the edge of the map, to draw."""
    np = needed("numpy", "A map")

    shares = fit_map(found, batches, contexts)
    largest = (shares <= 1).sum(axis=0)
    order = np.sort(np.asarray(batches))
    return [
        {"context": int(context), "batch": int(order[count - 1]) if count else 0}
        for context, count in zip(contexts, largest, strict=True)
    ]


def axes(found: Fit) -> tuple[list[int], list[int]]:
    """Sequences and tokens to draw a map over: powers of two about what was asked, within the limits of engine and
    model, and what was asked."""
    most = max(found.budget.sequences or LARGEST_BATCH, found.concurrency)
    limit = max(found.model.context_length or LONGEST, found.max_model_len)
    batches = {2**k for k in range(11) if 2**k <= most} | {found.concurrency}
    contexts = {2**k for k in range(10, 21) if 2**k <= limit} | {found.max_model_len}
    return _about(batches, found.concurrency), _about(contexts, found.max_model_len)


def _about(values: set[int], asked: int) -> list[int]:
    """At most eight of the values, those about the one that was asked."""
    order = sorted(values)
    first = max(0, min(order.index(asked) - CELLS // 2, len(order) - CELLS))
    return order[first : first + CELLS]


def map_rows(found: Fit) -> list[dict[str, Any]]:
    """A row for each of the sequences and tokens of `axes`: the share of the pool they take (None where there is no
    pool), and whether they fit."""
    np = needed("numpy", "A map")

    batches, contexts = axes(found)
    shares = fit_map(found, np.array(batches), np.array(contexts))
    return [
        {
            "sequences": batch,
            "tokens": context,
            "share": float(share) if np.isfinite(share) else None,
            "fits": bool(share <= 1),
        }
        for batch, row in zip(batches, shares, strict=True)
        for context, share in zip(contexts, row, strict=True)
    ]
