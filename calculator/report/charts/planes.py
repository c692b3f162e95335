"""Charts over two axes: lines, areas, dots and the roofline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from calculator.report.charts.base import (
    Chart,
    Ink,
    Part,
    color,
    drawn,
    layer,
    note,
    notes,
    q,
    tips,
)

TALL = 300
BINARY = (
    "datum.value >= 1073741824 ? datum.value / 1073741824 + 'G' : datum.value >= 1048576 ? datum.value / 1048576 + 'M' "
    ": datum.value >= 1024 ? datum.value / 1024 + 'k' : datum.value"
)
# 0.1 is written 0.1: Vega's SI prefixes write 100m, which reads as millions.
PLAIN = (
    "datum.value == 0 ? '0' : datum.value >= 1e15 || datum.value < 1e-4 ? format(datum.value, '.0e') "
    ": format(datum.value, ',.6~f')"
)


class Point(NamedTuple):
    """A point of a series: where, how much, and that in words."""

    x: float
    value: float
    text: str


def _powers(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten between two amounts, no more than fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if high / low < 100:
        return [m * 10.0**k for k in range(first, last + 1) for m in (1, 2, 5)]
    step = max(1, -(-(last - first) // most))
    return [10.0**k for k in range(first, last + 1, step)]


def _across(title: str, xs: Sequence[float]) -> Part:
    """A logarithmic axis of whole numbers with its ticks at powers of two."""
    first, last = min(xs), max(xs)
    ticks = [2**k for k in range(41) if first <= 2**k <= last]
    step = max(1, -(-len(ticks) // 7))
    axis = {"values": ticks[::-1][::step][::-1], "labelExpr": BINARY, "title": title, "grid": False}
    return q("x", [first, last], axis, type="log", base=2)


def _rows(series: Mapping[str, Sequence[Point]]) -> list[Part]:
    return [
        {"series": name, "x": p.x, "value": p.value, "text": p.text} for name, points in series.items() for p in points
    ]


def lines(
    series: Mapping[str, Sequence[Point]],
    shades: Mapping[str, str],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    log: bool = True,
    here: float | None = None,
    limit: tuple[float, str] | None = None,
) -> Chart:
    """Lines over a logarithmic axis of whole numbers. `here`: where the sidebar stands; `limit`: a level with a name.

    A series without points above zero is left out of a logarithmic chart.
    """
    kept = {n: [p for p in ps if p.value > 0 or not log] for n, ps in series.items()}
    rows = _rows({n: ps for n, ps in kept.items() if ps})
    shown = {n: c for n, c in shades.items() if kept.get(n)}
    values = [r["value"] for r in rows] + ([limit[0]] if limit else [])
    low, high = (min(values) / 1.15, max(values) * 1.15) if log else (0, max(values) * 1.08)
    if here is not None:  # "as asked" stands above all lines
        high *= (high / low) ** 0.1 if log else 1.1
    ticks: Part = {"title": titles[1], "labelExpr": PLAIN, "tickCount": 5}
    if log:
        ticks |= {"values": _powers(low, high)}
    y = q("value", [low, high], ticks, **({"type": "log"} if log else {}))
    x = _across(titles[0], [r["x"] for r in rows])
    place: Part = {"x": x, "y": y, "color": color("series", shown, i, narrow=2, legend=len(shown) > 1)}
    tip = {"tooltip": [*tips(series=" "), {"field": "x", "title": titles[0], "format": ","}, *tips(text="Amount")]}
    layers = [layer(rows, {"type": "line", "strokeWidth": 2.5}, place)]
    layers.append(layer(rows, {"type": "circle", "size": 90, "opacity": 0}, place | tip))
    layers += _marks(x, y, here, limit, (min(r["x"] for r in rows), max(r["x"] for r in rows)), high, i)
    exported = [{"series": r["series"], titles[0]: r["x"], titles[1] or "value": r["value"]} for r in rows]
    return Chart(drawn(layers, TALL, i), exported, finding)


def _marks(
    x: Part,
    y: Part,
    here: float | None,
    limit: tuple[float, str] | None,
    ends: tuple[float, float],
    high: float,
    i: Ink,
) -> list[Part]:
    found: list[Part] = []
    said: list[Part] = []
    if here is not None and ends[0] <= here <= ends[1]:
        rule: Part = {"type": "rule", "color": i.muted, "strokeDash": [4, 3]}
        found.append(layer([{"x": here}], rule, {"x": x}))
        right = math.log(here / ends[0]) > 0.7 * math.log(ends[1] / ends[0])
        side = {"side": "right", "dx": -5} if right else {"side": "left", "dx": 5}
        said.append({"x": here, "y": high, "t": "as asked", "dy": 8, "ink": i.text, **side})
    if limit is not None:
        rule = {"type": "rule", "color": i.limit, "strokeWidth": 2}
        found.append(layer([{"value": limit[0]}], rule, {"y": y}))
        left = here is not None and math.log(here / ends[0]) > 0.5 * math.log(ends[1] / ends[0])  # clear of "as asked"
        at, side = (
            (ends[0], {"side": "left", "dx": 5}) if left or here is None else (ends[1], {"side": "right", "dx": -5})
        )
        said.append({"x": at, "y": limit[0], "t": limit[1], "dy": -8, "ink": i.limit, **side})
    if said:
        place = {name: {"expr": f"datum.{field}"} for name, field in (("align", "side"), ("dx", "dx"), ("dy", "dy"))}
        halo = {"stroke": i.page, "strokeWidth": 5, "strokeJoin": "round"}  # clears what lies behind a text
        found += [notes(x, y, said, {"expr": "datum.ink"}, **place, **h) for h in (halo, {})]
    return found


def areas(
    series: Mapping[str, Sequence[Point]],
    shades: Mapping[str, str],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    shares: bool = False,
    here: float | None = None,
    limit: tuple[float, str] | None = None,
) -> Chart:
    """Stacked areas; `shares`: of the whole (values from 0 to 1). The stack is summed here, so its order is certain."""
    names = [n for n in shades if any(p.value for p in series.get(n, ()))]
    below: dict[float, float] = {}
    rows: list[Part] = []
    for name in names:
        for p in series[name]:
            start = below.get(p.x, 0.0)
            below[p.x] = start + p.value
            rows.append({"series": name, "x": p.x, "y0": start, "value": below[p.x], "amount": p.value, "text": p.text})
    top = 1.0 if shares else max([*below.values(), limit[0] if limit and limit[0] < 3 * max(below.values()) else 0])
    limit = limit if limit and limit[0] <= top else None
    axis: Part = {"title": titles[1], "tickCount": 5, "labelExpr": PLAIN}
    if shares:
        del axis["labelExpr"]
        axis |= {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]}
    high = top * (1.14 if here is not None else 1 if shares else 1.05)  # "as asked" stands above all areas
    y = q("value", [0, high], axis)
    x = _across(titles[0], list(below))
    place: Part = {"x": x, "y": y, "y2": {"field": "y0"}, "color": color("series", {n: shades[n] for n in names}, i)}
    place["tooltip"] = [*tips(series=" "), {"field": "x", "title": titles[0], "format": ","}, *tips(text="Amount")]
    layers = [layer(rows, {"type": "area", "opacity": 1, "stroke": i.page, "strokeWidth": 1}, place)]
    layers += _marks(x, y, here, limit, (min(below), max(below)), high, i)
    exported = [{"series": r["series"], titles[0]: r["x"], titles[1] or "value": r["amount"]} for r in rows]
    return Chart(drawn(layers, TALL, i), exported, finding)


class Dot(NamedTuple):
    """An operation: name, component, FLOP/B, the height it stands at, its area, and words for the tooltip."""

    name: str
    part: str
    x: float
    y: float
    size: float
    text: str


def dots(
    points: Sequence[Dot],
    shades: Mapping[str, str],
    y_title: str,
    finding: str,
    i: Ink,
    *,
    roof: Sequence[tuple[float, float, str]] = (),
    bounds: Sequence[tuple[float, str]] = (),
) -> Chart:
    """Operations by intensity. `roof`: (bandwidth, peak) of a device with the name of its format, in the units of y;
    `bounds`: intensities with names."""
    xs, ys = [p.x for p in points], [p.y for p in points]
    low, high = min(xs) / 2, max([*xs, *(peak / bandwidth for bandwidth, peak, _ in roof)]) * 3
    # Above the operations there is a line for the names of the bounds.
    bottom, up = min(ys) / 2, max([*ys, *(peak for _, peak, _ in roof)]) * (8 if bounds else 2)
    x = q("x", [low, high], {"title": "FLOP per byte", "values": _powers(low, high), "labelExpr": PLAIN}, type="log")
    y = q("y", [bottom, up], {"title": y_title, "values": _powers(bottom, up), "labelExpr": PLAIN}, type="log")
    layers = []
    line: list[Part] = []
    said: list[Part] = []
    for number, (bandwidth, peak, name) in enumerate(roof):
        ridge = peak / bandwidth
        start = max(low, bottom / bandwidth)
        corners = ((start, start * bandwidth), (ridge, peak), (high, peak))
        line += [{"x": at, "y": level, "roof": name, "dashed": bool(number)} for at, level in corners]
        # Nothing lies above the roof: its upper left corner is free, wherever the operations stand.
        sample = "┄" if number else "─"
        said.append({"x": low, "y": up, "t": f"{sample} {name}, ridge at {ridge:,.0f}", "dy": 10 + 17 * number})
    if roof:
        dash = {"condition": {"test": "datum.dashed", "value": [4, 3]}, "value": [1, 0]}
        roofs = {"x": x, "y": y, "detail": {"field": "roof"}, "strokeDash": dash}
        layers.append(layer(line, {"type": "line", "color": i.muted, "strokeWidth": 2}, roofs))
        layers.append(notes(x, y, said, i.muted, dx=6, dy={"expr": "datum.dy"}))
    seen = [{"x": at, "y": up, "t": name} for at, name in bounds if low < at < high]
    if seen:
        layers.append(layer(seen, {"type": "rule", "color": i.muted, "strokeDash": [4, 3]}, {"x": x}))
        # The names of two bounds stand on either side of them: between them there is no room.
        if seen[:-1]:
            layers.append(notes(x, y, seen[:-1], i.muted, dx=-4, dy=8, align="right"))
        layers.append(notes(x, y, seen[-1:], i.muted, dx=4, dy=8))
    rows = [
        {"operation": p.name, "component": p.part, "x": p.x, "y": p.y, "size": p.size, "text": p.text} for p in points
    ]
    size = {
        "field": "size",
        "type": "quantitative",
        "scale": {"domain": [0, max(p.size for p in points)], "range": [40, 1100 if roof else 250]},
        "legend": None,
    }
    shown = {n: c for n, c in shades.items() if any(p.part == n for p in points)}
    place: Part = {"x": x, "y": y, "size": size, "color": color("component", shown, i)}
    place["tooltip"] = [*tips(operation="Operation", component="Part", text="Amount")]
    place["tooltip"].append({"field": "x", "title": "FLOP/B", "format": ",.2f"})
    layers.append(layer(rows, {"type": "circle", "opacity": 1, "stroke": i.page, "strokeWidth": 1.5}, place))
    exported = [{"operation": p.name, "component": p.part, "flop_per_byte": p.x, y_title: p.y} for p in points]
    return Chart(drawn(layers, TALL + 20, i), exported, finding)


def frontier(
    series: Mapping[str, Sequence[Point]],
    shades: Mapping[str, str],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    here: tuple[float, float, str],
) -> Chart:
    """Two rates against each other, a line a layout; `here` is ringed, with its name."""
    rows: list[Part] = [
        {"series": n, "x": p.x, "value": p.value, "order": k, "text": p.text}
        for n, points in series.items()
        for k, p in enumerate(points)
    ]
    across, up = max([*(r["x"] for r in rows), here[0]]) * 1.06, max([*(r["value"] for r in rows), here[1]]) * 1.1
    x = q("x", [0, across], {"title": titles[0], "tickCount": 5, "grid": False})
    y = q("value", [0, up], {"title": titles[1], "tickCount": 5, "titlePadding": 10})
    place: Part = {"x": x, "y": y, "color": color("series", shades, i, narrow=2)}
    tip = tips(series="Layout", text="Load")
    tip += [{"field": "x", "title": "A user (tok/s)", "format": ",.1f"}]
    tip += [{"field": "value", "title": "A device (tok/s)", "format": ",.1f"}]
    ring = {"type": "point", "size": 260, "stroke": i.text, "strokeWidth": 2.5}
    halo = {"stroke": i.page, "strokeWidth": 6, "strokeJoin": "round"}  # clears the lines behind a text
    side = {"align": "right", "dx": -14} if here[0] > 0.7 * across else {"align": "left", "dx": 14}
    layers = [
        layer(rows, {"type": "line", "strokeWidth": 2.5}, place | {"order": {"field": "order"}}),
        layer(rows, {"type": "circle", "size": 55, "opacity": 1}, place | {"tooltip": tip}),
        layer([{"x": here[0], "value": here[1]}], ring, {"x": x, "y": y}),
        *(note(x, y, here[:2], here[2], i.text, dy=-1, weight=600, **side, **h) for h in (halo, {})),
    ]
    exported = [{"layout": r["series"], titles[0]: r["x"], titles[1]: r["value"], "load": r["text"]} for r in rows]
    return Chart(drawn(layers, TALL + 30, i), exported, finding)


def steps(values: Sequence[float], titles: tuple[str, str], shade: str, finding: str, i: Ink) -> Chart:
    """A bar for each of a row of values in their order, with the mean 1 as a rule; every one of them is drawn."""
    top = max(values) * 1.08
    rows = [{"x0": n, "x1": n + 1, "value": v, "rank": n + 1} for n, v in enumerate(values)]
    every = max(1, len(values) // 8)
    ticks = [n + 0.5 for n in range(0, len(values), every)]
    axis = {"title": titles[0], "values": ticks, "labelExpr": "datum.value + 0.5", "grid": False}
    x, y = q("x0", [0, len(values)], axis), q("value", [0, top], {"title": titles[1], "tickCount": 5})
    place: Part = {"x": x, "x2": {"field": "x1"}, "y": y, "y2": {"datum": 0}}
    place["tooltip"] = [
        {"field": "rank", "title": titles[0]},
        {"field": "value", "title": titles[1], "format": ".2f"},
    ]
    gap = {"stroke": i.page, "strokeWidth": 1} if len(values) <= 64 else {}
    layers = [layer(rows, {"type": "rect", "color": shade, **gap}, place)]
    layers.append(layer([{"value": 1}], {"type": "rule", "strokeDash": [5, 4], "color": i.muted}, {"y": y}))
    layers.append(
        note({**x, "field": "x"}, {**y, "field": "y"}, (len(values), 1), "mean", i.muted, align="right", dy=-8, dx=-4)
    )
    exported = [{titles[0]: r["rank"], titles[1]: r["value"]} for r in rows]
    return Chart(drawn(layers, 260, i), exported, finding)


__all__ = ["Dot", "Point", "areas", "dots", "frontier", "lines", "steps"]
