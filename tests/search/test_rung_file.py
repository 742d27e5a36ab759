"""The file of a rung: read as it was written, or refused; and what clears it up."""

from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.results.read import run_folders
from espalier.runs import seal
from espalier.search import rung_file
from espalier.search.rung_file import Rung

RUNG = Rung("00000000a1", 3, "paused", "", "top1", {"epoch": 2, "validation_top1": 81.5}, "0f1e", 12.5)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_rung_is_read_as_it_was_written(here):
    file = rung_file.path("mlp-00000000a1", 3)
    assert file == Path("results/rungs/mlp-00000000a1/3.json")
    file.parent.mkdir(parents=True)
    left = file.parent / ".3.json.abcd0123.json"
    left.touch()
    rung_file.write(file, RUNG)
    assert rung_file.read(file) == RUNG
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:40], "cannot be read"),
        (lambda text: text.replace("81.5", "91.5"), "it is damaged"),
        (lambda text: seal.sealed({"rung": 0}), "no rung of version 1"),
        (lambda text: "[]", "it is damaged"),
    ],
)
def test_a_damaged_rung_is_refused_with_what_mends_it(change, message, tmp_path):
    file = tmp_path / "3.json"
    rung_file.write(file, RUNG)
    file.write_text(change(file.read_text()))
    with pytest.raises(Mistake, match=rf"3\.json: .*{message}.*Remove it and call snakemake again"):
        rung_file.read(file)


def test_a_rung_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Mistake, match=r"3\.json: there is no such file"):
        rung_file.read(tmp_path / "3.json")


def test_rungs_go_with_their_run_and_are_orphans_with_it(here):
    asked, other = Path("results/runs/train/mlp-00000000a1"), Path("results/runs/train/mlp-00000000a2")
    for folder in (asked, other):
        folder.mkdir(parents=True)
        rung_file.write(rung_file.path(folder.name, 3), RUNG)
    gone = rung_file.path("mlp-00000000a3", 3)
    rung_file.write(gone, RUNG)
    found = run_folders.orphans([str(asked)])
    assert found == [other, rung_file.path(other.name, 3).parent, gone.parent]
    for path in found:
        run_folders.remove(path)
    assert run_folders.orphans([str(asked)]) == []
    run_folders.forget([asked])
    assert [*Path("results/rungs").iterdir()] == []
