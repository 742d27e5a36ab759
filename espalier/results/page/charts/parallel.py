"""Parallel coordinates in which a line can be pointed at and a box drawn over an axis."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any

from espalier.results.format import style
from espalier.results.page.charts import HEIGHT, either, haloed, specification
from espalier.results.page.charts.lines import Lines

if TYPE_CHECKING:
    import altair as alt

_STEP = (62, 210)
"""Pixels between two axes, at least and, where their ticks do not need more, at most;"""
_WIDTH = 980
"""a plot that needs less is this wide."""
_LETTER = 6.2
"""Pixels of a letter of a tick, about."""
_HEAD = 11
"""Letters of a line of a heading."""
_LINE = 13
_EDGE = 16
"""Pixels beside the first and last axis, in which a box can begin."""


def parallel(lines: Lines) -> dict[str, Any]:
    """The line under the pointer stands out; a box drawn over an axis keeps the lines that cross it there."""
    import altair as alt

    keys = [f"p{place}" for place in range(len(lines.axes))]
    tips = [alt.Tooltip("name:N", title="Setting")]
    tips += [alt.Tooltip(f"t{place}:N", title=axis.head) for place, axis in enumerate(lines.axes)]
    hover = alt.selection_point("hover", on="pointerover", clear="pointerout", fields=["line"], empty=False)
    brush = alt.selection_interval("brush", mark=alt.BrushConfig(fill="#808080", fillOpacity=0.15))
    xs = _positions(lines)
    over = "isDefined(brush.x) && inrange(datum.x, brush.x)"
    folded = (
        alt.Chart(alt.NamedData("rows"))
        .transform_fold(keys, as_=["key", "place"])
        .transform_calculate(x=f"{xs}[toNumber(slice(datum.key, 1))]", shade="dark ? datum.dark : datum.light")
        .transform_calculate(over=f"{over} ? 1 : 0", through=f"{over} && inrange(datum.place, brush.place) ? 1 : 0")
        .transform_joinaggregate(boxed="max(over)")
        .transform_joinaggregate(crosses="max(through)", groupby=["line"])
        .encode(_across(xs), _up(lines, "place"), alt.Detail("line:N"))
    )
    shown = alt.condition("datum.crosses >= datum.boxed", alt.value(0.85), alt.value(0.05))
    drawn = folded.mark_line(strokeWidth=1.4).encode(alt.Color("shade:N", scale=None), opacity=shown)
    marked = _hemmed(folded.transform_filter("datum.marked").encode(opacity=shown), [6, 3], alt.expr("ink"))
    over = _hemmed(folded.transform_filter(hover), [1, 0], either(style.COLOURS[1], style.COLOURS[4]))
    # A line reacts to the pointer at its corners only, and is thin: wide invisible segments show the tooltip.
    ends = [{"op": "lead", "field": name, "as": f"next_{name}"} for name in ("x", "place")]
    pieces = folded.transform_window(ends, groupby=["line"], sort=[alt.SortField("x")]).transform_filter(
        "isValid(datum.next_x)"
    )
    caught = pieces.mark_rule(strokeWidth=9, opacity=0).encode(alt.X2("next_x"), alt.Y2("next_place"), tooltip=tips)
    caught = caught.add_params(hover, brush)
    heads, ticks = _heads(lines, xs), _ticks(lines, xs)
    layers = (_uprights(heads, xs), drawn, marked, over, _ticked(lines, xs), caught)
    chart = alt.layer(*layers, width=xs[-1] + 2 * _EDGE, height=HEIGHT)
    return specification(chart, rows=_rows(lines, keys), heads=heads, ticks=ticks)


def _rows(lines: Lines, keys: list[str]) -> list[dict[str, Any]]:
    return [
        {"line": index, "name": name, "marked": bool(lines.marked[index])}
        | {"light": lines.light[index], "dark": lines.dark[index]}
        | {key: round(axis.places[index], 4) for key, axis in zip(keys, lines.axes, strict=True)}
        | {f"t{place}": axis.texts[index] for place, axis in enumerate(lines.axes)}
        for index, name in enumerate(lines.names)
    ]


def _positions(lines: Lines) -> list[int]:
    """Pixels from the first axis to each."""
    found = [0.0]
    for axis in lines.axes[1:]:
        last = axis is lines.axes[-1]
        longest = 0 if last else max(len(text) for _, text in axis.ticks)
        found.append(found[-1] + max(_STEP[0], 10 + _LETTER * longest))
    stretch = max(1.0, min(_WIDTH, _STEP[1] * (len(found) - 1)) / (found[-1] or 1.0))
    return [round(x * stretch) for x in found]


def _across(xs: list[int]) -> "alt.X":
    import altair as alt

    return alt.X("x:Q", scale=alt.Scale(domain=[-_EDGE, xs[-1] + _EDGE], nice=False), axis=None)


def _up(lines: Lines, field: str) -> "alt.Y":
    import altair as alt

    foot = min(0.0, *(place for axis in lines.axes for place in axis.places))
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[foot - 0.03, 1.03], nice=False), axis=None)


def _hemmed(chart: "alt.Chart", dash: list[int], colour: "alt.ExprRef") -> "alt.LayerChart":
    """A line in a hem of paper, which keeps it apart from those it crosses."""
    import altair as alt

    return chart.mark_line(strokeWidth=5, stroke=alt.expr("paper")) + chart.mark_line(
        strokeWidth=2.4, stroke=colour, strokeDash=dash
    )


def _heads(lines: Lines, xs: list[int]) -> list[dict[str, Any]]:
    heads = [wrap(axis.head, _HEAD, break_long_words=False) for axis in lines.axes]
    # The last lines of all headings stand side by side.
    highest = max(map(len, heads))
    return [{"x": x, "head": [""] * (highest - len(head)) + head} for x, head in zip(xs, heads, strict=True)]


def _uprights(heads: list[dict[str, Any]], xs: list[int]) -> "alt.LayerChart":
    """The axes with their headings."""
    import altair as alt

    highest = len(heads[0]["head"])
    base = alt.Chart(alt.NamedData("heads")).encode(_across(xs))
    words = base.mark_text(baseline="line-bottom", fontWeight=600, fontSize=11, lineHeight=_LINE)
    return base.mark_rule(color=alt.expr("quiet")) + words.encode(y=alt.value(-_LINE * highest), text="head:N")


def _ticks(lines: Lines, xs: list[int]) -> list[dict[str, Any]]:
    return [
        {"x": x, "at": round(place, 4), "text": text, "last": x == xs[-1]}
        for x, axis in zip(xs, lines.axes, strict=True)
        for place, text in axis.ticks
    ]


def _ticked(lines: Lines, xs: list[int]) -> "alt.LayerChart":
    import altair as alt

    base = alt.Chart(alt.NamedData("ticks")).encode(_across(xs), _up(lines, "at"), text="text:N")
    left, right = base.transform_filter("!datum.last"), base.transform_filter("datum.last")
    return haloed(left, align="right", dx=-5) + haloed(right, align="left", dx=5)
