"""A copy of the repository to run Snakemake in, and the one study that is really run for the workflow's tests."""

import gc
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from espalier.plan import model_counts
from espalier.results.format import style
from support.scripts_as_run import run
from support.snakemake_as_run import snakemake

# Before torch starts: workers that have all cores each would wait for one another.
os.environ["OMP_NUM_THREADS"] = "1"
# As a user's processes do, those that tests start keep the byte-code of what they import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parents[1]
PARTS = ("config", "workflow", "profiles", "envs", "espalier", "snakemake_logger_plugin_espalier")


class Repository:
    """A folder that holds the workflow; snakemake runs in it as a user would run it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        done = snakemake(self.folder, *words)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def jobs(self, *words: str) -> dict[str, int]:
        """Rule → number of jobs that a dry run lists; empty when nothing is to be done."""
        done = self.snakemake("-n", *words)
        return self.listed(done.stdout + done.stderr)

    @staticmethod
    def listed(text: str) -> dict[str, int]:
        """The same, from what a dry run has printed."""
        table = re.search(r"^job +count\n[- ]+\n(.*?)\n\n", text, re.DOTALL | re.MULTILINE)
        if table is None:
            assert "Nothing to be done" in text, text
            return {}
        rows = (line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}

    def copy(self, folder: Path) -> "Repository":
        shutil.copytree(self.folder, folder, symlinks=True)
        return Repository(folder)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands in a file of the repository."""
        file = self.folder / path
        assert old in file.read_text(), f"{old!r} is not in {path}"
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture(autouse=True)
def _networks_counted_here(request, monkeypatch):
    """Networks are counted in this process, and not in one that imports torch for it."""
    if "counted_elsewhere" not in request.fixturenames:
        monkeypatch.setattr(model_counts, "_counted", _count)


@pytest.fixture
def counted_elsewhere():
    """Networks are counted in a process of their own, as they are for a user."""


def _count(asked: list[list]) -> list[dict]:
    from espalier.networks.count_networks import count_all

    return count_all(asked)


def pytest_collection_finish():
    """Look for garbage less often: most of what a test makes is kept until its end."""
    gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def fresh() -> Callable[[Path], Repository]:
    """Makes a fresh copy without results in a folder that is not there yet."""
    return _fresh


@pytest.fixture
def repository(tmp_path) -> Repository:
    """A fresh copy without results."""
    return _fresh(tmp_path / "repository")


def _fresh(folder: Path) -> Repository:
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for part in PARTS:
        # With its byte-code, which is that of the copy too: the files have the same times.
        shutil.copytree(ROOT / part, folder / part)
    shutil.copytree(ROOT / "tests/studies", folder / "config/studies", dirs_exist_ok=True)
    return Repository(folder)


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """The embedded digits at 8×8 as a prepared file, made by the script."""
    path = tmp_path_factory.mktemp("data") / "digits-00000000aa.safetensors"
    done = run("prepare", path, "dataset.name=digits", "dataset.image_size=8")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def styled() -> Iterator[None]:
    """Figures in the project's style."""
    with style.applied():
        yield


@pytest.fixture(scope="session")
def planned(tmp_path_factory) -> Repository:
    """A repository whose networks are counted, as the first dry run does it. Change nothing in it."""
    return _once(tmp_path_factory, "planned", "-n")


@pytest.fixture(scope="session")
def listing(planned) -> str:
    """What the first dry run of a fresh repository printed."""
    return planned.folder.with_suffix(".txt").read_text()


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Repository:
    """A repository in which the study `tiny` has been run to its end. Copy it before changing anything."""
    return _once(tmp_path_factory, "finished", "-c2", "--config", "studies=tiny")


def _once(tmp_path_factory, name: str, *words: str) -> Repository:
    """A fresh repository in which snakemake was called, by one of all workers."""
    # The folder above a worker's own is common to all workers of a parallel test run.
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    repository = Repository(shared / name)
    printed = repository.folder.with_suffix(".txt")
    with FileLock(shared / f"{name}.lock"):
        if not printed.exists():
            done = _fresh(repository.folder).snakemake(*words)
            printed.write_text(done.stderr + done.stdout)
    return repository
