"""Every benchmark can be asked what it does."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "ArgumentParser(" in path.read_text())


@pytest.fixture
def asked(monkeypatch):
    """Runs a program with words in this process, and forgets what it imported from its folder."""
    before = set(sys.modules)

    def ask(path, *words):
        monkeypatch.syspath_prepend(str(path.parent))
        monkeypatch.setattr(sys, "argv", [str(path), *words])
        runpy.run_path(str(path), run_name="__main__")

    yield ask
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_does(path, asked, capsys):
    with pytest.raises(SystemExit) as end:
        asked(path, "--help")
    assert not end.value.code
    assert f"benchmarks/{path.name}" in capsys.readouterr().out
