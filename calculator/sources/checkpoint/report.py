"""A comparison as tables: rows of raw numbers, and blocks of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from calculator.numbers import units as words
from calculator.report.text import Block, Facts, Grid
from calculator.sources.checkpoint.compare import Comparison, Side, collapsed

TITLES = {
    "embedding": "Embeddings",
    "linear": "Linear layers",
    "experts": "Experts",
    "router": "Routers",
    "convolution": "Convolutions",
    "norm": "Norms",
    "vector": "Biases and other vectors",
    "head": "LM head",
    "buffer": "Buffers",
    "unexplained": "In the checkpoint only",
}
MOST_ROWS = 60


def blocks(comparison: Comparison) -> list[Block]:
    """The verdict, both sides by class of tensor, and the tensors that differ, alike ones as one row."""
    c = comparison
    facts = [
        ("parameters", _verdict(c.formula.parameters, c.stored.parameters, c.parameters_equal)),
        ("bytes", _bytes(c)),
        ("file", f"{c.tensors:,} tensors, {c.file_bytes:,} bytes ({words.gib(c.file_bytes)})"),
        *((f"beside, {reason}", f"{nbytes:,} bytes") for reason, nbytes in c.beside.items()),
        ("differences", ", ".join(f"{n:,} {reason}" for reason, n in c.reasons.items()) or "none"),
        ("verdict", "equal" if c.equal else "not equal"),
    ]
    title = f"{c.model} against the headers of {c.checkpoint}"
    return [Facts(title, facts), sides_grid(c), *([rows_grid(c)] if c.rows else [])]


def _verdict(formula: int, stored: int, equal: bool) -> str:
    return f"formula {formula:,}, checkpoint {stored:,}: " + ("equal" if equal else f"{stored - formula:+,}")


def _bytes(c: Comparison) -> str:
    if not c.priced:
        return f"checkpoint {c.stored.nbytes:,}; how a GGUF file is quantized follows from no config"
    return _verdict(c.formula.nbytes, c.stored.nbytes, c.bytes_equal)


def sides_grid(c: Comparison) -> Grid:
    """Both sides by class of tensor."""

    def cells(a: Side, b: Side) -> Iterator[str]:
        yield from (f"{a.parameters:,}", f"{b.parameters:,}")
        yield from (f"{a.nbytes:,}" if c.priced else "-", f"{b.nbytes:,}")
        yield "yes" if a.parameters == b.parameters and (not c.priced or a.nbytes == b.nbytes) else "no"

    rows = [(TITLES[role], *cells(a, b)) for role, (a, b) in c.by_role.items()]
    columns = ("Tensors", "Formula", "Checkpoint", "Formula bytes", "Checkpoint bytes", "Equal")
    return Grid("Side by side (parameters after unpacking)", columns, rows, ("Total", *cells(c.formula, c.stored)))


def rows_grid(c: Comparison) -> Grid:
    """The tensors that differ or that one side lacks."""
    alike = collapsed(c.rows)
    rows = [
        (pattern, row.reason, _shape(row.formula), _shape(row.stored), row.dtype or "-", f"{count:,}", f"{nbytes:,}")
        for pattern, row, count, nbytes in alike[:MOST_ROWS]
    ]
    left = len(alike) - MOST_ROWS
    remark = f"{left:,} more kinds; --format csv lists every tensor." if left > 0 else ""
    columns = ("Tensor", "Reason", "Formula", "Checkpoint", "Type", "Count", "Bytes")
    return Grid("Tensors that differ", columns, rows, remark=remark, left=5)


def _shape(shape: Sequence[int] | None) -> str:
    return "-" if shape is None else "×".join(map(str, shape)) or "scalar"


def csv_rows(c: Comparison) -> list[dict[str, Any]]:
    """The classes of tensors, then every tensor that differs."""
    base = {"model": c.model, "checkpoint": c.checkpoint}
    sides = (*c.by_role.items(), ("total", (c.formula, c.stored)))
    found = [
        {
            **base,
            "row": "class",
            "name": role,
            "reason": "",
            "dtype": "",
            "formula_shape": "",
            "checkpoint_shape": "",
            "formula_parameters": a.parameters,
            "checkpoint_parameters": b.parameters,
            "formula_bytes": a.nbytes if c.priced else "",
            "checkpoint_bytes": b.nbytes,
        }
        for role, (a, b) in sides
    ]
    for row in c.rows:
        shapes = {"formula_shape": row.formula, "checkpoint_shape": row.stored}
        found.append(
            {
                **base,
                "row": "tensor",
                "name": row.name,
                "reason": row.reason,
                "dtype": row.dtype,
                **{key: "" if shape is None else "x".join(map(str, shape)) for key, shape in shapes.items()},
                "formula_parameters": "",
                "checkpoint_parameters": "",
                "formula_bytes": row.formula_bytes if c.priced else "",
                "checkpoint_bytes": row.stored_bytes,
            }
        )
    return found


def as_dict(c: Comparison) -> dict[str, Any]:
    """Everything, ready for json.dumps."""

    def side(s: Side, priced: bool) -> dict[str, Any]:
        return {"parameters": s.parameters, "bytes": s.nbytes if priced else None}

    return {
        "model": c.model,
        "checkpoint": c.checkpoint,
        "equal": c.equal,
        "parameters_equal": c.parameters_equal,
        "bytes_equal": c.bytes_equal if c.priced else None,
        "formula": side(c.formula, c.priced),
        "stored": side(c.stored, True),
        "tensors": c.tensors,
        "file_bytes": c.file_bytes,
        "by_class": {
            role: {"formula": side(a, c.priced), "stored": side(b, True)} for role, (a, b) in c.by_role.items()
        },
        "beside": dict(c.beside),
        "reasons": dict(c.reasons),
        "rows": [
            {
                "name": row.name,
                "reason": row.reason,
                "weight": row.weight,
                "dtype": row.dtype,
                "formula_shape": None if row.formula is None else list(row.formula),
                "stored_shape": None if row.stored is None else list(row.stored),
                "formula_bytes": row.formula_bytes if c.priced else None,
                "stored_bytes": row.stored_bytes,
            }
            for row in c.rows
        ],
    }
