"""Every run's own curve: which runs are drawn, in which colours, and what is said of those left out."""

import numpy as np
import pytest

from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk

pytestmark = pytest.mark.usefixtures("styled")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    study = disk.plan()
    disk.finish(root, study)
    return root, study


def drawn(root, study, **settings):
    frame, history = tidy.runs(study, root), tidy.history(study, root)
    asked = StudyOutput("figure", "all_curves", "all_curves", {"axis": None, "best": None} | settings)
    return asked.make(frame, history, study), frame, history, asked


def curves(figure, place=1):
    return [line for line in figure.axes[place].lines if line.get_gid() == "run"]


def named(figure):
    """Words of the legend and at the ends of lines."""
    words = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    return words | {text.get_text() for panel in figure.axes for text in panel.texts}


def test_a_line_is_a_run(finished):
    figure, frame, history, _ = drawn(*finished)
    assert len(curves(figure)) == frame["run.train"].nunique() == len(finished[1]["points"])
    for place, column in enumerate(("validation_loss", "validation_top1")):
        found = sorted(tuple(line.get_ydata()) for line in curves(figure, place))
        expected = sorted(tuple(values) for _, values in history.groupby("run")[column])
        np.testing.assert_allclose(found, expected)
    assert not figure.legends and figure.get_supxlabel() == ""


def test_an_axis_gives_colours(finished):
    figure, frame, *_ = drawn(*finished, axis="model")
    names = list(disk.AXES["model"])
    assert named(figure) == set(names)
    colours = [line.get_color() for line in curves(figure)]
    for index, name in enumerate(names):
        runs = frame.loc[frame["label.model"] == name, "run.train"].nunique()
        assert colours.count(style.COLOURS[index]) == runs


def test_the_best_are_those_of_validation(finished):
    figure, frame, history, asked = drawn(*finished, best=2)
    means = frame.groupby("configuration")["validation_top1"].mean()
    runs = frame.loc[frame["configuration"].isin(means.nlargest(2).index), "run.train"]
    found = sorted(tuple(line.get_ydata()) for line in curves(figure))
    kept = history[history["run"].isin(runs)].groupby("run")["validation_top1"]
    np.testing.assert_allclose(found, sorted(tuple(values) for _, values in kept))
    assert len(named(figure)) == 2
    assert "the 2 configurations" in asked.caption(finished[1]).whole()


def test_a_run_that_explodes_is_marked_and_told_and_sets_no_scale(finished):
    root, study = finished
    frame, history = tidy.runs(study, root), tidy.history(study, root)
    calm = history["validation_loss"].max()
    loud = frame["run.train"].iloc[-1]
    history.loc[(history["run"] == loud) & (history["epoch"] > 2), "validation_loss"] = 12_345.0
    asked = StudyOutput("figure", "all_curves", "all_curves", {"axis": "model"})
    figure = asked.make(frame, history, study)
    assert calm < figure.axes[0].get_ylim()[1] < 10 * calm
    (mark,) = [line for line in figure.axes[0].lines if line.get_gid() == "beyond"]
    assert mark.get_xdata()[0] == 3
    model = frame.loc[frame["run.train"] == loud, "label.model"].iloc[0]
    runs = frame.loc[frame["label.model"] == model, "run.train"].nunique()
    assert figure.get_supxlabel() == f"▲ Losses beyond the plot: 1 of {runs} runs of {model} (to 12,345)."


def test_runs_of_one_epoch_are_seen(finished):
    root, study = finished
    history = tidy.history(study, root)
    figure = StudyOutput("figure", "all_curves", "all_curves", {}).make(
        tidy.runs(study, root), history[history["epoch"] == 1], study
    )
    assert all(line.get_marker() not in ("", "None") for line in curves(figure))
    assert figure.axes[0].get_xlim() == (0.5, 1.5)


def test_runs_without_a_history_are_told(tmp_path):
    study = disk.plan()
    figure, *_ = drawn(tmp_path, study)
    assert "planned" in figure.axes[0].texts[0].get_text()
    disk.finish(tmp_path, study)
    for point in study["points"][1:]:
        disk.undo(tmp_path, study["runs"][point["runs"]["train"]], "waiting")
    for settings in ({}, {"best": 3}, {"axis": "model"}):
        figure, *_ = drawn(tmp_path, study, **settings)
        assert len(curves(figure)) == 1
        assert figure.get_supxlabel() == f"Incomplete: 1 of {len(study['points'])} runs have a history."


def test_more_values_than_colours_are_cut_and_it_is_said(tmp_path):
    study = disk.plan([dict(disk.BASELINE) | {"model": f"net {index}"} for index in range(30)], repeats=1)
    disk.finish(tmp_path, study)
    figure, *_ = drawn(tmp_path, study, axis="model")
    assert len(curves(figure)) == len({line.get_color() for line in curves(figure)}) == 8
    assert "The 8 of 30 values" in figure.get_supxlabel()


def test_one_configuration_has_its_own_curves(finished):
    root, study = finished
    frame, history = tidy.runs(study, root), tidy.history(study, root)
    named = study["points"][-1]["labels"]
    asked = StudyOutput("figure", "curves", "curves", {"axis": None, "configuration": named})
    figure = asked.make(frame, history, study)
    own = frame
    for axis, label in named.items():
        own = own[own[f"label.{axis}"] == label]
    expected = history[history["run"].isin(own["run.train"])].groupby("epoch")["validation_top1"].mean()
    (line,) = (line for line in figure.axes[1].lines if line.get_label() == "validation")
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert own["configuration"].nunique() == 1 and "of the baseline" not in asked.caption(study).title
