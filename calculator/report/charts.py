"""The charts as Vega-Lite specifications, built with Altair. Each function takes what shapes the chart, not the data:
specifications are made once and kept, because building one costs more than all the arithmetic of an estimate.

Data columns are named in each docstring. Components have one colour each in every chart, by their place in COMPONENTS.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import altair as alt

from calculator.record.vocabulary import COMPONENT_LIST, MEMORY_LIST

Spec = dict[str, Any]
NAMES = [c.title for c in COMPONENT_LIST]
SHAPES = [c.shape for c in COMPONENT_LIST]
QUIET = "#8A847C"  # annotations: readable on the light and on the dark page
KINDS = {kind.title: kind.color for kind in MEMORY_LIST}
# What is neither a component nor a kind of memory (kernels, routing rules) has colours of its own.
SERIES = ["#18747D", "#CB5C00", "#713BF2", "#7196B5", "#C24CC9"]
PLAIN = "#7196B5"
POWERS = [10.0**k for k in range(-12, 31)]
BINARY = (
    "datum.value >= 1048576 ? datum.value / 1048576 + 'M' "
    ": datum.value >= 1024 ? datum.value / 1024 + 'k' : datum.value"
)
BAR = 26
ROWS = "rows"


AXIS = 70  # pixels of a labelled axis: the height that Streamlit draws includes axis and legend
LEGEND = 34
PANEL = 340  # charts that stand side by side


def _spec(chart: Any) -> Spec:
    spec: Spec = chart.to_dict()
    spec.pop("$schema", None)
    for part in (spec, *spec.get("layer", ())):
        if part.get("data") == {"name": ROWS}:  # the rows are handed over beside the specification
            del part["data"]
    return spec


def _color(present: tuple[str, ...], *, columns: int = 3) -> alt.Color:
    """The colour of a component; `columns` of the legend, 0 for none."""
    shown = (
        alt.Legend(orient="bottom", title=None, values=list(present), columns=columns, symbolLimit=0)
        if columns
        else None
    )
    return alt.Color("component:N", scale=alt.Scale(domain=NAMES), sort=NAMES, legend=shown)


def _given(values: list[dict[str, Any]]) -> Any:
    """A few rows that belong to the chart itself. (As InlineData they would be hoisted out of their layer, and the rows
    that Streamlit hands over would no longer reach the others.)"""
    return alt.Data(values=values)  # type: ignore[no-untyped-call]


def _x(title: str) -> alt.X:
    """A logarithmic axis of whole numbers with its ticks at powers of two."""
    ticks = [2**k for k in range(0, 31, 2)]
    return alt.X(
        "x:Q",
        title=title,
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(values=ticks, labelExpr=BINARY),
    )


def _series(names: tuple[str, ...]) -> alt.Color:
    colors = [KINDS.get(name, SERIES[i % len(SERIES)]) for i, name in enumerate(names)]
    legend = alt.Legend(orient="bottom", title=None, columns=3, symbolLimit=0)
    return alt.Color("series:N", sort=list(names), scale=alt.Scale(domain=list(names), range=colors), legend=legend)


def _rows() -> alt.Chart:
    return alt.Chart(alt.NamedData(ROWS))


@lru_cache(maxsize=256)
def stacked_bars(present: tuple[str, ...], order: tuple[str, ...], unit: str) -> Spec:
    """Horizontal bars `label`, stacked by `component` in the order of `rank`; lengths `value`, tooltip `text`."""
    bars = (
        _rows()
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=6)),
            y=alt.Y("label:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=220)),
            color=_color(present),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("label:N", title=" "),
                alt.Tooltip("component:N", title="Component"),
                alt.Tooltip("text:N", title="Amount"),
            ],
        )
    )
    return _spec(bars.properties(height=BAR * 1.5 * len(order) + AXIS + LEGEND * (1 + (len(present) > 5))))


@lru_cache(maxsize=256)
def component_bars(present: tuple[str, ...], unit: str) -> Spec:
    """One bar per `component`, length `value`, with `label` at its end; the axis reaches `room`."""
    base = _rows().encode(
        x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5)),
        y=alt.Y("component:N", sort=list(present), title=None),
        tooltip=[alt.Tooltip("component:N", title="Component"), alt.Tooltip("text:N", title="Amount")],
    )
    bars = base.mark_bar().encode(color=_color(present, columns=0))
    labels = base.mark_text(align="left", dx=6, color=QUIET, fontSize=12).encode(text="label:N")
    room = base.mark_point(opacity=0).encode(x="room:Q")  # keeps the longest bar's label inside the chart
    return _spec(alt.layer(bars, labels, room).properties(height=PANEL))


@lru_cache(maxsize=256)
def intensity_dots(present: tuple[str, ...]) -> Spec:
    """A dot per operation: `intensity` in FLOP/B against `gib` moved, both logarithmic, with the classes' bounds."""
    dots = (
        _rows()
        .mark_point(filled=True, size=90, opacity=1)
        .encode(
            x=alt.X(
                "intensity:Q",
                title="Arithmetic intensity (FLOP per byte)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format="~s", values=POWERS),
            ),
            y=alt.Y(
                "gib:Q", title="Moved (GiB)", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", values=POWERS)
            ),
            color=_color(present, columns=3),
            shape=alt.Shape("component:N", scale=alt.Scale(domain=NAMES, range=SHAPES), legend=None),
            tooltip=[
                alt.Tooltip("operation:N", title="Operation"),
                alt.Tooltip("layers:N", title="Layers"),
                alt.Tooltip("intensity:Q", title="FLOP per byte", format=",.2f"),
                alt.Tooltip("class:N", title="Class"),
                alt.Tooltip("text:N", title="Moved"),
            ],
        )
    )
    bounds = alt.Chart(_given([{"bound": 10, "name": "medium"}, {"bound": 100, "name": "high"}]))
    rules = bounds.mark_rule(strokeDash=[5, 4], color=QUIET).encode(x="bound:Q")
    names = bounds.mark_text(align="left", dx=4, baseline="top", color=QUIET, fontSize=11).encode(
        x="bound:Q", y=alt.value(2), text="name:N"
    )
    return _spec(alt.layer(rules, names, dots).properties(height=PANEL))


@lru_cache(maxsize=256)
def lines(x: str, unit: str, series: tuple[str, ...], *, log_y: bool = True, dashes: bool = False) -> Spec:
    """Lines of `value` over `x`, one per `series`, on a logarithmic x axis; `text` is the tooltip."""
    base = _rows().encode(
        x=_x(x),
        y=alt.Y(
            "value:Q",
            title=unit,
            scale=alt.Scale(type="log") if log_y else alt.Scale(zero=True),
            axis=alt.Axis(format="~s", **({"values": POWERS} if log_y else {"tickCount": 6})),
        ),
        color=_series(series),
        tooltip=[
            alt.Tooltip("series:N", title=" "),
            alt.Tooltip("x:Q", title=x, format=","),
            alt.Tooltip("text:N", title=unit),
        ],
    )
    marks = base.mark_line(strokeWidth=2.4)
    if dashes:
        marks = marks.encode(strokeDash=alt.StrokeDash("series:N", sort=list(series), legend=None))
    targets = base.mark_point(size=90, opacity=0)  # something to hover
    return _spec(alt.layer(marks, targets).properties(height=PANEL))


@lru_cache(maxsize=256)
def areas(x: str, unit: str, series: tuple[str, ...]) -> Spec:
    """Stacked areas of `value` over `x`, one per `series`; `rank` orders the stack."""
    marks = (
        _rows()
        .mark_area(opacity=1)
        .encode(
            x=_x(x),
            y=alt.Y("value:Q", title=unit, stack="zero", axis=alt.Axis(tickCount=6)),
            color=_series(series),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("series:N", title=" "),
                alt.Tooltip("x:Q", title=x, format=","),
                alt.Tooltip("text:N", title="Amount"),
            ],
        )
    )
    return _spec(marks.properties(height=PANEL))


@lru_cache(maxsize=256)
def grouped_bars(order: tuple[str, ...], unit: str, kinds: tuple[str, ...]) -> Spec:
    """Horizontal bars `label`, stacked by `series` (kinds of memory); lengths `value`."""
    bars = (
        _rows()
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=6)),
            y=alt.Y("label:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=260)),
            color=_series(kinds),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("label:N", title=" "),
                alt.Tooltip("series:N", title="Kind"),
                alt.Tooltip("text:N", title="Amount"),
            ],
        )
    )
    return _spec(bars.properties(height=BAR * 1.5 * len(order) + AXIS + LEGEND))


@lru_cache(maxsize=256)
def paired_bars(order: tuple[str, ...], unit: str, series: tuple[str, ...]) -> Spec:
    """For every `label` one bar a `series`, beneath each other; lengths `value`."""
    bars = (
        _rows()
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5)),
            y=alt.Y("label:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=200)),
            yOffset=alt.YOffset("series:N", sort=list(series)),
            color=_series(series),
            tooltip=[
                alt.Tooltip("label:N", title=" "),
                alt.Tooltip("series:N", title="Side"),
                alt.Tooltip("text:N", title="Amount"),
            ],
        )
    )
    return _spec(bars.properties(height=BAR * 1.8 * len(order) + AXIS + LEGEND))


@lru_cache(maxsize=256)
def plain_bars(order: tuple[str, ...], unit: str) -> Spec:
    """One bar per `label`, length `value`, with `text` at its end; the axis reaches `room`."""
    base = _rows().encode(
        x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5)),
        y=alt.Y("label:N", sort=list(order), title=None, axis=alt.Axis(labelLimit=200)),
        tooltip=[alt.Tooltip("label:N", title=" "), alt.Tooltip("text:N", title="Amount")],
    )
    labels = base.mark_text(align="left", dx=6, color=QUIET, fontSize=12).encode(text="text:N")
    room = base.mark_point(opacity=0).encode(x="room:Q")
    return _spec(alt.layer(base.mark_bar(color=PLAIN), labels, room).properties(height=BAR * 1.5 * len(order) + AXIS))


@lru_cache(maxsize=256)
def component_shares(x: str, present: tuple[str, ...]) -> Spec:
    """Stacked areas that fill the whole: `value` (0 to 1) over `x`, one per `component`; `rank` orders the stack."""
    marks = (
        _rows()
        .mark_area(opacity=1)
        .encode(
            x=_x(x),
            y=alt.Y("value:Q", title="Share of bytes moved", stack="normalize", axis=alt.Axis(format="%", tickCount=5)),
            color=_color(present, columns=3),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("component:N", title="Component"),
                alt.Tooltip("x:Q", title=x, format=","),
                alt.Tooltip("text:N", title="Share"),
            ],
        )
    )
    return _spec(marks.properties(height=PANEL))


@lru_cache(maxsize=256)
def load_bars() -> Spec:
    """Load over the mean (`value`) of every expert by rank (`x`), with the mean as a rule."""
    bars = (
        _rows()
        .mark_area(interpolate="step-after", color=PLAIN)
        .encode(
            x=alt.X(
                "x:Q", title="Expert, by load", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(nice=False)
            ),
            y=alt.Y("value:Q", title="Load over mean", axis=alt.Axis(tickCount=5)),
            tooltip=[alt.Tooltip("x:Q", title="Rank"), alt.Tooltip("value:Q", title="Load over mean", format=".2f")],
        )
    )
    mean = alt.Chart(_given([{"mean": 1}])).mark_rule(strokeDash=[5, 4], color=QUIET).encode(y="mean:Q")
    return _spec(alt.layer(bars, mean).properties(height=260))
