"""explore.html of one study: parallel coordinates and accuracy against cost, to point at and to draw boxes in."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.files import write_text
from espalier.results.format.notices import notices
from espalier.results.format.protocols import choosing
from espalier.results.format.templates import page
from espalier.results.page import browser, contents
from espalier.results.page.charts import lines
from espalier.results.page.charts.parallel import parallel
from espalier.results.page.charts.pareto_chart import pareto
from espalier.results.read import convergence
from espalier.results.read.planned_study import Study

if TYPE_CHECKING:
    import pandas as pd


NAME = contents.EXPLORE
"""The page beside index.html; the library of its charts is too large to stand in there as well."""


def write(
    path: Path, study: Study, frame: "pd.DataFrame", has_data: bool, downloads: Sequence[tuple[str, str]]
) -> list[str]:
    """Write the page, and return the titles of its charts: none where there is nothing to compare yet.

    Args:
        has_data: whether the other page tells of prepared data
        downloads: (name, link) of files that the contents offer
    """
    charts = _charts(study, frame)
    titles = [chart["title"] for chart in charts]
    text = page(
        "explore.html",
        study=study,
        charts=charts,
        library=browser.charts() if charts else "",
        notices=notices(study),
        choosing=choosing(study),
        converged=convergence.DEFINITION,
        contents=contents.of_explore(titles, has_data),
        downloads=downloads,
    )
    write_text(path, text)
    return titles


def _charts(study: Study, frame: "pd.DataFrame") -> list[dict[str, Any]]:
    grid, costs = lines.of_grid(frame, study), pareto(frame, study)
    found = [("grid", grid.title, parallel(grid), grid.stopped)] if grid else []
    found += [("pareto", "Accuracy against cost", costs, 0)] if costs else []
    found += [("widths", plot.title, parallel(plot), 0) for plot in lines.of_widths(frame, study)]
    return [dict(zip(("kind", "title", "spec", "stopped"), chart, strict=True)) for chart in found]
