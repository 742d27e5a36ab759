"""Figures and tables of sweeps: bars of every configuration, accuracy against what pruning removed, sizes met twice."""

import numpy as np
import pytest

from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk

pytestmark = pytest.mark.usefixtures("styled")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    root = tmp_path_factory.mktemp("pruned")
    study = disk.pruned(disk.plan())
    disk.finish(root, study)
    return tidy.runs(study, root), study


@pytest.fixture
def twin(pruned):
    """The study with the channels pruned at 0.5 as large as the LeNet."""
    frame, study = pruned
    frame = frame.copy()
    frame.loc[frame["label.prune.ratio"] == "0.5", "params"] = disk.AXES["model"]["LeNet"][0]
    return frame, study


def drawn(frame, study, name):
    return StudyOutput("figure", name, name, {}).make(frame, None, study)


def lines(panel, gid):
    return [line for line in panel.lines if line.get_gid() == gid]


def test_tuning_has_a_bar_a_configuration_the_best_by_validation_first(tmp_path):
    study = disk.plan(disk.product())
    disk.finish(tmp_path, study)
    frame = tidy.runs(study, tmp_path)
    frame["test_top1"] = 150 - frame["validation_top1"]
    (panel,) = drawn(frame, study, "tuning").axes
    means = frame.groupby("configuration")[["validation_top1", "test_top1"]].mean()
    means = means.sort_values("validation_top1", ascending=False)
    widths = [bar.get_width() for bar in panel.patches]
    np.testing.assert_allclose(widths, means["validation_top1"])
    np.testing.assert_allclose(lines(panel, "test")[0].get_xdata(), means["test_top1"])
    # Of validation and of test, a line a configuration.
    assert len(lines(panel, "interval")) == 2 * len(means)
    first = frame[frame["configuration"] == means.index[0]].iloc[0]
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert names[0] == " · ".join(first[f"label.{axis}"] for axis in study["axes"])
    assert len(names) == len(disk.product())


def test_tuning_of_more_than_a_page_shows_the_best_and_says_so(tmp_path, monkeypatch):
    from espalier.results.figures import tuning

    monkeypatch.setattr(tuning, "_MOST", 5)
    study = disk.plan(disk.product(), repeats=1)
    disk.finish(tmp_path, study)
    figure = drawn(tidy.runs(study, tmp_path), study, "tuning")
    assert len(figure.axes[0].patches) == 5
    assert "The best 5 of 27 configurations" in figure.get_supxlabel()


def test_reduction_begins_with_the_network_before_and_tells_the_parameters_left(pruned):
    frame, study = pruned
    figure = drawn(frame, study, "reduction")
    assert figure.get_suptitle() == "Test top-1 against parameters removed, by pruning method"
    (panel,) = figure.axes
    assert panel.get_xlim()[0] == 0
    line = next(line for line in lines(panel, "line") if len(line.get_xdata()) > 1)
    removed = [0, *(100 * (1 - (1 - ratio) ** 2) for ratio in disk.RATIOS)]
    np.testing.assert_allclose(line.get_xdata(), removed)
    pairs = zip(("–", *map(str, disk.RATIOS)), line.get_ydata(), strict=True)
    for ratio, value in pairs:
        same = frame[(frame["label.prune.ratio"] == ratio) & (frame["run.train"].isin(_baseline_runs(frame)))]
        assert value == pytest.approx(same["test_top1"].mean())
    texts = {text.get_text() for text in panel.texts if text.get_gid() == "params"}
    assert {"9.7k", "5.0k", "1.8k"} <= texts
    assert "Parameters removed" in panel.get_xlabel()


def _baseline_runs(frame):
    return set(frame.loc[frame["run.prune"].notna(), "run.train"])


def test_sizes_met_by_both_ways_are_compared(twin):
    frame, study = twin
    table = StudyOutput("table", "equal_size", "equal_size", {}).make(frame, study)
    assert len(table.data) == 1
    row = table.data.iloc[0]
    built = frame.loc[frame["label.model"] == "LeNet", "test_top1"]
    pruned = frame.loc[frame["label.prune.ratio"] == "0.5", "test_top1"]
    assert (row["built_mean"], row["pruned_mean"]) == (pytest.approx(built.mean()), pytest.approx(pruned.mean()))
    assert row["difference"] == pytest.approx(pruned.mean() - built.mean())
    assert (row["built"], row["pruned"]) == ("LeNet", "channels, ratio 0.5")
    assert (row["built_n"], row["pruned_n"]) == (3, 3)
    (panel,) = drawn(frame, study, "equal_size").axes
    assert len(lines(panel, "pair")) == 1
    marks = {way: lines(panel, way)[0].get_ydata()[0] for way in ("built", "pruned")}
    assert marks == {"built": pytest.approx(built.mean()), "pruned": pytest.approx(pruned.mean())}


def test_sizes_met_by_one_way_are_not_compared(pruned):
    assert StudyOutput("table", "equal_size", "equal_size", {}).make(*pruned).data.empty


@pytest.mark.parametrize("name", ["tuning", "reduction", "equal_size"])
def test_without_results_a_figure_says_so(tmp_path, name):
    study = disk.pruned(disk.plan())
    figure = drawn(tidy.runs(study, tmp_path), study, name)
    assert " yet" in figure.axes[0].texts[0].get_text()
    style.save(figure, tmp_path, name)
    assert (tmp_path / f"{name}.pdf").stat().st_size
