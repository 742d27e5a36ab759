"""The rows of the leaderboard, and the places of lines in parallel coordinates."""

import math

import pytest

from espalier.results.page import browser
from espalier.results.page.charts import lines
from espalier.results.page.charts.pareto_chart import pareto
from espalier.results.page.leaderboard import configuration_table, leaderboard, without_unfinished
from espalier.results.read import tidy
from espalier.runs.spoken_name import spoken_name
from support import compressed_on_disk as compressed
from support import study_on_disk as disk


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A finished study of dense and pruned, plain and quantized networks."""
    monkeypatch.chdir(tmp_path)
    study = compressed.plan(ways=("calibrated", "plain"))
    compressed.finish(tmp_path, study)
    return tmp_path, study


def row_of(board, name):
    return next(row for row in board.rows if row.name == name)


def cell(board, row, head):
    return row.cells[[column.head for column in board.columns].index(head)]


def cells(board, head):
    """The cells of a column, from the first row to the last."""
    place = [column.head for column in board.columns].index(head)
    return [row.cells[place] for row in board.rows]


def test_a_row_is_the_mean_over_repeats(small):
    _, study = small
    frame = tidy.runs(study)
    board = leaderboard(frame, study)
    own = frame[frame["label.quantize"].eq("none") & frame["label.prune"].eq("pruned")]
    found = cell(board, row_of(board, "pruned"), "Test top-1 (%)")
    assert found.value == pytest.approx(own["test_top1"].mean())
    assert found.text == f"{own['test_top1'].mean():.2f} ± {own['test_top1'].std():.2f}"
    assert [row.name for row in board.rows if row.baseline] == ["baseline"]


def test_a_row_has_and_is_found_by_the_spoken_names_of_its_trainings(small):
    _, study = small
    board = leaderboard(tidy.runs(study), study)
    (column,) = [column for column in board.columns if column.head == "Trainings"]
    assert column.words and not column.shown
    for row, found in zip(board.rows, cells(board, "Trainings"), strict=True):
        expected = [spoken_name(run) for run in row.runs if study["runs"][run]["stage"] == "train"]
        assert found.text.split(", ") == expected and set(expected) <= set(row.labels.replace(",", "").split())


def test_runs_of_a_row_stand_after_those_they_read(small):
    _, study = small
    for row in leaderboard(tidy.runs(study), study).rows:
        place = {id_: index for index, id_ in enumerate(row.runs)}
        parents = {id_: study["runs"][id_]["parent"] for id_ in row.runs}
        assert len(place) == len(row.runs)
        assert all(parent is None or place[parent] < place[id_] for id_, parent in parents.items())


def test_a_network_that_is_still_to_change_has_no_measure(small):
    root, study = small
    ids = study["points"][-1]["runs"]
    for stage in ("quantize", "encode", "evaluate"):
        disk.undo(root, study["runs"][ids[stage]], "waiting")
    states = tidy.states(study)
    frame = tidy.runs(study, known=states)
    found = without_unfinished(frame, states)
    # Of the pruned network that is to be quantized.
    assert not math.isnan(frame["validation_top1"].iloc[-1]) and math.isnan(found["validation_top1"].iloc[-1])
    assert found["validation_top1"].iloc[:-1].equals(frame["validation_top1"].iloc[:-1])
    assert cells(leaderboard(found, study), "Done")[-1] == ("1 of 2", 0.5)


def test_lines_cross_axes_by_value(small):
    _, study = small
    frame = tidy.runs(study)
    plot = lines.of_grid(frame, study)
    assert plot.top1 == sorted(plot.top1) and sum(plot.marked) == 1 and len(plot.names) == 6
    assert [axis.head for axis in plot.axes][:2] == ["Prune", "Quantize"] and plot.axes[-1].head == "Test top-1 (%)"
    for axis in plot.axes[2:]:
        known = [place for place in axis.places if place != lines.MISSING_PLACE]
        assert min(known) == pytest.approx(0) and max(known) == pytest.approx(1)
    accuracy = plot.axes[-1].places
    assert accuracy == sorted(accuracy)
    size = next(axis for axis in plot.axes if axis.head == "File (kB)")
    data = configuration_table(frame, study)["file_bytes"]
    at = [size.places[plot.names.index(name)] for name in ("baseline", "calibrated")]
    assert at[0] > at[1] and data.max() == 80_000 and len(size.ticks) <= data.nunique()


def test_widths_rise_and_floats_stand_highest(small):
    _, study = small
    plots = lines.of_widths(tidy.runs(study), study)
    assert len(plots) == 4
    activations = next(axis for axis in plots[0].axes if axis.head == "Activations (bits)")
    assert [text for _, text in sorted(activations.ticks)] == ["3", "4", "5", "6", "8", "float"]
    assert len(plots[0].names) == 36 and sum(plots[0].marked) == 1


def test_nothing_to_compare_draws_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.plan()
    frame = tidy.runs(study)
    assert lines.of_grid(frame, study) is None and lines.of_widths(frame, study) == []
    assert pareto(frame, study) is None
    board = leaderboard(frame, study)
    assert len(board.rows) == 7 and {cell.value for cell in cells(board, "Done")} == {0.0}


def test_a_library_cannot_close_its_own_script():
    hostile = "a='</script>';b=/<!--x/;c='<SCRIPT src=y>';if(d<e)f()"
    found = browser.inline(hostile)
    assert not any(word in found.lower() for word in ("</script", "<!--", "<script"))
    assert found.replace("\\x3c", "<") == hostile and "d<e" in found
