"""Epochs to convergence: counted from histories, shown where a study names them, and defined wherever they stand."""

from math import isnan

import pandas as pd
import pytest

from espalier.results.page.leaderboard import leaderboard
from espalier.results.read import tidy
from espalier.results.read.convergence import COLUMN, DEFINITION, HEADING, SECONDS, courses
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk


@pytest.mark.parametrize(
    ("top1", "epoch"),
    [
        pytest.param([10, 60, 79.5, 79.6, 80, 79], 3, id="half a point below the best"),
        pytest.param([10, 79.4, 80], 3, id="more than half a point below"),
        pytest.param([80, 20, 30], 1, id="the first is the best"),
        pytest.param([80, 81, 80], 2, id="what comes after the best counts for nothing"),
        pytest.param([], float("nan"), id="no epoch"),
    ],
)
def test_it_is_the_first_epoch_nearly_as_good_as_the_best(top1, epoch):
    history = pd.DataFrame({"run": "a", "validation_top1": top1, SECONDS: 2.0})
    (found,) = courses(history, pd.DataFrame({"run.train": ["a"]}))[COLUMN]
    assert found == epoch or (isnan(found) and isnan(epoch))


def test_the_epochs_of_an_extension_are_counted_on():
    seconds = {SECONDS: [1.0, 2.0, 3.0, 6.0]}
    history = pd.DataFrame({"run": ["a", "a", "b", "b"], "validation_top1": [50, 60, 70, 80]} | seconds)
    found = courses(history, pd.DataFrame({"run.train": ["a", "a"], "run.extend": [None, "b"]}))
    assert found[COLUMN].tolist() == [2, 4] and found[SECONDS].tolist() == [1.5, 3.0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root, study = tmp_path_factory.mktemp("converged"), disk.plan()
    disk.finish(root, study)
    return study, tidy.runs(study, root)


def test_runs_that_were_made_before_have_it_and_others_have_none(finished, tmp_path):
    study, frame = finished
    assert frame[COLUMN].between(1, disk.EPOCHS).all()
    assert tidy.runs(study, tmp_path)[COLUMN].isna().all()


@pytest.mark.parametrize("name", ["summary", "best", "by_axis"])
def test_a_table_has_it_where_a_study_names_it_and_says_what_it_is(name, finished):
    study, frame = finished
    settings = {"axis": "augment"} if name == "by_axis" else {}
    plain = StudyOutput("table", name, name, settings).make(frame, study)
    asked = StudyOutput("table", name, name, settings, ("test top-1", "epochs to convergence")).make(frame, study)
    assert HEADING not in plain.printed and DEFINITION not in plain.caption.notes
    assert list(asked.printed)[-1] == HEADING and DEFINITION in asked.caption.notes
    first = asked.data[f"{COLUMN}_mean"].iloc[0]
    assert asked.printed[HEADING].iloc[0].startswith(f"{first:.1f} ± ")


def test_a_table_has_what_a_report_prints_of_one_run(finished):
    """Training and validation accuracy and loss, epochs, and seconds an epoch."""
    study, frame = finished
    columns = ("training top-1", "training loss", "validation top-1", "validation loss", "epochs", "epoch time")
    table = StudyOutput("table", "best", "best", {"count": 1}, columns).make(frame, study)
    heads = [*table.printed][table.words :]
    assert heads[0] == "Training top-1 (%)" and heads[-1] == "Epoch time (s)" and len(heads) == 6
    first = frame[frame["validation_loss"].notna()].groupby("configuration").mean(numeric_only=True)
    best = first.loc[first["validation_top1"].idxmax()]
    assert table.printed["Training loss"].iloc[0].startswith(f"{best['train_loss']:.4f} ± ")
    assert table.printed["Epochs"].iloc[0] == f"{disk.EPOCHS}.0 ± 0.0"
    assert table.printed["Epoch time (s)"].iloc[0] == "0.70 ± 0.00"
    assert table.caption.notes.count("Training loss and top-1: of the augmented images") == 1


def test_columns_that_are_asked_for_are_left_out_under_the_mark_of_optimistic_accuracies_too(finished):
    study, frame = finished
    runs = {
        id_: {**run, "settings": {**run["settings"], "protocol": "published"}} for id_, run in study["runs"].items()
    }
    plain = StudyOutput("table", "best", "best", {}).make(frame, {**study, "runs": runs})
    assert not [head for head in plain.printed if head.startswith(("Training top-1", "Epochs"))]


def test_a_tradeoff_and_the_leaderboard_have_it(finished):
    study, frame = finished
    figure = StudyOutput("figure", "tradeoff", "tradeoff", {"x": COLUMN})
    assert figure.make(frame, None, study).axes[0].get_xlabel() == HEADING
    assert DEFINITION in figure.caption(study).notes
    (column,) = [column for column in leaderboard(frame, study).columns if column.head == HEADING]
    assert not column.shown
