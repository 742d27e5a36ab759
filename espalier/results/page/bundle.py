"""Adds the pages of studies, and every file they link to, to the archive of Snakemake's report."""

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from espalier.results.format.templates import page

_FOLDER = "report"
"""The folder of Snakemake's report in its archive."""


def add(archive: Path, pages: Sequence[Path]) -> None:
    """Add pages of studies to the archive of Snakemake's report, with every file that they link to, and index.html.

    Args:
        archive: a ZIP file that `snakemake --report` has written
        pages: index.html of each study, below the working directory
    """
    links = [(one.parent.name, os.path.relpath(one)) for one in pages]
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        for name in _with_linked(pages):
            file.write(name, f"{_FOLDER}/{name}")
        file.writestr(f"{_FOLDER}/index.html", page("bundle.html", studies=links))


def _with_linked(pages: Iterable[Path]) -> dict[str, None]:
    """Paths of the pages and of the files they lead to, each once, relative to the working directory."""
    found: dict[str, None] = {}
    left = [os.path.relpath(one) for one in pages]
    while left:
        name = left.pop(0)
        inside = not name.startswith("..")
        if inside and name not in found and Path(name).is_file():
            found[name] = None
            if name.endswith(".html"):
                left += _linked(Path(name))
    return found


def _linked(path: Path) -> Iterator[str]:
    """Local files that a page names in `href` or `src`."""
    reader = _Links()
    reader.feed(path.read_text(encoding="utf-8"))
    for link in reader.links:
        target = unquote(link.partition("#")[0])
        if target and ":" not in target:
            yield os.path.relpath(path.parent / target)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
