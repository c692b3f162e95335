"""An estimate as an Altair chart, for notebooks: the app's specifications with the rows put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError
from calculator.extras import needed
from calculator.numbers import units as words
from calculator.record.vocabulary import TITLES
from calculator.report.rows import rows

if TYPE_CHECKING:
    from calculator.estimation import Estimate

CHARTS = ("memory", "flops", "traffic", "reuse")
GIB = 2**30


def chart(estimate: Estimate, kind: str) -> Any:
    """The chart of that kind.

    Args:
        kind: "memory" in GiB, "flops" in TFLOP or "traffic" in GiB by component; "reuse" is a dot per operation.

    Raises:
        WorkloadError: no such chart, or the estimate holds arrays. MissingExtraError: Altair is not installed.
    """
    if kind not in CHARTS:
        raise WorkloadError(f"Chart {kind!r} is not known; choose one of {', '.join(CHARTS)}.")
    alt = needed("altair", "A chart")
    spec, data = _dots(estimate) if kind == "reuse" else _bars(estimate, kind)
    if "layer" in spec:
        spec = {
            **spec,
            "layer": [part if "data" in part else {**part, "data": {"name": "rows"}} for part in spec["layer"]],
        }
    else:
        spec = {**spec, "data": {"name": "rows"}}
    datasets = {**spec.get("datasets", {}), "rows": data}
    return alt.Chart.from_dict({**spec, "datasets": datasets})


def _bars(estimate: Estimate, kind: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from calculator.report import charts

    table, key, unit, scale, word = {
        "memory": ("memory", "total", "GiB", GIB, words.gib),
        "flops": ("flops", "total", "TFLOP", 1e12, words.flops),
        "traffic": ("reuse", "bytes", "GiB", GIB, words.gib),
    }[kind]
    found = [(TITLES[row["component"]], row[key]) for row in rows(estimate, table) if row[key]]
    most = max(amount for _, amount in found) / scale
    data = [
        {"component": c, "value": n / scale, "label": word(n), "text": word(n), "room": most * 1.25} for c, n in found
    ]
    return charts.component_bars(tuple(c for c, _ in found), unit), data


def _dots(estimate: Estimate) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from calculator.report import charts

    data = [
        {
            "operation": row["operation"],
            "layers": row["layers"],
            "component": TITLES[row["component"]],
            "intensity": row["intensity"],
            "gib": row["traffic"] / GIB,
            "class": row["class"],
            "text": words.gib(row["traffic"]),
        }
        for row in rows(estimate, "operations")
        if row["traffic"] and row["intensity"]
    ]
    return charts.intensity_dots(tuple(dict.fromkeys(d["component"] for d in data))), data
