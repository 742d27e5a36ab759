"""What a page answers first: chosen on validation images, scored on test images, with the way to each network."""

from pathlib import Path

import pytest

from espalier.results.page import answers
from espalier.results.page.leaderboard import configuration_table, leaderboard
from espalier.results.read import tidy
from espalier.results.read.planned_study import short_names
from support import compressed_on_disk as compressed
from support import study_on_disk as disk


@pytest.fixture
def coded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated", "plain"))
    compressed.finish(tmp_path, study)
    return study


def test_the_best_smallest_and_fastest_are_chosen_by_validation(coded):
    frame = tidy.runs(coded)
    best, smallest, fastest = answers.answers(frame, coded)
    data, named = configuration_table(frame, coded), short_names(coded)
    top = data["validation_top1_mean"]
    assert named[top.idxmax()] == best.name and best.asked == "Best by validation top-1"
    near = data[top >= top.max() - answers.WITHIN]
    assert smallest.name == named[near["file_bytes"].idxmin()]
    for answer in (best, smallest, fastest):
        assert Path(answer.folder).is_dir() and answer.facts
    own = data.loc[top.idxmax()]
    assert best.facts[0].startswith(f"Validation top-1 by which it was chosen: {own['validation_top1_mean']:.2f} %")
    assert best.facts[1].startswith(f"Test top-1: {own['test_top1_mean']:.2f} %")


def test_the_weights_are_those_of_the_repeat_that_validates_best(coded):
    frame = tidy.runs(coded)
    best = answers.answers(frame, coded)[0]
    number = {name: number for number, name in short_names(coded).items()}[best.name]
    own = frame[frame["configuration"] == number].set_index("repeat")
    repeat = own["validation_top1"].idxmax()
    last = [
        stage for stage in ("train", "prune", "quantize", "encode") if isinstance(own.at[repeat, f"run.{stage}"], str)
    ][-1]
    assert best.folder == coded["runs"][own.at[repeat, f"run.{last}"]]["path"]


def test_a_test_accuracy_chooses_nothing(coded):
    frame = tidy.runs(coded)
    turned = frame.assign(test_top1=100 - frame["test_top1"])
    names = [[answer.name for answer in answers.answers(one, coded)] for one in (frame, turned)]
    assert names[0] == names[1]


def test_findings_name_what_is_better_worse_and_open(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.plan(repeats=5)
    disk.finish(tmp_path, study)
    found = dict(answers.findings(tidy.runs(study), study))
    assert "ResNet 16-32-64 (+" in found["Better than the baseline"]
    assert "LeNet (−" in found["Worse than the baseline"]
    verdicts = answers.compared(tidy.runs(study), study)["verdict"].str.partition(":")[0].value_counts()
    assert found["Not resolved"].startswith(f"{verdicts['not resolved']} of 6 configurations; the clearest")


def test_without_a_result_or_a_baseline_nothing_is_claimed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.plan()
    assert answers.answers(tidy.runs(study), study) == []
    assert answers.findings(tidy.runs(study), study | {"baseline": None}) == []


def test_rows_of_the_leaderboard_name_the_configuration_whole(coded):
    board = leaderboard(tidy.runs(coded), coded)
    by_name = {row.name: row for row in board.rows}
    wholes = {row.name: row.whole for row in board.rows}
    assert wholes["plain"] == "dense · plain" and wholes["pruned, plain"] == "", "the name says it all"
    hidden = [column.head for column in board.columns if not column.shown]
    assert {"Prune", "Quantize", "n"} <= set(hidden), "labels and what all rows share are there for who asks"
    assert all(len(row.cells) == len(board.columns) for row in by_name.values())


def test_labels_that_stand_on_two_axes_bear_their_axis():
    labels = [
        {"model": "small", "train.teacher": "alone"},
        {"model": "small", "train.teacher": "ResNet-20"},
        {"model": "ResNet-20", "train.teacher": "alone"},
    ]
    study = {
        "study": "s",
        "axes": ["model", "train.teacher"],
        "baseline": labels[0],
        "points": [{"labels": one, "runs": {}, "repeat": 0} for one in labels],
    }
    assert [*short_names(study).values()] == ["baseline", "teacher ResNet-20", "model ResNet-20"]
