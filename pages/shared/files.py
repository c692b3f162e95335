"""The files of a page: each row with what was asked, each name with the model, the mode and the precision."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calculator.report import clean
from calculator.report.charts import Chart

if TYPE_CHECKING:
    from pages.shared.show import Inputs

Rows = Sequence[Mapping[str, Any]]
NAMED = {"flops": "Compute", "reuse": "Intensity"}
"""Tables by their title where their files have another name."""


def title(table: str) -> str:
    """What a table is called on its button."""
    return NAMED.get(table, table.replace("_", " ").capitalize())


def told(inputs: Inputs | None, rows: Rows) -> Rows:
    """The rows, each with what was asked."""
    if inputs is None:
        return rows
    w = inputs.workload
    asked = {
        "model": inputs.model.name,
        "mode": w.mode,
        "batch": w.batch_size,
        "length": inputs.estimate.sequence_length,
        "weights_as": w.dtype,
        "precision": inputs.estimate.precision,
    }
    if inputs.device is not None:
        asked["device"] = inputs.device.name
    return [{**{k: v for k, v in asked.items() if k not in row}, **row} for row in rows]


def name(inputs: Inputs | None, what: str) -> str:
    """model_mode_batch_length_precision_what, fit for a file."""
    if inputs is None:
        return what
    w = inputs.workload
    words = [inputs.name, w.mode, f"b{w.batch_size}", f"n{inputs.estimate.sequence_length}", w.dtype, what]
    return "_".join("".join(ch if ch.isalnum() or ch in "-." else "_" for ch in str(word)) for word in words)


def table(inputs: Inputs | None, rows: Rows) -> str:
    """Rows as CSV, each with what was asked."""
    return clean.as_csv(told(inputs, rows))


def archive(inputs: Inputs | None, tables: Mapping[str, Callable[[], Rows]], charts: Mapping[str, Chart]) -> bytes:
    """Every table as CSV, and of every picture its data and its specification, as one ZIP."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as found:
        for kind, rows in tables.items():
            found.writestr(f"{name(inputs, kind)}.csv", table(inputs, rows()))
        for kind, drawn in charts.items():
            found.writestr(f"charts/{name(inputs, kind)}.csv", table(inputs, drawn.rows))
            found.writestr(f"charts/{name(inputs, kind)}.vl.json", json.dumps(standalone(drawn)))
    return packed.getvalue()


def standalone(drawn: Chart) -> dict[str, Any]:
    """A chart's specification for any Vega-Lite viewer."""
    schema = "https://vega.github.io/schema/vega-lite/v6.json"
    return {"$schema": schema, "description": drawn.finding, "width": 900, "background": "white", **drawn.spec}
