"""An estimate as an Altair chart, for notebooks: the app's specifications with the rows put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, choose
from calculator.extras import needed
from calculator.numbers import units as words
from calculator.numbers.units import GIB
from calculator.record.vocabulary import TITLES
from calculator.report.rows import rows

if TYPE_CHECKING:
    from calculator.estimation import Estimate
    from calculator.report.charts import Chart

CHARTS = ("memory", "flops", "traffic", "reuse")


def chart(estimate: Estimate, kind: str) -> Any:
    """The chart of that kind.

    Args:
        kind: "memory" in GiB, "flops" in TFLOP or "traffic" in GiB by component; "reuse" is a dot per operation.

    Raises:
        WorkloadError: no such chart, or the estimate holds arrays. MissingExtraError: Altair is not installed.
    """
    if kind not in CHARTS:
        raise WorkloadError(f"Chart {kind!r} is not known; {choose(kind, CHARTS)}")
    alt = needed("altair", "A chart")
    drawn = _dots(estimate) if kind == "reuse" else _bars(estimate, kind)
    return alt.Chart.from_dict({**drawn.spec, "width": 640, "description": drawn.finding})


def _bars(estimate: Estimate, kind: str) -> Chart:
    from calculator.report import charts

    table, key, unit, scale, word = {
        "memory": ("memory", "total", "GiB", GIB, words.gib),
        "flops": ("flops", "total", "TFLOP", 1e12, words.flops),
        "traffic": ("reuse", "bytes", "GiB", GIB, words.gib),
    }[kind]
    found = [(TITLES[row["component"]], row[key]) for row in rows(estimate, table) if row[key]]
    ranked = [charts.Rank(c, n / scale, word(n), charts.PARTS[c]) for c, n in found]
    most = max(found, key=lambda pair: pair[1])
    finding = f"{most[0]} has the most, {word(most[1])}."
    return charts.ranked(ranked, finding, charts.LIGHT, unit=unit)


def _dots(estimate: Estimate) -> Chart:
    from calculator.report import charts

    found = [row for row in rows(estimate, "operations") if row["traffic"] and row["intensity"]]
    dots = [
        charts.Dot(
            r["operation"], TITLES[r["component"]], r["intensity"], r["traffic"] / GIB, 1, words.gib(r["traffic"])
        )
        for r in found
    ]
    finding = f"{len(found)} operations by the FLOPs for each byte they move."
    bounds = ((10, "medium from 10"), (100, "high from 100"))
    return charts.dots(dots, charts.PARTS, "GiB moved", finding, charts.LIGHT, bounds=bounds)
