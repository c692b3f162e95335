"""Bars: stacked with a limit across them, and ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from calculator.numbers.units import digits
from calculator.report.charts.base import (
    WHITE,
    Chart,
    Ink,
    Part,
    color,
    drawn,
    ink_on,
    layer,
    legend_lines,
    q,
    tips,
    words,
)


class Bar(NamedTuple):
    """A bar: its label, a remark on its right (red if it says ✕), an amount for each part."""

    label: str
    remark: str
    parts: Mapping[str, float]


class Limit(NamedTuple):
    """A mark across the bars."""

    at: float
    name: str


def stacked(
    bars: Sequence[Bar],
    shades: Mapping[str, str],
    finding: str,
    i: Ink,
    *,
    unit: str = "GiB",
    limits: Sequence[Limit] = (),
    top: float = 0,
    full: Mapping[str, float] | None = None,
    thick: int = 30,
) -> Chart:
    """Stacked bars with the value of each part in it where there is room.

    Args:
        shades: part -> colour, in the order of the stack. limits: marks across the bars. top: where a longer bar is
            cut. full: label -> the amount that the whole width is for that bar.
    """
    present = {n: c for n, c in shades.items() if any(bar.parts.get(n) for bar in bars)}
    whole = max([sum(b.parts.values()) for b in bars] + [limit.at for limit in limits])
    top = 1.0 if full else top or 1.02 * whole or 1.0
    pieces, heads = _pieces(bars, present, unit, top, full)
    y: Part = {
        "field": "bar",
        "type": "nominal",
        "sort": [b.label for b in bars],
        "axis": None,
        "scale": {"padding": 0},
    }
    down, up = 9, -thick / 2 - 3
    box: Part = {"type": "bar", "height": thick, "yOffset": down}
    place: Part = {"x": q("x0", [0, top]), "x2": {"field": "x1"}, "y": y, "color": color("part", present, i)}
    place["tooltip"] = tips(bar=" ", part="Part", tip="Amount")
    across: Part = {"y": y, "x": {"value": 0}, "x2": {"value": "width"}}
    frame = box | {"fill": None, "stroke": i.muted, "strokeWidth": 1}
    layers: list[Part] = [layer(heads, frame, across)] if full else []
    layers.append(layer(pieces, box | {"stroke": i.page, "strokeWidth": 1.5}, place))
    layers += _values(pieces, y, top, limits, down)
    label = {"y": y, "x": {"value": 0}, "text": {"field": "bar"}}
    layers.append(layer(heads, words(i.text, weight=600, align="left", yOffset=up), label))
    red = {"condition": {"test": "datum.bad", "value": i.limit}, "value": i.muted}
    remark = {"y": y, "x": {"value": "width"}, "text": {"field": "remark"}, "color": red}
    layers.append(layer(heads, words(i.muted, align="right", yOffset=up), remark))
    if any(h["cut"] for h in heads):
        mark = words(WHITE, size=17, weight=600, align="right", yOffset=down, dx=-7)
        layers.append(layer(heads, mark, {"y": y, "text": {"value": "»"}, "x": {"value": "width"}}, "datum.cut"))
    layers += _limits(bars, y, limits, top, thick, down, i)
    height = len(bars) * (thick + 30) + 14 + 18 * legend_lines(list(present)) + 20 * bool(limits)
    rows = [
        {"bar": bar.label, "part": name, unit: bar.parts[name]} for bar in bars for name in present if name in bar.parts
    ]
    return Chart(drawn(layers, height, i), rows, finding)


def _pieces(
    bars: Sequence[Bar], present: Mapping[str, str], unit: str, top: float, full: Mapping[str, float] | None
) -> tuple[list[Part], list[Part]]:
    pieces: list[Part] = []
    heads: list[Part] = []
    for bar in bars:
        end, whole = 0.0, (full[bar.label] or 1.0) if full else 1.0
        for name, shade in present.items():
            amount = bar.parts.get(name, 0)
            start, end = end, end + amount / whole
            if end > start and start < top:
                shown, value = min(end, top), digits(amount)
                pieces.append(
                    {
                        "bar": bar.label,
                        "part": name,
                        "x0": start,
                        "x1": shown,
                        "mid": (start + shown) / 2,
                        "long": f"{name} {value}",
                        "short": value,
                        "ink": ink_on(shade),
                        "tip": f"{value} {unit}",
                    }
                )
        heads.append({"bar": bar.label, "remark": bar.remark, "cut": end > top * 1.000001, "bad": "✕" in bar.remark})
    return pieces, heads


def _values(pieces: list[Part], y: Part, top: float, limits: Sequence[Limit], down: int) -> list[Part]:
    """Name and amount in each part where both fit clear of the limits, else the amount, else nothing.

    One layer, because each costs the browser a millisecond at every change.
    """
    room = f"(datum.x1 - datum.x0) / {top} * width"
    clear = "".join(f" && abs(datum.mid - {at}) / {top} * width > 4 * length(datum.TEXT) + 4" for at, _ in limits)
    fits = f"{room} > 7 * length(datum.long) + 12{clear.replace('TEXT', 'long')}"
    fits_short = f"{room} > 7 * length(datum.short) + 8{clear.replace('TEXT', 'short')}"
    said = {"calculate": f"{fits} ? datum.long : {fits_short} ? datum.short : ''", "as": "said"}
    place = {"x": q("mid", [0, top]), "y": y, "text": {"field": "said"}}
    mark = words({"expr": "datum.ink"}, size=12.5, weight=600, yOffset=down)
    return [layer(pieces, mark, place, "datum.said != ''", calculated=[said])]


def _limits(
    bars: Sequence[Bar], y: Part, limits: Sequence[Limit], top: float, thick: int, down: int, i: Ink
) -> list[Part]:
    if not limits:
        return []
    here = [{"bar": bar.label, "at": at} for at, _ in limits for bar in bars]
    mark = {"type": "tick", "size": thick + 4, "thickness": 2.5, "color": i.limit, "yOffset": down, "opacity": 1}
    # On a phone a long name stands to the right of its mark.
    side = {"expr": f"datum.at / {top} * width > 6.5 * length(datum.name) ? 'right' : 'left'"}
    text = words(i.limit, size=12, align=side, baseline="top", dy=2, dx=1)
    place = {"x": q("at", [0, top]), "y": {"value": "height"}, "text": {"field": "name"}}
    names = [{"at": at, "name": name} for at, name in limits]
    return [layer(here, mark, {"x": q("at", [0, top]), "y": y}), layer(names, text, place)]


PITCH = 46  # pixels from one ranked bar to the next, where nothing asks for more


class Rank(NamedTuple):
    """A bar: name, amount, what is said of it, colour."""

    name: str
    value: float
    text: str
    shade: str


def ranked(rows: Sequence[Rank], finding: str, i: Ink, *, unit: str = "value", height: float = 0) -> Chart:
    """A bar for each row on a line as long as the scale, its name above on the left, its value above on the right.

    `height`: pixels that the rows share where they stand beside a taller picture.
    """
    height = max(height, PITCH * max(len(rows), 1))
    thick = 13 * height / max(len(rows), 1) / PITCH
    down = thick / 2 + 4.5
    top = max((r.value for r in rows), default=0) or 1.0
    data = [{"name": r.name, "value": r.value, "text": r.text, "shade": r.shade} for r in rows]
    y: Part = {
        "field": "name",
        "type": "nominal",
        "sort": [r.name for r in rows],
        "axis": None,
        "scale": {"padding": 0},
    }
    box: Part = {"type": "bar", "height": thick, "yOffset": down, "cornerRadiusEnd": 3}
    left: Part = {"y": y, "x": {"value": 0}}
    right: Part = {"y": y, "x": {"value": "width"}}
    shade = {"field": "shade", "type": "nominal", "scale": None}
    place = {"y": y, "x": q("value", [0, top]), "color": shade, "tooltip": tips(name=" ", text="Amount")}
    # A line to the end of the scale: seen on either page, and no amount.
    track = layer(data, {"type": "rule", "yOffset": down, "color": i.muted}, left | {"x2": {"value": "width"}})
    layers = [track, layer(data, box, place)]
    for where, field, mark in (
        (left, "name", {"align": "left"}),
        (right, "text", {"align": "right", "weight": 600}),
    ):
        layers.append(
            layer(data, words(i.text, yOffset=down - thick / 2 - 11.5, **mark), where | {"text": {"field": field}})
        )
    return Chart(drawn(layers, height, i), [{"name": r.name, unit: r.value} for r in rows], finding)
