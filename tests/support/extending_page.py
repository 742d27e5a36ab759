"""The files of docs/extending.md, and a folder to which all of them are added."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/extending.md"
_PLACED = re.compile(
    r"(?:A new file,|(?P<end>At the end of))\s`(?P<path>[^`]+)`(?:(?!```).)*?^```\w+\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks() -> list[tuple[str, str, bool]]:
    """(path, text, whether it goes to the end of a file that is there) of every file of the page."""
    return [(found["path"], found["text"], bool(found["end"])) for found in _PLACED.finditer(PAGE.read_text())]


def add_all(folder: Path) -> None:
    """Do in a copy of the repository what the page says."""
    for name, text, appended in blocks():
        path = folder / name
        assert path.exists() == appended, name
        path.write_text(path.read_text() + "\n\n" + text if appended else text)
