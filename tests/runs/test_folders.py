from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.runs.folders import find, folders, path_or_run
from espalier.runs.spoken_name import spoken_name

ONE, TWO = Path("results/runs/train/mlp-s0-0123456789"), Path("results/runs/prune/mlp-s0-abcdef0123")


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (ONE, TWO):
        folder.mkdir(parents=True)
    (ONE.parent / "notes.txt").touch()
    (ONE.parent / ".made").mkdir()


def test_runs_are_folders_that_are_not_hidden():
    assert folders() == [TWO, ONE]


@pytest.mark.parametrize("name", [ONE, ONE.name, "0123456789", spoken_name("0123456789")], ids=str)
def test_a_run_is_found_by_each_of_its_names(name):
    assert find(str(name)) == path_or_run(str(name)) == ONE
    assert find(str(ONE.resolve())) == ONE


def test_what_is_there_is_taken_by_its_path(tmp_path):
    (tmp_path / "weights").touch()
    assert path_or_run("weights") == Path("weights")


def test_a_name_of_no_run_and_one_of_two_are_told():
    with pytest.raises(Mistake, match=r"^none: no run of this id, name, spoken name or path lies in results/runs; "):
        find("none")
    other = TWO.parent / "cnn-0123456789"
    other.mkdir()
    with pytest.raises(Mistake) as error:
        find("0123456789")
    both = f"{other}, {ONE}"
    assert str(error.value) == f"0123456789: several runs have this name ({both}); name one by its path"
