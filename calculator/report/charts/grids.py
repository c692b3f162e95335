"""A grid of cells over two rows of whole numbers: how full each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from calculator.report.charts.base import Chart, Ink, Part, color, drawn, ink_on, layer, tips, words

CELL = 34  # pixels of a cell's height
HALF, FULL = "Up to a half", "Up to all"
BEYOND = "✕ does not fit"


class Cell(NamedTuple):
    """A cell: its column and its row in words, and the share that it fills; None is beyond any."""

    across: str
    up: str
    share: float | None


PICK = "cell"
"""The selection of a click, with the cell's x and y."""


def _step(share: float | None) -> str:
    return BEYOND if share is None or share > 1 else HALF if share <= 0.5 else FULL


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def grid(
    cells: Sequence[Cell],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    rows: Sequence[Mapping[str, Any]],
    here: tuple[str, str],
) -> Chart:
    """Cells with their share of the whole, in per cent where it fits; where it does not, no cell and a ✕, so that the
    frontier is seen without colour. `here` is framed; `rows` are what is exported."""
    shades = {HALF: i.part, FULL: i.whole}
    data = [
        {
            "x": c.across,
            "y": c.up,
            "step": _step(c.share),
            "text": _percent(c.share) if c.share is not None and c.share <= 1 else "✕",
            "tip": "no room" if c.share is None else f"{c.share:,.1%} of the pool",
        }
        for c in cells
    ]
    x = _axis("x", titles[0], [c.across for c in cells])
    y = _axis("y", titles[1], [c.up for c in cells][::-1])
    tip = [*tips(y=titles[1], x=titles[0], tip="Cache")]
    box: Part = {"type": "rect", "stroke": i.page, "strokeWidth": 2}
    fitting = [d for d in data if d["step"] != BEYOND]
    place: Part = {"x": x, "y": y, "tooltip": tip}
    cells_of = layer(fitting, box, place | {"color": color("step", shades, i, narrow=2)})
    layers = [cells_of] if fitting else []
    written = {"x": x, "y": y, "text": {"field": "text"}, "tooltip": tip}
    inks = {step: ink_on(shade) for step, shade in shades.items()} | {BEYOND: i.muted}
    layers.append(layer([d | {"ink": inks[d["step"]]} for d in data], words({"expr": "datum.ink"}, size=12), written))
    mine = [d for d in data if (d["x"], d["y"]) == here]
    if mine:
        frame: Part = {"type": "rect", "fill": None, "stroke": i.text, "strokeWidth": 2.5}
        layers.append(layer(mine, frame, {"x": x, "y": y}))
    # What is clicked, wherever in a cell; on top, so that no word is in the way.
    select = {"type": "point", "fields": ["x", "y"], "clear": False}
    clicked = layer(
        data, {"type": "rect", "opacity": 0, "cursor": "pointer", "aria": False}, {"x": x, "y": y, "tooltip": tip}
    )
    layers.append(clicked | {"params": [{"name": PICK, "select": select}]})
    height = CELL * len({c.up for c in cells}) + 80
    return Chart(drawn(layers, height, i), rows, finding)


def _axis(field: str, title: str, order: Sequence[str]) -> Part:
    axis = {"title": title, "labelAngle": 0, "grid": False}
    return {"field": field, "type": "ordinal", "sort": list(dict.fromkeys(order)), "axis": axis}
