"""The tables of an estimate as rows of raw numbers: what CSV, JSON, DataFrames and the text output are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, choose
from calculator.passes.totals import intensity_class
from calculator.record.operation import MATMUL_KINDS, Operation
from calculator.record.vocabulary import COMPONENTS, HELD, MEMORY_KINDS, PHASES, QUANTITIES
from calculator.report.formats import format_rows
from calculator.version import version

if TYPE_CHECKING:
    from calculator.estimation import Estimate

Row = dict[str, Any]


def rows(estimate: Estimate, kind: str) -> list[Row]:
    """A table of a single workload.

    Raises:
        WorkloadError: no such table, or the estimate holds arrays.
    """
    if kind not in TABLES:
        raise WorkloadError(f"Table {kind!r} is not known; {choose(kind, TABLES)}")
    if not estimate.scalar:
        raise WorkloadError("A table shows one batch size and one length; this estimate holds arrays.")
    return TABLES[kind](estimate)


def memory_rows(estimate: Estimate) -> list[Row]:
    """component × kind of memory in bytes, with each component's share of the total."""
    whole = estimate.memory.total
    return [
        {"component": component, **cells, "total": sum(cells.values()), "share": sum(cells.values()) / whole}
        for component, cells in estimate.memory.by_component.items()
        if any(cells.values())
    ]


def flops_rows(estimate: Estimate) -> list[Row]:
    """FLOPs by component: matrix products apart from the rest, with the share of the total."""
    found: dict[str, dict[str, int]] = {}
    for op in estimate.operations:
        cell = found.setdefault(op.component, {"matmul": 0, "other": 0})
        cell["matmul" if op.kind in MATMUL_KINDS else "other"] += op.flops * op.count
    whole = estimate.flops.total
    return [
        {"component": component, **found[component], "total": flops, "share": flops / whole}
        for component, flops in estimate.flops.by_component.items()
        if flops
    ]


def reuse_rows(estimate: Estimate) -> list[Row]:
    """Arithmetic intensity by component: FLOPs, bytes moved, FLOPs per byte and the class of that."""
    flops, moved = estimate.flops.by_component, estimate.traffic.by_component
    found = []
    for component in flops:
        if flops[component] or moved[component]:
            reuse = flops[component] / moved[component] if moved[component] else float("inf")
            found.append(
                {
                    "component": component,
                    "flops": flops[component],
                    "bytes": moved[component],
                    "intensity": reuse,
                    "class": intensity_class(reuse),
                }
            )
    return found


def operation_rows(estimate: Estimate) -> list[Row]:
    """Every operation, amounts over all its layers (but `live`, the peak while it runs) and all its phases."""
    phases: dict[tuple[str, str], list[Operation]] = {}
    for op in estimate.operations:
        phases.setdefault((op.name, op.layers), []).append(op)
    return [_operation(listed) for listed in phases.values()]


def over_layers(op: Operation, amount: str) -> Any:
    """An amount of an operation over all its layers; of `live`, the peak while it runs."""
    times = op.stored if amount in HELD else 1 if amount == "live" else op.count
    return getattr(op, amount) * times


def phase_rows(estimate: Estimate) -> list[Row]:
    """FLOPs and bytes moved by phase (forward, backward, optimizer) and component."""
    found: dict[tuple[str, str], Row] = {}
    for op in estimate.operations:
        row = found.setdefault(
            (op.phase, op.component), {"phase": op.phase, "component": op.component, "flops": 0, "bytes": 0}
        )
        row["flops"] += op.flops * op.count
        row["bytes"] += op.traffic * op.count
    return sorted(
        found.values(), key=lambda row: (list(PHASES).index(row["phase"]), COMPONENTS.index(row["component"]))
    )


def _operation(phases: list[Operation]) -> Row:
    op = phases[0]
    amounts = {q: sum(over_layers(each, q) for each in phases) for q in QUANTITIES if q != "live"}
    amounts = {q: amounts[q] if q != "live" else max(each.live for each in phases) for q in QUANTITIES}
    moved = sum(each.traffic * each.count for each in phases)
    reuse = amounts["flops"] / moved if moved else 0.0
    return {
        "operation": op.name,
        "layers": op.layers,
        "count": op.count,
        "component": op.component,
        "kind": op.kind,
        **amounts,
        "traffic": moved,
        "intensity": reuse,
        "class": intensity_class(reuse) if moved else "",
    }


def cache_rows(estimate: Estimate) -> list[Row]:
    """What each kind of layer keeps, the architecture's minimum: bytes a token over all its layers, the most tokens it
    keeps ("all" or a number), bytes a sequence and bytes in all.

    Raises:
        WorkloadError: the mode or the model keeps nothing.
    """
    keeping = [op for op in estimate.operations if op.kept is not None]
    if not keeping:
        raise WorkloadError(f"{_keeps_nothing(estimate)}; there is no cache to show.")
    batch = estimate.workload.batch_size
    return [
        {
            "layers": op.layers,
            "count": op.count,
            "component": op.component,
            "kind": op.kept.kind,
            "bytes_per_token": _number(op.kept.per_token * op.count),
            "most_tokens": "all" if op.kept.limit is None else _number(op.kept.limit),
            "bytes_per_sequence": op.cache_bytes * op.count // batch,
            "bytes": op.cache_bytes * op.count,
        }
        for op in keeping
        if op.kept is not None
    ]


def engine_rows(estimate: Estimate) -> list[Row]:
    """What engines reserve beside that minimum, in bytes, as a multiple of it, with the arithmetic; None where an
    engine's rule for such a cache is not known here.

    Raises:
        WorkloadError: the mode or the model keeps nothing.
    """
    if not any(op.kept is not None for op in estimate.operations):
        raise WorkloadError(f"{_keeps_nothing(estimate)}; engines reserve no cache for it.")
    least = estimate.memory.kv_cache
    return [
        {
            "engine": r.engine,
            "title": r.title,
            "bytes": r.bytes,
            "times_minimum": None if r.bytes is None or not least else r.bytes / least,
            "steps": "; ".join(r.steps),
            "source": r.source,
        }
        for r in estimate.reserved
    ]


def _keeps_nothing(estimate: Estimate) -> str:
    who = "Pretraining" if estimate.workload.mode == "pretraining" else estimate.model.name
    return f"{who} keeps nothing between tokens"


def _number(value: Any) -> int | float:
    return int(value) if value == int(value) else float(value)


TABLES: dict[str, Callable[[Estimate], list[Row]]] = {
    "memory": memory_rows,
    "flops": flops_rows,
    "reuse": reuse_rows,
    "operations": operation_rows,
    "phases": phase_rows,
    "cache": cache_rows,
    "engines": engine_rows,
    "formats": format_rows,
}


SCHEMA = 1
"""Of the JSON. A key that is new leaves it as it is; one that goes, or means something else, raises it."""


def stamp() -> dict[str, Any]:
    """What every object of the JSON begins with: its schema's number, and what wrote it."""
    return {"schema": SCHEMA, "tool": {"name": "transformer-calculator", "version": version()}}


def as_dict(estimate: Estimate) -> dict[str, Any]:
    """An estimate as plain values, arrays as nested lists."""
    model, memory = estimate.model, estimate.memory
    found: dict[str, Any] = {
        **stamp(),
        "model": {
            "name": model.name,
            "source": model.source,
            "model_type": model.model_type,
            "layers": model.layers,
            **({"encoder_layers": len(model.encoder.layers)} if model.encoder else {}),
            "hidden_size": model.hidden_size,
            "vocabulary_size": model.vocabulary_size,
            "context_length": model.context_length,
        },
        "workload": {
            **estimate.workload.to_dict(),
            "sequence_length": _plain(estimate.sequence_length),
            **({"encoder_length": _plain(estimate.encoder_length)} if model.encoder else {}),
        },
        "precision": {"weights": estimate.precision, "kv_cache": estimate.kv_precision},
        "parameters": {
            "total": model.parameters.total,
            "active": model.parameters.active,
            "touched": model.parameters.touched,
            "embedding": model.parameters.embedding,
            "by_component": dict(model.parameters.by_component),
        },
        "memory": {kind: _plain(getattr(memory, kind)) for kind in (*MEMORY_KINDS, "total")},
        "flops": {
            "total": _plain(estimate.flops.total),
            "matmul": _plain(estimate.flops.matmul),
            "by_component": {c: _plain(v) for c, v in estimate.flops.by_component.items()},
        },
        "traffic": {k: _plain(getattr(estimate.traffic, k)) for k in ("weights", "activations", "cache", "total")},
        "intensity": _plain(estimate.intensity),
        **({"certainty": dict(model.certainty)} if model.certainty else {}),
        "notes": list(estimate.notes),
        "warnings": list(estimate.warnings),
    }
    if estimate.generation is not None:
        g = estimate.generation
        found["generation"] = {
            "tokens": g.tokens,
            "flops": _plain(g.flops.total),
            "traffic": _plain(g.traffic.total),
            "kv_cache": _plain(g.kv_cache),
        }
    if estimate.scalar:
        found["memory"]["by_component"] = {c: dict(cells) for c, cells in memory.by_component.items()}
        found["operations"] = operation_rows(estimate)
        if any(op.kept is not None for op in estimate.operations):
            found["cache"] = {"minimum": cache_rows(estimate), "engines": engine_rows(estimate)}
    return found


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
