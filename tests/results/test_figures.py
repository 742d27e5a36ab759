import re
import zlib

import numpy as np
import pytest

from espalier.results.format import style
from espalier.results.read import tidy
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk
from support.pooled_intervals import intervals
from support.sealed import reseal

pytestmark = pytest.mark.usefixtures("styled")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    study = disk.plan()
    disk.finish(root, study)
    return root, study


def drawn(root, study, name, **settings):
    frame, history = tidy.runs(study, root), tidy.history(study, root)
    return StudyOutput("figure", name, name, settings).make(frame, history, study), frame, history


def lines(panel, gid):
    return [line for line in panel.lines if line.get_gid() == gid]


def test_curves_of_the_baseline_are_means_over_its_repeats(finished):
    figure, frame, history = drawn(*finished, "curves", axis=None)
    ids = frame.loc[frame["configuration"] == 0, "run.train"]
    expected = history[history["run"].isin(ids)].groupby("epoch").mean(numeric_only=True)
    loss, top1 = figure.axes
    for panel, measure in ((loss, "loss"), (top1, "top1")):
        by_name = {line.get_label(): line for line in panel.lines}
        assert set(by_name) == {"train", "validation"}
        for split, line in by_name.items():
            np.testing.assert_array_equal(line.get_xdata(), range(1, disk.EPOCHS + 1))
            np.testing.assert_allclose(line.get_ydata(), expected[f"{split}_{measure}"])
        assert panel.get_xlabel() == "Epoch"
    assert (loss.get_ylabel(), top1.get_ylabel()) == ("Loss (nats)", "Top-1 (%)")


def test_the_band_reaches_from_the_lowest_to_the_highest_repeat(finished):
    figure, frame, history = drawn(*finished, "curves", axis=None)
    ids = frame.loc[frame["configuration"] == 0, "run.train"]
    values = history[history["run"].isin(ids)].groupby("epoch")["validation_top1"]
    corners = figure.axes[1].collections[0].get_paths()[0].vertices
    for epoch, (low, high) in enumerate(zip(values.min(), values.max(), strict=True), start=1):
        found = corners[corners[:, 0] == epoch, 1]
        assert (found.min(), found.max()) == (pytest.approx(low), pytest.approx(high))


def named(figure):
    """Words of the legend and at the ends of lines."""
    words = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    return words | {text.get_text() for panel in figure.axes for text in panel.texts}


def test_curves_by_axis_have_a_line_a_value_and_split(finished):
    figure, frame, history = drawn(*finished, "curves", axis="model")
    lined = {line.get_label() for line in figure.axes[0].lines if line.get_gid() is None}
    assert lined == {f"{model} ({split})" for model in disk.AXES["model"] for split in ("train", "validation")}
    assert named(figure) == {*disk.AXES["model"], "train", "validation"}
    assert figure.get_suptitle() == "Loss and top-1 against epoch, by model"
    lenet = frame.loc[(frame["label.model"] == "LeNet"), "run.train"]
    expected = history[history["run"].isin(lenet)].groupby("epoch")["validation_loss"].mean()
    line = next(line for line in figure.axes[0].lines if line.get_label() == "LeNet (validation)")
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_runs_that_stopped_early_leave_the_mean_to_the_others(finished, tmp_path):
    study = disk.plan([dict(disk.BASELINE)], repeats=2)
    disk.finish(tmp_path, study)
    path = tmp_path / study["runs"][study["points"][0]["runs"]["train"]]["path"] / "history.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    reseal(path.parent)
    figure, _, history = drawn(tmp_path, study, "curves", axis=None)
    other = history[history["run"] == study["points"][1]["runs"]["train"]]
    line = next(line for line in figure.axes[1].lines if line.get_label() == "validation")
    np.testing.assert_allclose(line.get_ydata()[3:], other["validation_top1"][3:])


def test_by_axis_draws_every_seed_its_mean_and_its_interval(finished):
    figure, frame, _ = drawn(*finished, "by_axis", axis="train.optimizer")
    (panel,) = figure.axes
    chosen = frame[(frame["label.model"] == "ResNet 8-16-32") & (frame["label.augment"] == "crop")]
    labels = [text.get_text() for text in panel.get_yticklabels()]
    assert labels == ["SGD\n(baseline)", "AdamW", "RMSprop"]
    configurations = frame.groupby("configuration", sort=False)["test_top1"].apply(np.array)
    ends = dict(zip(configurations.index, intervals(configurations), strict=True))
    for row, label in enumerate(("SGD", "AdamW", "RMSprop")):
        values = chosen.loc[chosen["label.train.optimizer"] == label, "test_top1"].to_numpy()
        number = chosen.loc[chosen["label.train.optimizer"] == label, "configuration"].iloc[0]
        np.testing.assert_array_equal(lines(panel, "seeds")[row].get_xdata(), values)
        np.testing.assert_allclose(lines(panel, "interval")[row].get_xdata(), ends[number])
        assert lines(panel, "mean")[row].get_xdata()[0] == pytest.approx(values.mean())
        places = lines(panel, "seeds")[row].get_ydata()
        assert len(set(places)) == 3 and np.all(np.abs(np.array(places) - row) < 0.4)
    texts = [text.get_text() for text in panel.texts]
    assert texts[0] == f"{found_text(chosen, 'SGD')} (n = 3)"
    assert panel.get_xlabel() == "Test top-1 (%)"
    assert figure.get_suptitle() == "Test top-1 by optimizer" and panel.get_xlim()[1] <= 100


def found_text(frame, label):
    values = frame.loc[frame["label.train.optimizer"] == label, "test_top1"]
    return f"{values.mean():.2f} ± {values.std():.2f}"


@pytest.mark.parametrize(
    ("x", "column", "heading"),
    [
        ("params", "params", "Parameters (k)"),
        ("macs", "macs", "MACs (M)"),
        ("train_time", "train_wall_s", "Train time (s)"),
    ],
)
def test_tradeoff_stands_where_the_numbers_are(finished, x, column, heading):
    figure, frame, _ = drawn(*finished, "tradeoff", x=x)
    (panel,) = figure.axes
    means = frame.groupby("configuration")[[column, "test_top1"]].mean()
    unit = {"Parameters (k)": 1e3, "MACs (M)": 1e6, "Train time (s)": 1}[heading]
    points = np.concatenate([line.get_xydata() for line in lines(panel, "configuration")])
    np.testing.assert_allclose(sorted(map(tuple, points)), sorted(map(tuple, means.to_numpy() / [unit, 1])))
    ends = np.concatenate([line.get_ydata() for line in lines(panel, "interval")])
    expected = intervals([values.to_numpy() for _, values in frame.groupby("configuration")["test_top1"]])
    np.testing.assert_allclose(sorted(ends[~np.isnan(ends)]), sorted(np.ravel(expected)))
    assert panel.get_xlabel() == heading
    assert panel.get_xscale() == ("log" if x == "macs" else "linear")
    # All that is drawn lies inside the axes.
    low, high = panel.get_ylim()
    assert low < frame.groupby("configuration")["test_top1"].mean().min() and high > means["test_top1"].max()


def test_tradeoff_along_one_axis_leaves_the_others_at_the_baseline(finished):
    figure, frame, _ = drawn(*finished, "tradeoff", x="params", axis="model")
    baseline = finished[1]["baseline"]
    others = [axis for axis in finished[1]["axes"] if axis != "model"]
    kept = frame[np.logical_and.reduce([frame[f"label.{axis}"] == baseline[axis] for axis in others])]
    assert 1 < kept["configuration"].nunique() < frame["configuration"].nunique()
    points = np.concatenate([line.get_xydata() for line in lines(figure.axes[0], "configuration")])
    means = kept.groupby("configuration")["test_top1"].mean()
    np.testing.assert_allclose(sorted(points[:, 1]), sorted(means))


def test_names_beside_points_do_not_overlap(tmp_path):
    study = disk.plan(disk.product()[:12])
    disk.finish(tmp_path, study)
    figure, *_ = drawn(tmp_path, study, "tradeoff", x="params")
    style.save(figure, tmp_path, "tradeoff")
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) == 12
    overlapping = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    assert not overlapping


def test_configurations_of_equal_cost_are_drawn_side_by_side(finished):
    figure, *_ = drawn(*finished, "tradeoff", x="params")
    panel = figure.axes[0]
    pixels = np.concatenate(
        [line.get_transform().transform(line.get_xydata()) for line in lines(panel, "configuration")]
    )
    apart = [np.hypot(*(a - b)) for i, a in enumerate(pixels) for b in pixels[:i]]
    assert min(apart) > 4


@pytest.mark.parametrize("name", sorted(disk.of_training("figure")))
@pytest.mark.parametrize("repeats", [0, 1, 3])
def test_every_figure_stands_on_nothing_one_run_or_a_part(tmp_path, name, repeats):
    study = disk.plan(repeats=max(repeats, 1))
    if repeats:
        disk.finish(tmp_path, study)
        for point in study["points"][repeats:]:
            disk.undo(tmp_path, study["runs"][point["runs"]["train"]], "waiting")
            disk.undo(tmp_path, study["runs"][point["runs"]["evaluate"]], "waiting")
    settings = {"tradeoff": {"x": "params"}, "curves": {"axis": "model"}}.get(name, {})
    settings |= dict.fromkeys(disk.required("figure", name), "model")
    figure, *_ = drawn(tmp_path, study, name, **settings)
    style.save(figure, tmp_path, name)
    words = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    said = " ".join(words)
    assert "planned" in said if not repeats else "Incomplete" in said


@pytest.mark.parametrize("name", sorted(disk.of_training("figure")))
def test_more_values_than_can_be_shown_are_cut_and_it_is_said(tmp_path, name):
    study = disk.plan([dict(disk.BASELINE) | {"model": f"net {index}"} for index in range(120)], repeats=1)
    disk.finish(tmp_path, study)
    settings = {"tradeoff": {"x": "params"}, "curves": {"axis": "model"}}.get(name, {})
    settings |= dict.fromkeys(disk.required("figure", name), "model")
    figure, *_ = drawn(tmp_path, study, name, **settings)
    assert figure.get_size_inches()[1] < 15
    assert "of 120" in figure.get_supxlabel()


def test_hostile_labels_are_drawn_as_they_are(tmp_path):
    hostile = "$\\frac{a}$ <b> % _x_ \\"
    study = disk.plan([dict(disk.BASELINE), dict(disk.BASELINE) | {"model": hostile}])
    disk.finish(tmp_path, study)
    for name, settings in (
        ("by_axis", {"axis": "model"}),
        ("curves", {"axis": "model"}),
        ("tradeoff", {"x": "params"}),
    ):
        figure, *_ = drawn(tmp_path, study, name, **settings)
        style.save(figure, tmp_path, name)
        words = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
        assert any(hostile in text for text in words), name


def test_looks_differ_in_more_than_colour():
    looks = [style.look(index) for index in range(40)]
    assert len({(look["color"], str(look["linestyle"])) for look in looks}) == 40
    assert len({(look["marker"]) for look in looks[:8]}) == 8


def luminance(colour):
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_is_seen_on_white():
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in style.COLOURS)


def test_files_are_the_same_whenever_they_are_made_with_real_fonts(finished, tmp_path):
    for folder in ("one", "two"):
        figure, *_ = drawn(*finished, "by_axis", axis="model")
        style.save(figure, tmp_path / folder, "f")
    for name in ("f.png", "f.pdf"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    pdf = (tmp_path / "one/f.pdf").read_bytes()
    assert b"CreationDate" not in pdf
    packed = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    text = pdf + b"".join(zlib.decompressobj().decompress(part) for part in packed if part[:1] == b"\x78")
    assert b"/CIDFontType2" in text or b"/TrueType" in text
    assert b"/Type3" not in text
    width, height = (int.from_bytes((tmp_path / "one/f.png").read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert width == round(style.COLUMN * style.DPI)
    assert height > 200


def test_what_else_varies_is_averaged_within_the_seed(tmp_path):
    study = disk.plan(disk.product(), baseline=None)
    disk.finish(tmp_path, study)
    figure, frame, _ = drawn(tmp_path, study, "by_axis", axis="augment")
    seeds = frame.groupby(["label.augment", "seed"], sort=False)["test_top1"].mean()
    for line, label in zip(lines(figure.axes[0], "seeds"), disk.AXES["augment"], strict=True):
        np.testing.assert_allclose(line.get_xdata(), seeds[label])
    assert figure.axes[0].texts[0].get_text().endswith("(n = 3)")
    figure, frame, history = drawn(tmp_path, study, "curves", axis="augment")
    own = history.merge(frame[["run.train", "seed", "label.augment"]], left_on="run", right_on="run.train")
    own = own[(own["label.augment"] == "none") & (own["epoch"] == 6)].groupby("seed")["validation_top1"].mean()
    corners = figure.axes[1].collections[0].get_paths()[0].vertices
    found = corners[corners[:, 0] == 6, 1]
    assert (found.min(), found.max()) == (pytest.approx(own.min()), pytest.approx(own.max()))
