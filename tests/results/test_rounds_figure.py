"""The rounds of pruning as a figure: every round where its numbers are, and the one below the floor told apart."""

import pytest

from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from espalier.runs.columns import ROUNDS, write_rows
from support import study_on_disk as disk
from support.sealed import reseal

SPARSITY = (20.0, 36.0, 48.8)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.pruned(disk.plan(repeats=2))
    disk.finish(tmp_path, study)
    for run in pruned(study):
        rows = [
            {"round": place, "sparsity": sparsity, "validation_top1": 97.0 - place, "kept": int(place < 3)}
            for place, sparsity in enumerate(SPARSITY, 1)
        ]
        write_rows(tmp_path / run["path"] / "rounds.csv", ROUNDS, [dict.fromkeys(ROUNDS, 0) | row for row in rows])
        reseal(tmp_path / run["path"])
    return study


def pruned(study):
    return [run for run in study["runs"].values() if run["stage"] == "prune"]


def drawn(study):
    item = StudyOutput("figure", "rounds", "rounds", {})
    assert item.caption(study)
    with style.applied():
        return item.make(tidy.runs(study), tidy.history(study), study)


def test_a_line_goes_from_the_network_before_through_every_round(study):
    (panel,) = drawn(study).axes
    lines = [line for line in panel.lines if line.get_gid() == "rounds"]
    assert len(lines) == len(pruned(study)) == 2 * len(disk.RATIOS)
    frame = tidy.runs(study)
    before = set(frame.loc[frame["run.prune"].isna(), "validation_top1"])
    for line in lines:
        assert list(line.get_xdata()) == pytest.approx([100, 80, 64, 51.2])
        assert list(line.get_ydata())[1:] == [96, 95, 94]
        assert line.get_ydata()[0] in before
    assert panel.get_xlim()[0] > panel.get_xlim()[1], "less to the right"


def test_the_round_below_the_floor_is_hollow(study):
    (panel,) = drawn(study).axes
    for line in (line for line in panel.lines if line.get_gid() == "below"):
        assert list(line.get_xdata()) == pytest.approx([51.2])
        assert list(line.get_ydata()) == [94]
        assert line.get_markerfacecolor() == "white"


def test_a_way_is_named_once_and_missing_runs_are_told(study):
    figure = drawn(study)
    words = [text.get_text() for text in figure.axes[0].texts]
    words += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert len(words) == len(disk.RATIOS)
    for run in pruned(study)[1:]:
        disk.undo(disk.Path(), run, "waiting")
    assert drawn(study).get_supxlabel() == f"Incomplete: 1 of {2 * len(disk.RATIOS)} runs have a result."
    disk.undo(disk.Path(), pruned(study)[0], "waiting")
    assert "planned" in drawn(study).axes[0].texts[0].get_text()
