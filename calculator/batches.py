"""Estimates by the million: of many models and workloads, as rows of numbers, on all cores of a machine or a cluster.

rows = calculator.many(configs, workloads)          # on all cores, with the standard library
client.map(calculator.rows_of, calculator.tasks(configs, workloads))      # the same on a cluster of Dask

A process builds each model once, and estimates it for all its workloads. One model over a grid of batches and lengths
alone is quicker still with arrays: `estimate(model, batch_size=..., sequence_length=...)`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from calculator.errors import CalculatorError, WorkloadError
from calculator.estimation import Estimate
from calculator.model import Model
from calculator.record.vocabulary import MEMORY_KINDS
from calculator.record.workload import Workload
from calculator.sources.load import load_model

Source = str | Path | Mapping[str, Any] | Model
Task = tuple[str | Model, tuple[Workload, ...]]
Row = dict[str, Any]

AT_ONCE = 500
"""Workloads of a task: a tenth of a second."""


def tasks(sources: Iterable[Source], workloads: Iterable[Workload | Mapping[str, Any]]) -> Iterator[Task]:
    """The work in pieces that can be sent to other processes: a model and some of its workloads.

    Args:
        sources: what `load_model` takes (ids, paths or parsed configs), or what it returned. workloads: `Workload`s, or
            their fields.

    Raises:
        WorkloadError: a workload is not allowed, or holds arrays; or one model or workload stands where several do.
    """
    for several, one, kinds in (
        (sources, "model", (str, Path, Mapping, Model)),
        (workloads, "workload", (Mapping, Workload)),
    ):
        if isinstance(several, kinds):
            raise WorkloadError(f"many takes a list of {one}s; put the {one} into one, as in [{one}].")
    runs = [w if isinstance(w, Workload) else Workload().with_(**w) for w in workloads]
    if any(hasattr(value, "shape") for w in runs for value in (w.batch_size, w.sequence_length)):
        raise WorkloadError("Each workload of many has one batch size and one length; arrays belong to estimate.")
    for source in sources:
        text = json.dumps(source, sort_keys=True) if isinstance(source, Mapping) else source
        text = text if isinstance(text, Model) else str(text)
        for first in range(0, len(runs), AT_ONCE):
            yield text, tuple(runs[first : first + AT_ONCE])


def rows_of(task: Task) -> list[Row]:
    """A row of numbers for each workload of the task: bytes, FLOPs, FLOPs per byte. Where the model cannot be read or
    the workload not run, the row's `error` says why, so that one of a million does not stop the others."""
    source, workloads = task
    try:
        model = source if isinstance(source, Model) else _model(source)
    except CalculatorError as error:
        return [_base(str(source)[:100], w) | {"error": str(error)} for w in workloads]
    return [_row(model, w) for w in workloads]


@lru_cache(maxsize=512)
def _model(source: str) -> Model:
    return load_model(json.loads(source) if source.startswith("{") else source)


def _base(name: str, w: Workload) -> Row:
    return {"model": name, "mode": w.mode, "batch_size": w.batch_size, "sequence_length": w.sequence_length} | {
        "dtype": w.dtype,
        "kv_dtype": w.kv_dtype,
    }


def _row(model: Model, w: Workload) -> Row:
    base = _base(model.name, w)
    try:
        e = Estimate(model, w)
    except CalculatorError as error:
        return base | {"error": str(error)}
    memory, p = e.memory, model.parameters
    found = base | {"sequence_length": e.sequence_length, "parameters": p.total, "active_parameters": p.active}
    found |= {kind: getattr(memory, kind) for kind in MEMORY_KINDS} | {"memory": memory.total}
    return found | {"flops": e.flops.total, "bytes_moved": e.traffic.total, "intensity": e.intensity, "error": ""}


def many(
    sources: Iterable[Source],
    workloads: Iterable[Workload | Mapping[str, Any]],
    *,
    processes: int | None = None,
) -> Iterator[Row]:
    """A row for every model and workload, in that order, made on several cores.

    Args:
        sources, workloads: as `tasks`. processes: how many; None: all that this one may run on, 1: this one alone.

    Raises:
        WorkloadError: a workload is not allowed.
    """
    work = list(tasks(sources, workloads))
    count = _cores() if processes is None else processes
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise WorkloadError(f"processes must be 1 or more, not {count!r}.")
    if count == 1 or len(work) < 2:
        for task in work:
            yield from rows_of(task)
        return
    yield from _in_processes(work, count)


def _in_processes(work: Sequence[Task], count: int) -> Iterator[Row]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(count) as pool:
        for rows in pool.map(rows_of, work, chunksize=max(1, min(16, len(work) // (4 * count)))):
            yield from rows


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
