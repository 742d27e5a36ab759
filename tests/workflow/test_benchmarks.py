"""Every benchmark can be asked what it does."""

import os
import runpy
import subprocess
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


@pytest.mark.slow
def test_all_that_is_measured_on_a_gpu_can_be_measured_in_small(tmp_path):
    # ESPALIER_GPU_PYTHON: the Python of an environment that is like that of a machine with a GPU.
    python = os.environ.get("ESPALIER_GPU_PYTHON", sys.executable)
    program = [python, ROOT / "benchmarks/gpu.py", tmp_path, "--reduced", "--share", "6"]
    told = subprocess.run(program, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    parts = [line.partition(":")[0] for line in told.stdout.splitlines()]
    assert parts == ["ceilings", "networks", "epochs", "efficiency", "packing", "target", "rungs"]
    assert "deadline" not in told.stdout
    for part in parts:
        lines = (tmp_path / f"{part}.md").read_text().splitlines()
        assert sum(line.startswith("|") for line in lines) > 2 and "**" not in "".join(lines), part
