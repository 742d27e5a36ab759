"""One small study on disk, its pages opened in a real Chromium."""

import os
import shutil
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

import pytest

from espalier.results.page import study_page
from espalier.results.read import tidy
from espalier.results.study_outputs import draw, outputs_of
from support import compressed_on_disk as compressed
from support import study_on_disk as disk

FIGURES = (
    {"key": "curves", "name": "curves", "axis": None},
    {"key": "tradeoff-params", "name": "tradeoff", "x": "params"},
)


HOSTILE = "a & b <img src=x onerror=document.title='ran'>"
"""A label that would run, were it taken for HTML."""


def _chromium() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = _chromium()
    if path is None:
        pytest.skip("no Chromium: set CHROMIUM to its path")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> SimpleNamespace:
    """A study of pruned, quantized and coded networks; of the last configuration one run failed, and others wait."""
    root = tmp_path_factory.mktemp("study")
    study = compressed.plan(ways=("calibrated", "plain"))
    for point in study["points"]:
        point["labels"]["prune"] = point["labels"]["prune"].replace("pruned", HOSTILE)
    study |= {"tables": [{"key": "summary", "name": "summary"}], "figures": list(FIGURES)}
    compressed.finish(root, study)
    broken = study["points"][-1]["runs"]["quantize"]
    for point in study["points"][-2:]:
        for id_ in (point["runs"][stage] for stage in ("quantize", "encode", "evaluate")):
            disk.undo(root, study["runs"][id_], "failed" if id_ == broken else "waiting")
    plan = disk.write_plan(root, study).relative_to(root)
    with chdir(root):
        states = tidy.states(study)
        frame = tidy.runs(study, known=states)
        draw(outputs_of(study, "figure"), plan.parent / "figures", frame, tidy.history(study), study)
        study_page.write(plan.parent / "index.html", plan, study, frame, states)
    return SimpleNamespace(folder=Path(root, plan.parent), study=study, broken=broken)


@pytest.fixture
def opened(browser, built):
    """Opens one of the study's pages; at the end nothing may have gone wrong in it, nor been asked of a network."""
    contexts, wrong = [], []

    def open_(name: str, width: int = 1600):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        context.set_default_timeout(120_000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
        tab.on("request", lambda request: None if _local(request.url) else wrong.append(request.url))
        tab.route(lambda url: not _local(url), lambda route: route.abort())
        tab.goto((built.folder / name).as_uri())
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


def _local(url: str) -> bool:
    return url.startswith(("file:", "blob:", "data:"))
