"""Charts for a browser to point at and draw boxes in, as Vega-Lite specifications that load nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

HEIGHT = 340
"""Pixels of every plot."""


def specification(chart: "alt.LayerChart", **rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The chart in the style of all pages: as the static figures, on white also where the page is dark.

    Args:
        rows: data that the chart names; inside it altair would copy and check them at each step
    """
    styled = chart.configure(font="system-ui, sans-serif", background="white").configure_view(stroke=None)
    return styled.to_dict() | {"datasets": rows}
