"""The charts: one function for each kind of picture, in `bars`, `planes` and `grids`; each returns a `Chart`."""

from __future__ import annotations

from calculator.record.vocabulary import COMPONENT_LIST, MEMORY_LIST
from calculator.report.charts.bars import Bar, Limit, Rank, ranked, stacked
from calculator.report.charts.base import DARK, LIGHT, Chart, Ink
from calculator.report.charts.course import course
from calculator.report.charts.grids import PICK, Cell, grid
from calculator.report.charts.planes import Dot, Point, areas, dots, frontier, lines, steps

PARTS = {c.title: c.color for c in COMPONENT_LIST}
KINDS = {k.title: k.color for k in MEMORY_LIST} | {"Runtime": "#6B655C"}
SERIES = ("#2A6CE6", "#C7850E", "#D64BA8", "#0B7780")
PLAIN = "#5F93D2"

__all__ = [
    "DARK",
    "KINDS",
    "LIGHT",
    "PARTS",
    "PICK",
    "PLAIN",
    "SERIES",
    "Bar",
    "Cell",
    "Chart",
    "Dot",
    "Ink",
    "Limit",
    "Point",
    "Rank",
    "areas",
    "course",
    "dots",
    "frontier",
    "grid",
    "lines",
    "ranked",
    "stacked",
    "steps",
]
