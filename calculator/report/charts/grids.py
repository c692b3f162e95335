"""A grid of cells over two rows of whole numbers: how full each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from calculator.report.charts.base import BLACK, WHITE, Chart, Ink, Part, color, drawn, ink_on, layer, tips, words

CELL = 34  # pixels of a cell's height
SHADES = {"Up to a half": "#BBD2F2", "Up to all": "#2A6CE6", "Does not fit": "#E4E1DB"}


class Cell(NamedTuple):
    """A cell: its column and its row in words, and the share that it fills; None is beyond any."""

    across: str
    up: str
    share: float | None


def _step(share: float | None) -> str:
    half, full, beyond = SHADES
    return beyond if share is None or share > 1 else half if share <= 0.5 else full


def grid(
    cells: Sequence[Cell],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    rows: Sequence[Mapping[str, Any]],
    here: tuple[str, str],
) -> Chart:
    """Cells with their share of the whole, in per cent where it fits and as ✕ where it does not. `here` is framed;
    `rows` are what is exported."""
    data = [
        {
            "x": c.across,
            "y": c.up,
            "step": _step(c.share),
            "text": f"{c.share:.0%}" if c.share is not None and c.share <= 1 else "✕",
            "tip": "no room" if c.share is None else f"{c.share:,.1%} of the pool",
        }
        for c in cells
    ]
    x = _axis("x", titles[0], [c.across for c in cells])
    y = _axis("y", titles[1], [c.up for c in cells][::-1])
    tip = [*tips(y=titles[1], x=titles[0], tip="Cache")]
    box: Part = {"type": "rect", "stroke": i.page, "strokeWidth": 2}
    layers = [layer(data, box, {"x": x, "y": y, "color": color("step", SHADES, i, narrow=2), "tooltip": tip})]
    for shade in (WHITE, BLACK):
        inked = [d for d in data if ink_on(SHADES[d["step"]]) == shade]
        if inked:
            layers.append(layer(inked, words(shade, size=12), {"x": x, "y": y, "text": {"field": "text"}}))
    mine = [d for d in data if (d["x"], d["y"]) == here]
    if mine:
        frame: Part = {"type": "rect", "fill": None, "stroke": i.text, "strokeWidth": 2.5}
        layers.append(layer(mine, frame, {"x": x, "y": y}))
    height = CELL * len({c.up for c in cells}) + 80
    return Chart(drawn(layers, height, i), rows, finding)


def _axis(field: str, title: str, order: Sequence[str]) -> Part:
    axis = {"title": title, "labelAngle": 0, "grid": False}
    return {"field": field, "type": "ordinal", "sort": list(dict.fromkeys(order)), "axis": axis}
