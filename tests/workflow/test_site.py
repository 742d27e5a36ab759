"""The site of the documentation: every page is there, every link leads somewhere, nothing is asked of other servers."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

pytest.importorskip("material", reason="MkDocs is not installed: uv sync --group docs")

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """What a page names, what it leads to, and what it loads."""

    def __init__(self, path: Path):
        super().__init__()
        self.path, self.ids, self.leads, self.loads, self.items = path, set(), [], [], 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        self.items += tag == "li"
        if tag == "a" and found.get("href"):
            self.leads.append(found["href"])
        for key in ("src", "srcset", "data"):
            if found.get(key):
                self.loads.append(found[key])
        if tag == "link" and found.get("href"):
            self.loads.append(found["href"])


def built(folder, config="mkdocs.yml"):
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "-f", config, "-d", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Path of a page in the site → the page."""
    folder = tmp_path_factory.mktemp("site")
    done = built(folder)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return {path: Page(path) for path in folder.rglob("*.html") if path.name != "404.html"}


def test_every_page_of_the_repository_is_in_it(site):
    folder = min(site, key=lambda path: len(path.parts)).parent
    names = {path.relative_to(folder).as_posix() for path in site}
    asked = [*ROOT.glob("*.md"), ROOT / "config/README.md", *(ROOT / "docs").rglob("*.md")]
    for page in asked:
        name = page.relative_to(ROOT).as_posix().replace("README.md", "index.md").removesuffix(".md")
        assert f"{name}.html" in names


def test_every_link_leads_somewhere(site):
    broken = []
    for path, page in site.items():
        for link in page.leads:
            target, anchor = urldefrag(link)
            if urlsplit(target).scheme:
                continue
            there = (path.parent / unquote(target)).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            if not there.exists() or (anchor and there in site and unquote(anchor) not in site[there].ids):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site):
    for path, page in site.items():
        for link in page.loads:
            assert not urlsplit(link).netloc and (path.parent / unquote(urlsplit(link).path)).exists(), (
                f"{path}: {link}"
            )


def test_lists_are_lists_as_they_are_on_a_code_host(site):
    (page,) = [page for path, page in site.items() if path.parts[-2:] == ("config", "index.html")]
    lines = (ROOT / "config/README.md").read_text().splitlines()
    assert page.items >= sum(line.lstrip().startswith("- **") for line in lines)
    assert "- <strong>" not in page.path.read_text(), "an item was taken for text"


def test_a_link_to_nowhere_ends_the_build(tmp_path):
    """The control: strict means strict."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("[nowhere](missing.md)\n")
    text = (ROOT / "mkdocs.yml").read_text().replace("hooks: [docs/site_pages.py]\n", "")
    (tmp_path / "mkdocs.yml").write_text(text)
    done = built(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0 and "missing.md" in done.stderr
