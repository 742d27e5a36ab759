"""Axes, titles and names of lines: scales of losses and percentages, words that are whole and large enough."""

import numpy as np
import pytest
from matplotlib.text import Text

from espalier.results.format import line_ends, loss_axis, style
from support import compressed_on_disk as compressed
from support.made_results import made

pytestmark = pytest.mark.usefixtures("styled")


def panel_of():
    return style.canvas(style.COLUMN)[1][0]


@pytest.mark.parametrize(
    ("runs", "scale", "low", "high"),
    [
        ([[2.3, 1.0, 0.5]], "linear", 0, 2.3),
        ([[2.3, 0.5, 0.05]], "log", 0.05, 2.3),
        ([[2.3, 0.5, 0.0]], "linear", 0, 2.3),
        # One of two runs explodes, one of many does, and one is not finite.
        ([[2.3, 1.0], [2.3, 5e6]], "linear", 0, 2.3),
        ([[2.3, 0.1]] * 4 + [[3.0, 900.0]], "log", 0.1, 3.0),
        ([[2.3, 1.0], [2.0, float("inf")], [float("nan")] * 2], "linear", 0, 2.3),
        # Where all explode, that is the scale.
        ([[1e5, 2.0], [2e5, 3.0]], "log", 2.0, 2e5),
    ],
)
def test_ordinary_runs_set_the_scale_of_losses(runs, scale, low, high):
    panel = panel_of()
    loss_axis.scale(panel, runs)
    bottom, top = panel.get_ylim()
    assert panel.get_yscale() == scale
    assert 0.5 * low <= bottom <= low and high < top < 2 * high


def test_without_a_loss_the_axis_stays_as_it_is():
    panel = panel_of()
    loss_axis.scale(panel, [[float("nan")], []])
    assert panel.get_ylim() == (0, 1)


@pytest.mark.parametrize(
    ("losses", "at", "highest"),
    [
        ([1.0, 2.0, 1.0], [], 0),
        ([1.0, 50.0, 70.0, 1.0, 60.0], [2, 5], 70.0),
        ([float("inf"), 1.0], [1], float("inf")),
        ([float("nan"), 1.0], [], 0),
    ],
)
def test_what_leaves_the_plot_is_marked_where_it_leaves(losses, at, highest):
    panel = panel_of()
    panel.set_ylim(0, 3)
    assert loss_axis.mark(panel, range(1, len(losses) + 1), losses, style.COLOURS[0]) == highest
    marks = [line for line in panel.lines if line.get_gid() == "beyond"]
    assert [line.get_xdata()[0] for line in marks] == at
    assert all(line.get_ydata()[0] == 1 and not line.get_clip_on() for line in marks)


def test_marks_at_one_epoch_stand_side_by_side():
    panel = panel_of()
    panel.set_ylim(0, 3)
    for colour in style.COLOURS[:3]:
        loss_axis.mark(panel, [1, 2], [9.0, 1.0], colour)
    places = [line.get_transform().transform(line.get_xydata())[0, 0] for line in panel.lines]
    assert np.all(np.diff(places) > 5)


def test_what_is_beyond_is_told():
    assert loss_axis.beyond_plot({"a": 0.0, "b": 0.0}) == ""
    assert loss_axis.beyond_plot({"a": 1234.5, "b": 0.0}) == "▲ Losses beyond the plot: a (to 1,234)."
    many = loss_axis.beyond_plot({str(place): 10.0 for place in range(7)})
    assert "3 (to 10), 3 more." in many and "4 (to" not in many


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("values", [[90.0, 100.0], [0.0, 50.0], [100.0, 100.0], [97.0, 98.0], [0.0, 100.0]])
def test_percentages_end_at_0_and_100(values, across):
    panel = panel_of()
    panel.plot(*((values, [1, 2]) if across else ([1, 2], values)), marker="o")
    panel.plot([np.nan], [np.nan])
    axis = panel.xaxis if across else panel.yaxis
    style.percent(axis)
    low, high = panel.get_xlim() if across else panel.get_ylim()
    assert max(0, min(values) - 10) <= low <= min(values) and max(values) <= high <= 100
    assert max(values) < 100 or high == 100
    seen, empty = panel.lines
    # A mark at the end of the axis is whole; a line of no points takes no room.
    assert not seen.get_clip_on() and empty.get_clip_on()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1, 30, ["1", "2", "5", "10", "20"]), (80, 100, ["80", "88", "100"]), (1, 1e5, ["1", "100", "10000"])],
)
def test_a_logarithmic_axis_has_plain_numbers(low, high, words):
    panel = panel_of()
    panel.set_ylim(low, high)
    style.log(panel.yaxis)
    panel.figure.draw_without_rendering()
    assert set(words) <= {label.get_text() for label in panel.get_yticklabels()}
    assert len(panel.get_yticks()) < 20


@pytest.mark.parametrize(
    ("ends", "names", "apart"),
    [
        ([(10, 10.0), (10, 90.0)], ["low", "high"], True),
        ([(10, 98.0 + place / 10) for place in range(8)], list("abcdefgh"), False),
        ([(4, 10.0), (10, 90.0)], ["ends early", "high"], False),
        ([(10, 10.0), (10, 90.0)], ["low", "a name of so many letters that nothing is left"], False),
    ],
)
def test_lines_are_named_at_their_ends_where_these_are_apart(ends, names, apart):
    panel = panel_of()
    panel.set_xlim(0, 10)
    panel.set_ylim(0, 100)
    assert line_ends.apart(panel, ends, names) is apart


def test_a_marker_stands_before_each_name_at_the_right():
    panel = panel_of()
    panel.set_ylim(0, 100)
    ends, markers = [(1, 10.0), (1, 12.0), (1, 90.0)], ["o", "s", "^"]
    line_ends.name(panel, ends, ["a", "b", "c"], ["black"] * 3, markers)
    panel.figure.draw_without_rendering()
    right = panel.get_window_extent().x1
    for text, marker in zip(panel.texts, markers, strict=True):
        # Without the line that leads to it.
        box = Text.get_window_extent(text)
        (mark,) = (line for line in panel.lines if line.get_marker() == marker)
        x, y = mark.get_transform().transform(mark.get_xydata())[0]
        assert right < x < box.x0 and box.y0 < y < box.y1 and box.x1 <= panel.figure.bbox.x1


def test_names_inside_the_axes_are_all_there_or_none():
    lines = {"falls": np.array([[0.0, 90.0], [9.0, 10.0]]), "rises": np.array([[0.0, 10.0], [9.0, 90.0]])}
    colours = dict.fromkeys(lines, "black")
    for names, found in ((lines, True), ({"x" * 400: lines["falls"], "rises": lines["rises"]}, False)):
        panel = panel_of()
        for points in names.values():
            panel.plot(*points.T)
        assert line_ends.inside(panel, names, dict.fromkeys(names, "black") | colours) is found
        assert {text.get_text() for text in panel.texts} == (set(names) if found else set())
        assert found or len(panel.lines) == 2


def test_a_note_and_a_title_are_whole():
    figure, _ = style.canvas(style.COLUMN, title="Test top-1 against parameters that are not zero, by pruning method")
    style.note(figure, "Incomplete: 10 of 12 runs have a result. The 40 of 120 values with the best validation top-1.")
    figure.draw_without_rendering()
    for text in (figure._suptitle, figure._supxlabel):
        box = text.get_window_extent()
        assert text.get_text().count("\n") and box.x0 >= 0 and box.x1 <= figure.bbox.x1


TITLES = {
    "bit_grid": "Test top-1 by bits of weights and activations",
    "compression": "Test top-1 against parameters that are not zero, by pruning method",
    "size_anatomy": "Bytes of the file by what they are for, by coded network",
    "tradeoff": "Test top-1 against parameters",
    "tuning": "Validation and test top-1 by configuration, the best by validation first",
}


@pytest.fixture(scope="module")
def compressed_study(tmp_path_factory):
    root = tmp_path_factory.mktemp("compressed")
    study = compressed.plan(ways=("calibrated",))
    compressed.finish(root, study)
    return root, study


@pytest.mark.parametrize("name", TITLES)
def test_a_title_says_the_variables_and_every_word_is_whole(compressed_study, monkeypatch, tmp_path, name):
    root, study = compressed_study
    monkeypatch.chdir(root)
    figure = made("figure", name, study)
    assert figure.get_suptitle().replace("\n", " ") == TITLES[name]
    style.save(figure, tmp_path, name)
    page, found = figure.bbox, [figure._suptitle, figure._supxlabel]
    found += [text for legend in figure.legends for text in legend.get_texts()]
    for panel in figure.axes:
        found += [*panel.texts, panel._left_title, panel.xaxis.label, panel.yaxis.label, *panel.get_yticklabels()]
    for text in found:
        # Ticks beyond the limits of an axis are not drawn.
        if text and text.get_text() and text.get_visible() and text.get_window_extent().y0 < page.y1:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1 and box.y1 <= page.y1 + 1, text.get_text()
            assert text.get_fontsize() >= 6, text.get_text()
    accuracy = [panel for panel in figure.axes if "top-1" in panel.get_ylabel().lower() and panel.get_xlabel()]
    assert all(panel.get_ylim()[0] >= 0 and panel.get_ylim()[1] <= 100 for panel in accuracy)
