"""The table of contents beside the two pages of a study, index.html and explore.html."""

from collections.abc import Iterable
from typing import NamedTuple

INDEX, EXPLORE = "index.html", "explore.html"


class Part(NamedTuple):
    """A heading, where it leads, and (title, link) of what stands below it."""

    title: str
    link: str
    below: list[tuple[str, str]]


def of_index(figures: Iterable[tuple[str, str]], tables: Iterable[tuple[str, str]], has_data: bool) -> list[Part]:
    """For index.html.

    Args:
        figures: (key, title) of each
        tables: likewise
        has_data: whether prepared data are told of
    """
    below = {
        "figures": [(title, f"#figure-{key}") for key, title in figures],
        "tables": [(title, f"#table-{key}") for key, title in tables],
    }
    parts = [Part(title, f"#{id_}", below.get(id_, [])) for title, id_ in _PARTS if has_data or id_ != "data"]
    parts.insert(2, Part("Explore", EXPLORE, []))
    return parts


def of_explore(charts: Iterable[str], has_data: bool) -> list[Part]:
    """For explore.html.

    Args:
        charts: titles
    """
    own = [(title, f"#chart-{number}") for number, title in enumerate(charts, 1)]
    parts = [Part(title, f"{INDEX}#{id_}", []) for title, id_ in _PARTS if has_data or id_ != "data"]
    parts.insert(2, Part("Explore", "#", own))
    return parts


_PARTS = (
    ("In short", "answers"),
    ("Leaderboard", "board"),
    ("Figures", "figures"),
    ("Tables", "tables"),
    ("What was asked", "asked"),
    ("Data", "data"),
    ("Commands", "commands"),
    ("Provenance", "provenance"),
)
