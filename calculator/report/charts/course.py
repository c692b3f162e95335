"""A course: what runs when, and under it an amount over the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calculator.numbers.units import digits
from calculator.report.charts.bars import Limit
from calculator.report.charts.base import (
    BLACK,
    WHITE,
    Chart,
    Ink,
    Part,
    drawn,
    ink_on,
    layer,
    note,
    q,
    tips,
    words,
)

BAND = 30  # pixels of the phases' height
TALL = 260


def course(
    phases: Sequence[tuple[str, float, float]],
    level: Sequence[tuple[float, float, str]],
    shades: Mapping[str, str],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    limit: Limit,
    peak: str,
) -> Chart:
    """Phases (name, from, to) as a band over the area of a level (when, how much, event), with a limit across it.

    Args:
        titles: of time and of the level, with their units. peak: said at the highest point of the level.
    """
    end, most = phases[-1][2], max(amount for _, amount, _ in level)
    top = max(most, limit.at) * 1.12
    x = q("x", [0, end], {"title": titles[0], "tickCount": 8, "grid": False})
    y = q("y", [0, top], {"title": titles[1], "tickCount": 5}, range=[{"expr": "height"}, BAND + 12]) | {"stack": None}
    rows = [{"x": when, "y": amount, "event": event} for when, amount, event in level]
    area: Part = {
        "type": "area",
        "color": i.muted,
        "opacity": 0.35,
        "line": {"color": i.muted, "strokeWidth": 2, "opacity": 1},
    }
    highest = max(rows, key=lambda r: float(r["y"]))
    late = highest["x"] > 0.5 * end
    side: Part = {"align": "right", "dx": -8} if late else {"align": "left", "dx": 8}
    halo = {"stroke": i.page, "strokeWidth": 5, "strokeJoin": "round"}
    over = limit.at < most
    layers = [
        *_band(phases, shades, x, i),
        layer(rows, area, {"x": x, "y": y}),
        layer([{"y": limit.at}], {"type": "rule", "color": i.limit, "strokeWidth": 2}, {"y": y}),
        *(note(x, y, (0, limit.at), limit.name, i.limit, dx=6, dy=-9, **h) for h in (halo, {})),
        *(note(x, y, (highest["x"], highest["y"]), peak, i.text, dy=-9, weight=600, **side, **h) for h in (halo, {})),
        layer(
            [highest],
            {"type": "circle", "size": 60, "color": i.limit if over else i.text, "opacity": 1},
            {"x": x, "y": y},
        ),
        layer(
            [r for r in rows if r["event"]],
            {"type": "circle", "size": 200, "opacity": 0},
            {"x": x, "y": y, "tooltip": [*tips(event="Event"), {"field": "y", "title": titles[1], "format": ",.1f"}]},
        ),
    ]
    exported = [{"phase": name, "from_s": start, "to_s": stop} for name, start, stop in phases]
    exported += [{"event": event, "at_s": when, titles[1]: amount} for when, amount, event in level]
    return Chart(drawn(layers, TALL, i), exported, finding)


def _band(phases: Sequence[tuple[str, float, float]], shades: Mapping[str, str], x: Part, i: Ink) -> list[Part]:
    """The phases, named where there is room."""
    blocks = [
        {
            "phase": name,
            "x0": start,
            "x1": stop,
            "mid": (start + stop) / 2,
            "said": f"{name} {digits(stop - start)} s",
            "shade": shades[name],
            "ink": ink_on(shades[name]),
        }
        for name, start, stop in phases
    ]
    end = phases[-1][2]
    place: Part = {"x": {**x, "field": "x0"}, "x2": {"field": "x1"}, "y": {"value": 0}, "y2": {"value": BAND}}
    place |= {
        "color": {"field": "shade", "type": "nominal", "scale": None},
        "tooltip": tips(phase="Phase", said="Time"),
    }
    layers = [layer(blocks, {"type": "rect", "stroke": i.page, "strokeWidth": 1.5}, place)]
    room = f"(datum.x1 - datum.x0) / {end} * width"
    for shade in (WHITE, BLACK):
        inked = [b for b in blocks if b["ink"] == shade]
        for field, test in (
            ("said", f"{room} > 7 * length(datum.said) + 10"),
            ("phase", f"{room} <= 7 * length(datum.said) + 10 && {room} > 7 * length(datum.phase) + 8"),
        ):
            text = {"x": {**x, "field": "mid"}, "y": {"value": BAND / 2}, "text": {"field": field}}
            if inked:
                layers.append(layer(inked, words(shade, size=12.5, weight=600), text, test))
    return layers
