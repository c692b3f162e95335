"""The output of the command line as text, Markdown, CSV or JSON, and its way to standard output or into a file."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, choose
from calculator.numbers.symbols import MEANINGS
from calculator.numbers.units import GIB
from calculator.passes.plan import plan_of
from calculator.record.vocabulary import MEMORY_KINDS
from calculator.report import clean, text
from calculator.report.rows import stamp
from calculator.report.why import Explained, explain
from calculator.sources import catalogue

if TYPE_CHECKING:
    from calculator.estimation import Estimate
    from calculator.placing import Placed
    from calculator.sources.checkpoint import Comparison
    from calculator.speculation import Speculation

OUTPUTS = ("text", "json", "csv", "markdown")
TABLES = ("memory", "flops", "reuse")
Row = dict[str, Any]


def report(estimates: Sequence[Estimate], table: str, form: str) -> str:
    """The tables in that format."""
    if form == "json":
        return _json(_only([e.to_dict() for e in estimates]))
    if form == "csv":
        return clean.as_csv([row for e in estimates for row in csv_rows(e, table)])
    return _blocks(text.blocks(estimates, TABLES if table == "all" else (table,)), form)


def sweep(estimates: Sequence[Estimate], table: str, form: str) -> str:
    """A row for every estimate: lists of options, of one or several models."""
    from calculator.report.sweep import blocks, listed_fields

    if form == "csv":
        names = listed_fields(estimates)
        told = [({n: getattr(e.workload, n) for n in names}, e) for e in estimates]
        return clean.as_csv([{**fields, **row} for fields, e in told for row in csv_rows(e, table)])
    return _blocks(blocks(estimates, table), form)


def placed(found: Sequence[Placed], table: str, form: str) -> str:
    """The tables, and what the devices answer; --table device is that alone."""
    if form == "json":
        return _json(_only([{**p.estimate.to_dict(), "on": p.to_dict()} for p in found]))
    if form == "csv":
        return clean.as_csv([row for p in found for row in _placed_rows(p, table)])
    if table == "device":
        return _blocks([p.block() for p in found], form)
    estimates = [p.estimate for p in found]
    listed = len({id(e.workload) for e in estimates}) > 1
    tables = TABLES if table == "all" else (table,)
    shown = [] if listed else text.blocks(estimates, tables)
    heads = sum(isinstance(block, text.Facts) for block in shown)  # what was asked, then the answer, then its tables
    return _blocks([*shown[:heads], *(p.block() for p in found), *shown[heads:]], form)


def _placed_rows(found: Placed, table: str) -> list[Row]:
    base = _base(found.estimate) | {"device": found.asked.device.id if found.asked.device else ""}
    if table == "device":
        return [{**base, **row} for row in found.rows]
    if table != "all":
        return csv_rows(found.estimate, table)
    told = [
        {**base, "table": "device", "component": "", "field": row["quantity"], "value": row["value"]}
        for row in found.rows
    ]
    return [{**base, **row} for row in csv_rows(found.estimate, table)] + told


def csv_rows(estimate: Estimate, table: str) -> list[Row]:
    """Rows of raw numbers; --table all is long: a row per number."""
    base = _base(estimate)
    if table != "all":
        return [{**base, **row} for row in estimate.rows(table)]
    parts = [("summary", "", summary(estimate))]
    parts += [(kind, row["component"], row) for kind in TABLES for row in estimate.rows(kind)]
    return [
        {**base, "table": kind, "component": component, "field": name, "value": value}
        for kind, component, row in parts
        for name, value in row.items()
        if not isinstance(value, str)
    ]


def _base(estimate: Estimate) -> Row:
    w, length = estimate.workload, estimate.sequence_length
    base = {"model": estimate.model.name, "mode": w.mode, "batch_size": w.batch_size, "sequence_length": length}
    return base if estimate.encoder_length is None else {**base, "encoder_length": estimate.encoder_length}


def summary(estimate: Estimate) -> Row:
    """The totals by name."""
    parameters, memory, traffic = estimate.model.parameters, estimate.memory, estimate.traffic
    found = {"parameters": parameters.total, "active_parameters": parameters.active}
    found |= {kind: getattr(memory, kind) for kind in MEMORY_KINDS} | {"memory": memory.total}
    found |= {"flops": estimate.flops.total, "matmul_flops": estimate.flops.matmul}
    found |= {"bytes_moved": traffic.total, "intensity": estimate.intensity}
    if (g := estimate.generation) is not None:
        found |= {"generated_tokens": g.tokens, "generation_flops": g.flops.total}
        found |= {"generation_bytes_moved": g.traffic.total, "generation_kv_cache": g.kv_cache}
    return found


def comparisons(found: Sequence[Comparison], form: str) -> str:
    """Formulas against the headers of checkpoints."""
    from calculator.sources.checkpoint import report as tables

    if form == "json":
        return _json(_only([{**stamp(), **tables.as_dict(c)} for c in found]))
    if form == "csv":
        return clean.as_csv([row for c in found for row in tables.csv_rows(c)])
    return _blocks([block for c in found for block in tables.blocks(c)], form)


def speculations(found: Sequence[Speculation], form: str) -> str:
    """Targets beside their drafts."""
    if form == "json":
        parts = ({"target": s.target.to_dict(), "draft": s.draft.to_dict(), "memory": s.rows()[-1]} for s in found)
        return _json(_only([{**stamp(), **part} for part in parts]))
    if form == "csv":
        return clean.as_csv([{**_base(s.target), **row} for s in found for row in s.rows()])
    return _blocks([block for s in found for block in text.speculation_blocks(s)], form)


# Formulas


def explanation(estimates: Sequence[Estimate], wanted: str, form: str) -> str:
    """The formulas of the operations whose name contains `wanted`.

    Raises:
        WorkloadError: no operation has such a name.
    """
    found = [(e, _chosen(e, wanted)) for e in estimates]
    if form == "json":
        parts = ({"formulas": _formula_rows(chosen), "formats": e.rows("formats")} for e, chosen in found)
        return _json(_only([e.to_dict() | part for (e, _), part in zip(found, parts, strict=True)]))
    if form == "csv":
        return clean.as_csv([{**_base(e), **row} for e, chosen in found for row in _formula_rows(chosen)])
    return _blocks([block for e, chosen in found for block in _explained(e, chosen)], form)


def _explained(estimate: Estimate, chosen: Sequence[Explained]) -> list[text.Block]:
    """The formulas, and of a quantized model which rule stores the weights of these components in which format."""
    found: list[text.Block] = [text.header(estimate)]
    if plan_of(estimate.model, estimate.workload).scheme is not None:
        found.append(text.formats_grid(estimate, {x.operation.component for x in chosen if x.operation.weights}))
    return [*found, *map(_formula_facts, chosen)]


def _chosen(estimate: Estimate, wanted: str) -> list[Explained]:
    listed = explain(estimate.model, estimate.workload)
    chosen = [x for x in listed if wanted in x.operation.name]
    if not chosen:
        names = dict.fromkeys(x.operation.name for x in listed)
        raise WorkloadError(f"{estimate.model.name} has no operation {wanted!r}; {choose(wanted, names)}")
    return chosen


def _formula_rows(chosen: Sequence[Explained]) -> list[Row]:
    rows = []
    for x in chosen:
        place = {"operation": x.operation.name, "layers": x.operation.layers, "count": x.operation.count}
        for quantity, f in x.formulas.items():
            formula = {"quantity": quantity, "formula": f.symbols, "numbers": f.values, "value": _plain(f.value)}
            rows.append(place | formula)
    return rows


def _formula_facts(explained: Explained) -> text.Facts:
    """An operation's formulas in symbols and in numbers, each step once, and what the symbols stand for."""
    op, formulas = explained.operation, explained.formulas
    place = f"{op.layers}, {text.number(op.count, 'layer')}" if op.layers else "once"
    steps = {q: (f.symbols, f.values, f"{_plain(f.value):,}") for q, f in formulas.items()}
    pairs = [(quantity, " = ".join(dict.fromkeys(said))) for quantity, said in steps.items()]
    legend = {s: v for f in formulas.values() for s, v in f.legend.items()}
    meant = [f"{s} = {_plain(v):,}" + (f" ({MEANINGS[s]})" if s in MEANINGS else "") for s, v in legend.items()]
    return text.Facts(f"{op.name}: {op.kind}, {place}", [*pairs, *([("where", ", ".join(meant))] if meant else [])])


def _plain(value: Any) -> int | float:
    """An exact fraction as the nearest float; ints and floats as they are."""
    return value if isinstance(value, int | float) else float(value)


# Lists


def model_listing(form: str) -> str:
    """The bundled models, popular ones first."""
    entries = catalogue.entries()
    rows = [{"id": e.id, "name": e.name, "type": e.config.get("model_type"), "date": e.date} for e in entries]
    return _listing("Bundled models", "models", rows, form)


def type_listing(form: str) -> str:
    """The model types that a family reads, each with a bundled example where there is one."""
    from calculator.families import FAMILIES

    examples = {e.config.get("model_type"): e.id for e in reversed(catalogue.entries())}
    rows = [{"type": kind, "example": examples.get(kind, "")} for kind in sorted(FAMILIES)]
    return _listing("Model types", "types", rows, form)


def device_listing(form: str) -> str:
    """The catalogue of accelerators: memory in GiB, bandwidth in GB/s, dense 16-bit TFLOP/s."""
    from calculator.hardware import devices

    rows = [
        {
            "id": d.id,
            "name": d.name,
            "year": d.year,
            "GiB": round(d.memory / GIB, 1),
            "GB/s": round(d.bandwidth / 1e9),
            "16-bit TFLOP/s": round((d.peak.get("bf16") or d.peak.get("fp16") or 0) / 1e12, 1) or "",
        }
        for d in devices()
    ]
    return _listing("Devices", "devices", rows, form)


def _listing(title: str, key: str, rows: Sequence[Row], form: str) -> str:
    if form == "json":
        return list_as_json(key, rows)
    if form == "csv":
        return clean.as_csv(rows)
    cells = [[str(value) for value in row.values()] for row in rows]
    columns = [name[:1].upper() + name[1:] for name in rows[0]]
    return _blocks([text.Grid(f"{title}: {len(rows)}", columns, cells, left=len(columns))], form)


# Formats


def as_json(found: Row | Sequence[Row]) -> str:
    """Plain values as JSON."""
    return _json(found)


def list_as_json(key: str, rows: Sequence[Row]) -> str:
    """A list under its name, with the schema's number like everything else that is written as JSON."""
    return _json({**stamp(), key: list(rows)})


def as_blocks(blocks: Iterable[text.Block], form: str) -> str:
    """Facts and tables as text or Markdown."""
    return _blocks(blocks, form)


def _blocks(blocks: Iterable[text.Block], form: str) -> str:
    return clean.terminal(text.aligned(blocks) if form == "text" else text.markdown(blocks))


def _only(found: list[Row]) -> Row | list[Row]:
    return found[0] if len(found) == 1 else found


def _json(found: Row | Sequence[Row]) -> str:
    return json.dumps(found, indent=2, allow_nan=False) + "\n"


# Writing


LONGEST_NAME = 4000  # bytes of a path


def target_of(name: str) -> tuple[Path, bool]:
    """Where --output writes, links followed, and whether that is (or will be) a regular file.

    Raises:
        WorkloadError: a folder, a file in a folder that does not exist, or permission is missing.
    """
    if len(os.fsencode(name)) > LONGEST_NAME or "\0" in name:
        raise WorkloadError("--output names no file that could exist: it is too long or holds a null character.")
    if any(len(part) > 255 for part in os.fsencode(name).split(b"/")):
        raise WorkloadError("--output names no file that could exist: a part of its path is longer than 255 bytes.")
    special = os.path.exists(name) and not os.path.isfile(name)  # a pipe or a device
    path = Path(name) if special else Path(os.path.realpath(name))
    if not name or path.is_dir():
        raise WorkloadError(f"--output {name!r} does not name a file; give the name of one.")
    if not path.parent.is_dir():
        raise WorkloadError(f"--output {name!r} lies in no existing folder; make {str(path.parent)!r} first.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise WorkloadError(f"--output {name!r} may not be written; choose another file or change its permissions.")
    return path, not special


def write_file(name: str, content: str) -> None:
    """Write the file in one step: readers see the old content or the new, never a part.

    Raises:
        WorkloadError: the file cannot be written.
    """
    path, regular = target_of(name)
    try:
        if regular:
            _replace(path, content)
        else:
            _fill(path, content)
    except OSError as error:
        raise WorkloadError(f"--output {name!r} could not be written: {error.strerror}.") from error


def _replace(path: Path, content: str) -> None:
    # A name that nobody can foresee, made anew: never a link that someone laid there.
    import tempfile  # here, because it loads what compresses archives

    handle, name = tempfile.mkstemp(prefix=".calculator-", suffix=".part", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        _fill(beside, content)
        beside.chmod(stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _umask() -> int:
    """The permissions that new files do not get, which can only be asked for by setting them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _fill(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8", errors="replace", newline="")


def write_out(content: str) -> None:
    """Write to standard output, at once.

    Raises:
        WorkloadError: it is closed or full; BrokenPipeError: nobody reads it any more.
    """
    if sys.stdout is None:
        raise WorkloadError("Standard output is closed; open it, or give --output FILE.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no Greek still gets the numbers
    try:
        sys.stdout.write(clean.encoded(content, getattr(sys.stdout, "encoding", None)))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkloadError(f"Standard output could not be written: {error.strerror}.") from error
