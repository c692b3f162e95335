"""The table of a sweep: a row for every model and workload, a column for what differs and for every total."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from calculator.numbers import units as words
from calculator.record.options import OPTIONS
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.report import text

if TYPE_CHECKING:
    from calculator.estimation import Estimate

Column = tuple[str, Callable[["Estimate"], str]]


def blocks(estimates: Sequence[Estimate], table: str) -> list[text.Block]:
    """What all share, and the table.

    Args:
        estimates: at least one, in the order of the rows. table: "memory", "flops", "reuse" or "all".
    """
    names = list(dict.fromkeys(e.model.name for e in estimates))
    first = estimates[0]
    shared = [("counted", text.conventions(first)), *_shared(estimates)]
    title = first.model.name if len(names) == 1 else f"{len(names)} models"
    model: list[Column] = [] if len(names) == 1 else [("Model", lambda e: e.model.name)]
    columns = [*model, *_differing(estimates), *_totals(estimates, table)]
    rows = [tuple(word(e) for _, word in columns) for e in estimates]
    grid = text.Grid("Memory in GiB of 2^30 bytes", tuple(name for name, _ in columns), rows, left=len(model))
    return [text.Facts(title, shared), grid]


def _shared(estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """The mode, and every remark once."""
    notes = dict.fromkeys(n for e in estimates for n in e.notes)
    warnings = dict.fromkeys(w for e in estimates for w in e.warnings)
    modes = dict.fromkeys(text.MODES[e.workload.mode] for e in estimates)
    return [("mode", ", ".join(modes)), *(("note", n) for n in notes), *(("warning", w) for w in warnings)]


def _differing(estimates: Sequence[Estimate]) -> list[Column]:
    """Batch and length, and the other options that were listed."""
    always: list[Column] = [
        ("Batch", lambda e: f"{e.workload.batch_size:,}"),
        ("Tokens", lambda e: f"{e.sequence_length:,}"),
    ]
    return [*always, *((name, _field(name)) for name in listed_fields(estimates))]


def listed_fields(estimates: Sequence[Estimate]) -> list[str]:
    """The fields of the workload, beside batch and length, that differ."""
    names = [o.field for o in OPTIONS if o.field not in ("batch_size", "sequence_length")]
    return [name for name in names if len({getattr(e.workload, name) for e in estimates}) > 1]


def _field(name: str) -> Callable[[Estimate], str]:
    def said(e: Estimate) -> str:
        value: Any = getattr(e.workload, name)
        return f"{value:,}" if isinstance(value, int) else str(value)

    return said


def _totals(estimates: Sequence[Estimate], table: str) -> list[Column]:
    kinds = [kind for kind in MEMORY_KINDS if any(getattr(e.memory, kind) for e in estimates)]
    memory: list[Column] = [(TITLES[kind], _kind(kind)) for kind in kinds] + [("Memory", _kind("total"))]
    work: list[Column] = [("FLOPs", lambda e: words.flops(e.flops.total))]
    reuse: list[Column] = [
        ("Moved", lambda e: words.gib(e.traffic.total)),
        ("Intensity", lambda e: words.intensity(e.intensity)),
    ]
    chosen = {"memory": memory, "flops": work, "reuse": [*work, *reuse]}
    return chosen.get(table, [*memory, *work, *reuse])


def _kind(name: str) -> Callable[[Estimate], str]:
    return lambda e: words.gib(getattr(e.memory, name))
