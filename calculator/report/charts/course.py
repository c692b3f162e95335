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
    color,
    drawn,
    ink_on,
    layer,
    legend_lines,
    note,
    q,
    tips,
    words,
)

BAND = 30  # pixels of the phases' height
TALL = 260


def course(
    phases: Sequence[tuple[str, float, float]],
    level: Sequence[tuple[float, Mapping[str, float], str]],
    shades: tuple[Mapping[str, str], Mapping[str, str]],
    titles: tuple[str, str],
    finding: str,
    i: Ink,
    *,
    limit: Limit,
    peak: str,
) -> Chart:
    """Phases (name, from, to) as a band over stacked areas of a level (when, amounts by kind, event), with a limit.

    Args:
        shades: of the phases and of the kinds, in the order of the stack. titles: of time and of the level, with their
            units. peak: said at the highest point.
    """
    end = phases[-1][2]
    kinds = {kind: c for kind, c in shades[1].items() if any(amounts.get(kind) for _, amounts, _ in level)}
    heights: list[Part] = [{"x": w, "y": sum(a.values()), "event": e} for w, a, e in level]
    highest = max(heights, key=lambda r: r["y"])
    x = q("x", [0, end], {"title": titles[0], "tickCount": 8, "grid": False})
    reach = [0, max(highest["y"], limit.at) * 1.15]
    # Just under the limit there is no room for a text above the peak.
    near = 0 < limit.at - highest["y"] < 0.16 * reach[1]
    y = q("y", reach, {"title": titles[1], "tickCount": 5}, range=[{"expr": "height"}, BAND + 12])
    place: Part = {"x": x, "y": y | {"field": "y1", "stack": None}, "y2": {"field": "y0"}}
    place |= {"color": color("kind", kinds, i), "tooltip": tips(kind="Kind")}
    side: Part = {"align": "right", "dx": -8} if highest["x"] > 0.5 * end else {"align": "left", "dx": 8}
    halo = {"stroke": i.page, "strokeWidth": 5, "strokeJoin": "round"}  # clears what lies behind a text
    lines: list[Part] = [{"color": i.text, "strokeWidth": 4}, {"color": i.limit, "strokeWidth": 2}]
    shape = {"type": "area", "opacity": 1, "stroke": i.page, "strokeWidth": 1}
    events = [r for r in heights if r["event"]]
    said = [*tips(event="Event"), {"field": "y", "title": titles[1], "format": ",.1f"}]
    layers = [
        *_band(phases, shades[0], x, i),
        *(layer(rows, shape, place) for rows in _stacked(level, kinds)),
        *(layer([{"y": limit.at}], {"type": "rule", **line}, {"y": y}) for line in lines),
        layer([highest], {"type": "circle", "size": 60, "color": i.text, "opacity": 1}, {"x": x, "y": y}),
        *(note(x, y, (0, limit.at), limit.name, i.limit, dx=6, dy=-9, **h) for h in (halo, {})),
        *(
            note(x, y, (highest["x"], highest["y"]), peak, i.text, dy=4 if near else -9, **side, **h)
            for h in (halo, {})
        ),
        layer(events, {"type": "circle", "size": 200, "opacity": 0}, {"x": x, "y": y, "tooltip": said}),
    ]
    exported = [{"phase": name, "from_s": start, "to_s": stop} for name, start, stop in phases]
    exported += [{"event": event, "at_s": when, **amounts} for when, amounts, event in level]
    return Chart(drawn(layers, TALL + 18 * legend_lines(list(kinds)), i), exported, finding)


def _stacked(level: Sequence[tuple[float, Mapping[str, float], str]], kinds: Mapping[str, str]) -> list[list[Part]]:
    """For each kind its rows, on top of those of the kinds before."""
    below = [0.0] * len(level)
    found = []
    for kind in kinds:
        rows: list[Part] = []
        for place, (when, amounts, _) in enumerate(level):
            start = below[place]
            below[place] = start + amounts.get(kind, 0.0)
            rows.append({"kind": kind, "x": when, "y0": start, "y1": below[place]})
        found.append(rows)
    return found


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
