"""Charts for a browser to point at and draw boxes in, as Vega-Lite specifications that load nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

HEIGHT = 340
"""Pixels of every plot."""


def specification(chart: "alt.LayerChart") -> dict[str, Any]:
    """The chart in the style of all pages: as the static figures, on white also where the page is dark."""
    return chart.configure(font="system-ui, sans-serif", background="white").configure_view(stroke=None).to_dict()
