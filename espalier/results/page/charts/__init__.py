"""Charts for a browser to point at and draw boxes in, as Vega-Lite specifications that load nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

HEIGHT = 340
"""Pixels of every plot."""
THEME = {"dark": False, "ink": "#1c2126", "quiet": "#5b6570", "line": "#dfe3e6", "paper": "#fdfdfc"}
"""Signals of every chart, as a light page has them; the page sets those of its own style, and whether it is dark."""


def specification(chart: "alt.LayerChart", **rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The chart in the colours of the page that it stands on, light or dark.

    Args:
        rows: data that the chart names; inside it altair would copy and check them at each step
    """
    import altair as alt

    ink, quiet, line = (alt.expr(name) for name in ("ink", "quiet", "line"))
    axis = alt.AxisConfig(labelColor=ink, titleColor=ink, domainColor=quiet, tickColor=quiet, gridColor=line)
    look = {"view": alt.ViewConfig(stroke=None), "text": alt.MarkConfig(color=ink), "axis": axis}
    # Each of altair's own methods copies all layers.
    chart.config = alt.Config(font="system-ui, sans-serif", background="transparent", **look)
    found = chart.to_dict()
    signals = [{"name": name, "value": value} for name, value in THEME.items()]
    return found | {"params": [*found.get("params", []), *signals], "datasets": rows}


def either(light: str, dark: str) -> "alt.ExprRef":
    """One colour on a light page, another on a dark one."""
    import altair as alt

    return alt.expr(f"dark ? '{dark}' : '{light}'")


def haloed(chart: "alt.Chart", **look: Any) -> "alt.LayerChart":
    """Text that can be read on lines."""
    import altair as alt

    look |= {"fontSize": 10.5, "limit": 160}
    return chart.mark_text(stroke=alt.expr("paper"), strokeWidth=3, **look) + chart.mark_text(**look)
