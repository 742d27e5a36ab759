"""Names that a person can say, and runs found by them."""

import pytest
from typer.testing import CliRunner

from espalier.cli import app
from espalier.errors import Mistake
from espalier.runs.folders import find
from espalier.runs.spoken_name import ADJECTIVES, NOUNS, spoken_name


def test_a_name_is_that_of_its_id_on_every_machine():
    assert spoken_name("437599c568") == "bright-flower-563"
    assert len(set(ADJECTIVES)) == len(ADJECTIVES) == len(set(NOUNS)) == len(NOUNS) == 64


def test_few_of_a_thousand_runs_share_a_name():
    assert len({spoken_name(f"{number:010x}") for number in range(1000)}) >= 999


def test_a_run_is_found_by_its_spoken_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train/resnet-sgd-s0-437599c568", "train/resnet-sgd-s1-0123456789", "prune/mine"):
        (tmp_path / "results/runs" / name).mkdir(parents=True)
    assert find("bright-flower-563").name == "resnet-sgd-s0-437599c568"
    with pytest.raises(Mistake, match="no run of this id, name, spoken name or path"):
        find("bright-flower-564")


@pytest.mark.parametrize("command", [["show"], ["forget"], ["predict", "--output", "out.csv", "images"]])
def test_every_command_that_takes_a_run_takes_its_spoken_name(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    folder = tmp_path / "results/runs/train/net-437599c568"
    folder.mkdir(parents=True)
    name, *rest = command
    told = CliRunner().invoke(app, [name, "bright-flower-563", *rest]).output
    assert folder.name in told and "no run of this id" not in told
    assert "no run of this id" in CliRunner().invoke(app, [name, "bright-flower-564", *rest]).output
