"""What charts are made of: a specification with its rows in it, a finding in words, the colours of what is not data.

A specification is plain Vega-Lite; `width` works in its expressions, so labels follow the screen without knowing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Part = dict[str, Any]
WHITE, BLACK = "#FFFFFF", "#161614"
DARKEST = 0.21  # relative luminance up to which white reads better than black


@dataclass(frozen=True)
class Ink:
    """Colours of what is not data, for a light or a dark page; and of a map's cells that are partly and wholly full,
    which grow darker on the light page and lighter on the dark one."""

    text: str
    muted: str
    grid: str
    page: str
    limit: str
    part: str
    whole: str


LIGHT = Ink("#1F1E1C", "#6B665E", "#ECEAE6", "#FFFFFF", "#B3261E", "#5F93D2", "#1B4FA8")
DARK = Ink("#EDEBE8", "#A9A49B", "#2E2B27", "#161614", "#FF8A7A", "#2A6CE6", "#A9CBFA")


@dataclass(frozen=True)
class Chart:
    """A picture: its Vega-Lite specification, its rows with raw numbers, and what it finds, in one sentence."""

    spec: Part
    rows: Sequence[Mapping[str, Any]]
    finding: str


def luminance(color: str) -> float:
    """Relative luminance of a colour written as #RRGGBB (WCAG 2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink_on(color: str) -> str:
    """White or black, whichever reads better on a colour."""
    return WHITE if luminance(color) < DARKEST else BLACK


def drawn(layers: list[Part], height: float, i: Ink) -> Part:
    """The specification; the height includes legend and axes."""
    axis = {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 400,
        "labelColor": i.muted,
        "titleColor": i.muted,
        "gridColor": i.grid,
        "domain": False,
        "ticks": False,
    }
    # An object, because Streamlit writes into it.
    padding = dict.fromkeys(("left", "right", "top", "bottom"), 1)
    return {"layer": layers, "height": height, "padding": padding, "config": {"view": {"stroke": None}, "axis": axis}}


def q(field: str, domain: Sequence[float], axis: Part | None = None, **scale: Any) -> Part:
    """A quantitative place on an axis that ends where the data end; none is drawn unless given."""
    shape = {"domain": list(domain), "nice": False, **scale}
    return {"field": field, "type": "quantitative", "scale": shape, "axis": axis}


def layer(
    rows: Sequence[Mapping[str, Any]], mark: Part, encoding: Part, where: str = "", calculated: Sequence[Part] = ()
) -> Part:
    """Marks over rows of their own, of which an expression may be calculated, and then one kept."""
    steps = [*calculated, *([{"filter": where}] if where else [])]
    transform = {"transform": steps} if steps else {}
    return {"data": {"values": [dict(r) for r in rows]}, "mark": mark, "encoding": encoding} | transform


def words(color: Any, *, size: Any = 13, weight: int = 400, **more: Any) -> Part:
    """A mark of text."""
    return {"type": "text", "color": color, "fontSize": size, "fontWeight": weight, "baseline": "middle", **more}


def note(x: Part, y: Part, at: tuple[float, float], text: str, color: str, **more: Any) -> Part:
    """A text at a place of two axes."""
    return notes(x, y, [{"x": at[0], "y": at[1], "t": text}], color, **more)


def notes(x: Part, y: Part, rows: Sequence[Mapping[str, Any]], color: Any, **more: Any) -> Part:
    """Texts at places of two axes; what differs from one to the next is an expression over its row."""
    shape: Part = {"size": 12, "align": "left"} | more
    return layer(
        rows, words(color, **shape), {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}, "text": {"field": "t"}}
    )


def tips(**titles: str) -> list[Part]:
    """The tooltip's fields with their titles."""
    return [{"field": name, "title": title} for name, title in titles.items()]


def legend_width(names: Iterable[str]) -> int:
    """About the pixels that a legend of one line takes."""
    return sum(7 * len(name) + 36 for name in names)


def color(field: str, shades: Mapping[str, str], i: Ink, *, legend: bool = True, narrow: int = 3) -> Part:
    """Colours by name; the legend on top in one line, or in rows of as many as have room, at least `narrow`."""
    scale = {"domain": list(shades), "range": list(shades.values())}
    narrow, widest = in_a_row(shades, narrow), max(map(legend_width, ([name] for name in shades)), default=1)
    if not legend:
        return {"field": field, "type": "nominal", "scale": scale, "legend": None}
    shown = {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "padding": 0,
        "offset": 10,
        "columns": {"expr": f"width < {legend_width(shades)} ? max({narrow}, floor(width / {widest})) : {len(shades)}"},
        "columnPadding": 16,
        "labelFontSize": 12.5,
        "labelLimit": 0,
        "labelColor": i.text,
        "symbolType": "square",
        "symbolSize": 110,
        "symbolStrokeWidth": 0,
        "symbolLimit": 0,
    }
    return {"field": field, "type": "nominal", "scale": scale, "legend": shown}


def in_a_row(names: Iterable[str], narrow: int = 3) -> int:
    """Entries of a legend that stand side by side on a phone, which has some 270 px beside an axis: two of names as
    long as "Norms and residuals", one of much longer ones."""
    longest = max(map(len, names), default=0)
    return min(narrow, 1 if longest > 24 else 2 if longest > 14 else 3)


def legend_lines(names: Sequence[str], narrow: int = 3) -> int:
    """Lines that a legend may take on a phone."""
    narrow = in_a_row(names, narrow)
    return 1 if legend_width(names) < 330 else -(-len(names) // narrow)
