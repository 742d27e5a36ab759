"""A study with rungs, from one call to the page: what goes on, what is stopped, and that nothing is made twice."""

import json

import pytest

STUDY = """title: rungs
dataset: digits
model: {name: mlp, hidden: [8]}
train: {epochs: 2, optimizer: {name: sgd, lr: 0.1}, scheduler: constant}
grid: {product: {train.optimizer.lr: [0.0001, 0.2, 0.1, 0.001]}}
"""
RUNGS = ("--config", "studies=rungs")
WHOLE = ("--config", "studies=whole")


@pytest.fixture
def copy(finished, tmp_path):
    found = finished.copy(tmp_path / "copy")
    halving = "halving: {epochs: [1, 2], keep: 1/2}\ntables: [halving]\n"
    (found.folder / "config/studies/rungs.yaml").write_text(STUDY + halving)
    (found.folder / "config/studies/whole.yaml").write_text(STUDY)
    return found


def test_the_better_half_is_trained_to_its_end_and_nothing_twice(copy):
    assert copy.jobs(*RUNGS)["rung"] == 4
    said = copy.snakemake("-c2", *RUNGS).stderr
    assert "5 of 9 runs are done, 4 stopped" in said.splitlines()[-1] and "to 1  rung" in said
    runs = [json.loads(path.read_text()) for path in (copy.folder / "results/runs/train").glob("mlp*/run.json")]
    rates = {run["spec"]["train"].get("optimizer", {}).get("lr", 0.1) for run in runs}
    assert rates == {0.1, 0.2}
    (answer,) = (copy.folder / "results/studies/rungs/answers").glob("*.json")
    assert [each["kept"] for each in json.loads(answer.read_text())["candidates"]] == [False, True, True, False]
    assert copy.jobs(*RUNGS) == {}
    # A full grid goes on from where the others were stopped, and has the rest.
    assert copy.jobs(*WHOLE)["train"] == 2
    told = copy.snakemake("-c2", *WHOLE).stderr
    assert told.count("  train ") == 2 and "9 of 9 runs are done" in told.splitlines()[-1]
    logs = [path.read_text() for path in (copy.folder / "results/runs/train").glob("mlp*/run.log")]
    assert sum("resumed at epoch 2" in text for text in logs) == 4
    # Its page tells of the others as they are now.
    assert set(copy.jobs(*RUNGS)) == {"outdated", "page"}
