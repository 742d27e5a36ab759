"""Hook of MkDocs: the site is the repository's own pages under their own paths, so that one link suits both.

README.md, docs/ and every file of the repository that a page links to. The order is that of docs/README.md.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
INDEX = "docs/README.md"
STYLE = "docs/site.css"

_LINK = re.compile(r"\]\(([^)\s#]+)")
_CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"( *)```")
_ITEM = re.compile(r" *([-*]|\d+\.) ")


def linked(path: Path) -> list[Path]:
    """Files of the repository that a page links to, in its order."""
    found = [
        (path.parent / target).resolve() for target in _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8")))
    ]
    return [file for file in dict.fromkeys(found) if file.is_file() and file.is_relative_to(ROOT)]


def collected() -> list[Path]:
    """Every file of the site: pages first to last as they are linked from the start, then pages that none links to."""
    found = dict.fromkeys([ROOT / "README.md", ROOT / "config/README.md", ROOT / INDEX])
    waiting = [ROOT / INDEX, *found, *sorted((ROOT / "docs").rglob("*.md"))]
    while waiting:
        path = waiting.pop(0)
        found.setdefault(path)
        if path.suffix == ".md":
            fresh = [file for file in linked(path) if file not in found]
            found |= dict.fromkeys(fresh)
            waiting += fresh
    return list(found)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages from where they stand in the repository."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    paths = {path.relative_to(ROOT).as_posix(): path for path in collected()}
    for name, path in [*paths.items(), (STYLE, ROOT / STYLE)]:
        files.append(File.generated(config, name, abs_src_path=str(path)))
    config.nav = _navigation([name for name in paths if name.endswith(".md")])
    return files


def _navigation(pages: list[str]) -> list[dict[str, object]]:
    keys = ["config/README.md", *(page for page in pages if page.startswith("docs/keys/"))]
    first = [{"Espalier": "README.md"}, {"All pages": INDEX}, {"Keys of a study": keys}]
    rest = [page for page in pages if page not in ("README.md", INDEX, *keys)]
    reports = [page for page in rest if page.startswith("docs/report-")]
    parts = [page for page in rest if page.startswith("docs/") and page not in reports]
    project = [page for page in rest if "/" not in page]
    others = [page for page in rest if page not in (*parts, *reports, *project)]
    sections = {"Parts": parts, "Published reports": sorted(reports), "Project": project, "Measured": others}
    return [*first, *({title: some} for title, some in sections.items() if some)]


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lists as Python-Markdown wants them: what stands inside an item four spaces deep where the pages have two, and
    a blank line before a list that follows a paragraph."""
    lines, fence, opening = [], None, ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if fence is None:
            opening = (opening or line) if line.strip() else ""
            if _ITEM.match(line) and not _ITEM.match(opening):
                lines.append("")
                opening = line
            depth = len(line) - len(line.lstrip(" "))
            lines.append(" " * depth + line)
            fence = len(mark[1]) if mark else None
        else:
            lines.append(" " * fence + line if line else line)
            if mark and len(mark[1]) == fence:
                fence, opening = None, ""
    return "\n".join(lines) + "\n"
