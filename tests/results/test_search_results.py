"""What a reader of a search sees: the best so far by epochs spent, the importance of settings, slices, pale lines."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from espalier.results.compare import forest
from espalier.results.compare.axis_values import Values, along
from espalier.results.compare.importance import importance
from espalier.results.compare.search_progress import search_progress
from espalier.results.page import explore
from espalier.results.page.charts import lines, pareto_chart
from espalier.results.read import rungs, tidy
from espalier.results.read.epoch_scores import EpochScores
from espalier.results.read.planned_study import configurations, labels
from espalier.results.study_outputs import StudyOutput
from support import study_on_disk as disk

pytestmark = pytest.mark.usefixtures("styled")

RUNG = 2
KEPT = 9
REPEATS = 2


def halved(root, study):
    """The study with a rung after which its first configurations in the alphabet of their ids went on; of the others
    there is more on disk than they were trained for here."""
    of = {}
    for point in study["points"]:
        of.setdefault(labels(study, point), []).append(point["runs"]["train"])
    order = sorted({tuple(runs): runs for runs in of.values()}.values())
    each_once = list(dict.fromkeys(map(tuple, of.values())))
    candidates = [{"runs": [*runs], "mean": 50.0, "kept": [*runs] in order[:KEPT]} for runs in each_once]
    gone = {run for each in candidates if not each["kept"] for run in each["runs"]}
    for point in study["points"]:
        if point["runs"]["train"] in gone:
            disk.undo(root, study["runs"][point["runs"]["evaluate"]], "waiting")
            disk.undo(root, study["runs"][point["runs"]["train"]], "paused", epoch=RUNG, epochs=disk.EPOCHS)
    rung = {"epochs": RUNG, "of": disk.EPOCHS, "candidates": candidates}
    return study | {"halving": {"epochs": [RUNG, disk.EPOCHS], "keep": "1/3"}, "rungs": [rung]}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Frame, history and plan of a grid of 27 configurations that is finished, and where a rung has let nine go on."""
    root = tmp_path_factory.mktemp("grid")
    study = disk.plan(disk.product(), repeats=REPEATS)
    disk.finish(root, study)
    whole = tidy.runs(study, root), tidy.history(study, root), study
    study = halved(root, study)
    return whole, (tidy.runs(study, root), tidy.history(study, root), study)


@pytest.fixture
def whole(both):
    """The grid that is finished."""
    return both[0]


@pytest.fixture
def stopped(both):
    """The grid with a rung."""
    return both[1]


def drawn(found, name):
    return StudyOutput("figure", name, name, {}).make(*found)


def lined(panel, gid):
    return [line for line in panel.lines if line.get_gid() == gid]


ROWS = [(1, 50.0, 2.0), (2, 60.0, 3.0), (3, 40.0, 1.0)]


@pytest.mark.parametrize(
    ("select", "epochs", "ended", "top1"),
    [
        ("top1", 1, False, 50.0),
        ("top1", 3, False, 60.0),
        # The network that the loss has chosen, whatever its accuracy.
        ("loss", 2, False, 50.0),
        ("loss", 3, False, 40.0),
        # Not so far yet; or never to be, since it stopped early.
        ("top1", 4, False, math.nan),
        ("top1", 4, True, 60.0),
        ("top1", 0, False, math.nan),
    ],
)
def test_a_training_stands_where_its_best_epoch_by_then_is(select, epochs, ended, top1):
    history = pd.DataFrame(ROWS, columns=["epoch", "validation_top1", "validation_loss"]).assign(run="a")
    study = {"runs": {"a": {"settings": {"train.select": select}}, "b": {"settings": {}}}}
    found = EpochScores(study, history, {"a"} if ended else set())
    assert found.top1("a", epochs) == pytest.approx(top1, nan_ok=True)
    assert found.epochs("a") == 3 and found.epochs("b") == 0 and math.isnan(found.top1("b", 1))


def test_a_frame_has_what_stopped_trainings_had_reached_and_all_at_that_epoch(stopped):
    frame, history, _ = stopped
    reached = history[history["epoch"] <= RUNG].groupby("run")["validation_top1"].max()
    ended = frame["stopped_at"].notna()
    np.testing.assert_allclose(frame["shared_top1"], frame["run.train"].map(reached))
    np.testing.assert_allclose(frame.loc[ended, "stopped_top1"], frame.loc[ended, "shared_top1"])
    assert frame.loc[~ended, "stopped_top1"].isna().all() and set(frame["shared_epochs"]) == {RUNG}
    assert ended.sum() == (27 - KEPT) * REPEATS and frame.loc[ended, "validation_top1"].isna().all()


def test_the_course_of_a_grid_is_that_of_shorter_grids(whole):
    frame, history, study = whole
    found, spared = search_progress(frame, history, study)
    means = frame.groupby("configuration")["validation_top1"].mean()
    assert [step.configuration for step in found] == [*range(27)]
    assert [step.spent for step in found] == [disk.EPOCHS * REPEATS * (place + 1) for place in range(27)]
    np.testing.assert_allclose([step.best for step in found], means.cummax())
    short = study | {"points": study["points"][: 5 * REPEATS]}
    assert search_progress(frame[frame["configuration"] < 5], history, short).steps == found[:5]
    assert spared == 0 and {(step.rung, step.state) for step in found} == {(None, "at its end")}


def test_epochs_that_configurations_share_are_spent_once(whole):
    frame, history, study = whole
    alike = frame.assign(**{"run.train": frame["run.train"].where(frame["configuration"] != 1, frame["run.train"][0])})
    found = search_progress(alike, history, study).steps
    assert found[1].spent == found[0].spent and found[2].spent == 2 * found[0].spent


def test_the_course_of_rungs_goes_rung_by_rung_and_spares_what_was_stopped(stopped):
    frame, history, study = stopped
    found, spared = search_progress(frame, history, study)
    assert [step.rung for step in found] == [RUNG] * 27 + [None] * KEPT
    assert found[26].spent == 27 * REPEATS * RUNG
    assert found[-1].spent == found[26].spent + KEPT * REPEATS * (disk.EPOCHS - RUNG)
    assert found[-1].spent + spared == 27 * REPEATS * disk.EPOCHS
    at_rung = frame.groupby("configuration")["shared_top1"].mean()
    np.testing.assert_allclose([step.top1 for step in found[:27]], at_rung)
    assert found[-1].best == pytest.approx(frame.groupby("configuration")["validation_top1"].mean().max())
    states = [step.state for step in found]
    assert {state: states.count(state) for state in states} == {"goes on": 9, "stopped": 18, "at its end": 9}


def test_until_its_end_is_known_what_a_training_had_reached_stands(stopped):
    frame, history, study = stopped
    open_ = frame.assign(validation_top1=math.nan, state="waiting")
    found = search_progress(open_, history, study).steps
    assert found[-1].best == found[26].best == pytest.approx(frame.groupby("configuration")["shared_top1"].mean().max())
    figure = drawn((open_, history, study), "search")
    said = figure.get_supxlabel().replace("\n", " ")
    assert "Incomplete: 18 of 27 configurations" in said and f"{found[-1].best:.2f} %, after" in said
    # What is to come is not known.
    assert not lined(figure.axes[0], "whole")
    # What has diverged by then has no network.
    gone = open_.assign(state="diverged")
    ended = frame.loc[frame["stopped_at"].notna()].groupby("configuration")["stopped_top1"].mean().max()
    assert search_progress(gone, history, study).steps[-1].best == pytest.approx(ended)


def test_what_waits_for_no_others_is_trained_one_after_the_other(stopped):
    frame, history, study = stopped
    alone = study | {"halving": study["halving"] | {"wait": False}}
    # Of what the first seed has ended, no other seed is trained.
    never = set(frame.loc[frame["stopped_at"].notna() & (frame["repeat"] > 0), "run.train"])
    history = history[~history["run"].isin(never)]
    for one in (alone, {key: value for key, value in alone.items() if key != "halving"}):
        found, spared = search_progress(frame, history, one)
        ended = frame[frame["repeat"] == 0].set_index("configuration")["stopped_at"].notna()
        assert [step.configuration for step in found] == [*range(27)]
        assert [step.state == "stopped" for step in found] == ended.tolist()
        epochs = np.diff([0, *(step.spent for step in found)])
        assert [*epochs] == [RUNG if gone else disk.EPOCHS * REPEATS for gone in ended]
        assert found[-1].spent + spared == 27 * REPEATS * disk.EPOCHS
        reached = frame[frame["repeat"] == 0].set_index("configuration")["stopped_top1"]
        top1 = pd.Series({step.configuration: step.top1 for step in found})
        np.testing.assert_allclose(top1[ended], reached[ended])


def test_what_follows_from_a_selection_is_trained_after_the_rungs(stopped):
    frame, history, study = stopped
    (rung,) = study["rungs"]
    first = next(each for each in rung["candidates"] if each["kept"])
    others = [each for each in rung["candidates"] if each is not first]
    found = search_progress(frame, history, study | {"rungs": [rung | {"candidates": others}]}).steps
    assert [step.rung for step in found] == [RUNG] * 26 + [None] * KEPT
    number = frame.loc[frame["run.train"] == first["runs"][0], "configuration"].iloc[0]
    assert [step.rung for step in found if step.configuration == number] == [None]


def test_the_figure_of_a_search_has_the_course_its_rungs_and_what_all_would_take(stopped):
    figure = drawn(stopped, "search")
    (panel,) = figure.axes
    found = search_progress(*stopped).steps
    (best,) = lined(panel, "best")
    np.testing.assert_array_equal(best.get_xdata(), [step.spent for step in found])
    assert np.all(np.diff(best.get_ydata()) >= 0)
    assert [line.get_xdata()[0] for line in lined(panel, "rung")] == [27 * REPEATS * RUNG]
    assert [line.get_xdata()[0] for line in lined(panel, "whole")] == [27 * REPEATS * disk.EPOCHS]
    assert "27 to epoch 2, 9 to the end" in figure.get_supxlabel().replace("\n", " ")
    assert sum(len(line.get_xdata()) for line in lined(panel, "configuration")) == len(found)


@pytest.mark.parametrize("name", ["tuning", "tradeoff", "search", "slices", "importance"])
def test_a_study_is_not_incomplete_where_trainings_were_stopped(stopped, monkeypatch, name):
    monkeypatch.setattr(forest, "fitted", lambda columns, scores: (np.ones(1), np.ones((3, 2))))
    said = drawn(stopped, name).get_supxlabel().replace("\n", " ")
    assert "Incomplete" not in said
    if name in ("tuning", "tradeoff"):
        assert "36 of 54 runs were stopped before the end, and not shown." in said


def test_the_figure_of_a_grid_has_neither(whole):
    figure = drawn(whole, "search")
    (panel,) = figure.axes
    assert not lined(panel, "rung") and not lined(panel, "whole")
    means = whole[0].groupby("configuration")["validation_top1"].mean()
    said = figure.get_supxlabel().replace("\n", " ")
    assert f"{means.max():.2f} %, after {disk.EPOCHS * REPEATS * (means.argmax() + 1)} of 324 epochs" in said


@pytest.mark.parametrize(
    ("axis", "numbers", "logarithmic"),
    [
        (["0.001", "0.1", "1e-5"], [0.001, 0.1, 1e-5], True),
        (["32", "64", "128"], [32, 64, 128], False),
        (["0", "100"], [0, 100], False),
        (["0.9", "–"], [0.9, math.nan], False),
        (["16-32", "64"], None, False),
        (["nan", "1"], None, False),
        (["sgd", "–"], None, False),
    ],
)
def test_labels_are_numbers_where_all_of_them_are(axis, numbers, logarithmic):
    frame = pd.DataFrame({"configuration": range(len(axis)), "label.a.b": axis})
    (found,) = along(frame, frame["configuration"], {"axes": ["a.b"]})
    assert found.numbers is None if numbers is None else found.numbers == pytest.approx(numbers, nan_ok=True)
    assert (found.head, found.logarithmic) == ("b", logarithmic)


def sampled(count, score):
    """A frame and study of three axes: a rate over decades, one of four words, and an axis that does nothing."""
    generator = np.random.default_rng(0)
    rate, word, idle = generator.uniform(-4, 0, count), generator.integers(4, size=count), generator.uniform(size=count)
    named = {"rate": [f"{10**each:.4g}" for each in rate], "word": [f"w{each}" for each in word]}
    named["idle"] = [f"{each:.3f}" for each in idle]
    columns = {f"label.{axis}": cells for axis, cells in named.items()}
    frame = pd.DataFrame({"configuration": range(count), "validation_top1": score(rate, word)} | columns)
    return frame, {"axes": [*named]}


@pytest.fixture
def quick(monkeypatch):
    """Fewer forests and shuffles than a study has."""
    monkeypatch.setattr(forest, "FORESTS", 2)
    monkeypatch.setattr(forest, "SHUFFLES", 8)
    forest.fitted.cache_clear()
    yield
    forest.fitted.cache_clear()


def test_importance_is_the_share_of_the_variance(quick):
    # The word matters by one of its values alone, in the middle of their order.
    frame, study = sampled(80, lambda rate, word: 60 + 4 * rate + 12 * (word == 1))
    found = importance(frame, study)
    rate, word = 4 * np.log10(frame["label.rate"].astype(float)), 12 * (frame["label.word"] == "w1")
    parts = {part.values.axis: part for part in found.parts}
    assert [*parts] == ["rate", "word", "idle"] if rate.var() > word.var() else ["word", "rate", "idle"]
    for axis, own in (("rate", rate), ("word", word)):
        share = own.var() / frame["validation_top1"].var()
        assert parts[axis].mean == pytest.approx(share, abs=0.12)
        assert parts[axis].low < parts[axis].mean < parts[axis].high
    assert abs(parts["idle"].mean) < 0.05 and found.r2[0] > 0.85 and found.readable
    before = found.parts
    forest.fitted.cache_clear()
    assert importance(frame, study).parts == before


def test_noise_has_no_importance_and_table_and_figure_say_so(quick):
    noise = np.random.default_rng(1)
    frame, study = sampled(24, lambda rate, word: noise.uniform(10, 90, len(rate)))
    frame["state"] = "done"
    assert not importance(frame, study).readable
    table = StudyOutput("table", "importance", "importance", {}).make(frame, study)
    assert "read nothing into the rest" in table.printed["Setting"].iloc[-1] and len(table.printed) == 4
    figure = StudyOutput("figure", "importance", "importance", {}).make(frame, None, study)
    assert "too little" in figure.get_suptitle() and "Below 0.3 nothing" in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize(
    ("count", "axes", "known", "said"),
    [
        (9, 1, 9, "Importance of 1 axis takes 10 configurations with a result; there are 9 of 9."),
        (14, 5, 14, "Importance of 5 axes takes 15 configurations with a result; there are 14 of 14."),
        (12, 1, 8, "there are 8 of 12."),
        (12, 1, 0, "No configuration has a result yet (12 planned)."),
        (12, 1, 12, "All configurations have the same score"),
    ],
)
def test_of_too_few_configurations_nothing_is_said_and_why(count, axes, known, said):
    names = [f"a{number}" for number in range(axes)]
    columns = {f"label.{axis}": [str(place) for place in range(count)] for axis in names}
    scores = [50.0 if place < known else math.nan for place in range(count)]
    frame = pd.DataFrame({"configuration": range(count), "state": "done", "validation_top1": scores} | columns)
    table = StudyOutput("table", "importance", "importance", {}).make(frame, {"axes": names})
    (cell,) = table.printed["Importance"]
    assert said in cell
    figure = StudyOutput("figure", "importance", "importance", {}).make(frame, None, {"axes": names})
    assert said in figure.axes[0].texts[0].get_text().replace("\n", " ")


def test_stopped_configurations_are_compared_at_the_epoch_that_all_have_reached(stopped, monkeypatch):
    frame, _, study = stopped
    asked = []
    monkeypatch.setattr(forest, "fitted", lambda columns, scores: asked.append(scores) or (np.ones(1), np.ones((3, 2))))
    found = importance(frame, study)
    np.testing.assert_allclose(asked, [frame.groupby("configuration")["shared_top1"].mean()])
    assert found.scored == found.planned == 27
    for kind in ("table", "figure"):
        assert f"after epoch {RUNG}, which all" in StudyOutput(kind, "importance", "importance", {}).caption(study).text


def test_importance_of_stopped_ones_is_that_of_their_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.pruned(disk.plan(disk.product(), repeats=REPEATS))
    disk.finish(tmp_path, study)
    study = halved(tmp_path, study)
    frame = tidy.runs(study)
    asked = []
    monkeypatch.setattr(
        forest, "fitted", lambda columns, scores: asked.append(columns) or (np.ones(1), np.ones((3, 2)))
    )
    found = importance(frame, study)
    # Three pruned variants of the baseline share its training.
    assert frame["configuration"].nunique() == 30 and found.planned == 27
    assert {part.values.axis for part in found.parts} == set(disk.AXES) and len(asked[0]) == 3
    assert search_progress(frame, tidy.history(study), study).steps[-1].spent == frame["run.train"].nunique() * RUNG + (
        KEPT * REPEATS * (disk.EPOCHS - RUNG)
    )


def test_slices_set_every_configuration_at_its_values_and_stopped_ones_pale(stopped):
    figure = drawn(stopped, "slices")
    panels = [panel for panel in figure.axes if panel.get_xlabel()]
    assert [panel.get_xlabel() for panel in panels] == ["model", "augment", "optimizer"]
    counts = {name: KEPT if name == "at its end" else 27 - KEPT for name in ("at its end", STOPPED)}
    for panel in panels:
        assert {name: len(lined(panel, name)[0].get_xdata()) for name in counts} == counts
        # Each lies on the strip of its word, and none on another.
        places = np.concatenate([lined(panel, name)[0].get_xydata() for name in counts])
        assert len({*map(tuple, places)}) == 27 and [*np.bincount(places[:, 0].round().astype(int))] == [9, 9, 9]
        assert len(lined(panel, "best")) == 1


STOPPED = "stopped, as it stood"


def test_slices_have_logarithms_and_leave_out_what_has_no_value():
    frame, study = sampled(30, lambda rate, word: 90 + rate + word)
    frame.loc[:4, "label.rate"] = "–"
    figure = drawn((frame, None, study), "slices")
    rate, _, idle = (panel for panel in figure.axes if panel.get_xlabel())
    assert (rate.get_xscale(), idle.get_xscale()) == ("log", "linear")
    known = lined(rate, "at its end")[0].get_xdata()
    np.testing.assert_allclose(known[5:], frame["label.rate"][5:].astype(float))
    assert np.isnan(known[:5]).all() and "Without rate, not in its panel: 5." in figure.get_supxlabel()


def test_of_many_axes_the_first_are_sliced_and_the_others_named():
    names = [f"a{number}" for number in range(10)]
    columns = {f"label.{axis}": [str(place) for place in range(12)] for axis in names}
    frame = pd.DataFrame({"configuration": range(12), "validation_top1": np.linspace(80, 90, 12)} | columns)
    figure = drawn((frame, None, {"axes": names}), "slices")
    assert [panel.get_xlabel() for panel in figure.axes if panel.get_xlabel()] == names[:8]
    assert "Not shown: a8, a9." in figure.get_supxlabel()


def test_stopped_configurations_are_pale_lines_below_the_others_and_no_points(stopped):
    frame, _, study = stopped
    plot = lines.of_grid(frame, study)
    assert plot.stopped == 27 - KEPT and len(plot.names) == 27
    pale = [(light, dark) == lines._STOPPED for light, dark in zip(plot.light, plot.dark, strict=True)]
    assert pale == [True] * plot.stopped + [False] * KEPT
    assert all(name.endswith(f": stopped at {RUNG} of {disk.EPOCHS}") for name in plot.names[: plot.stopped])
    heads = [axis.head for axis in plot.axes]
    validation, test = (plot.axes[heads.index(head)] for head in ("Validation top-1 (%)", "Test top-1 (%)"))
    assert all(f"at epoch {RUNG}" in text for text in validation.texts[: plot.stopped])
    assert set(test.places[: plot.stopped]) == {lines.MISSING_PLACE}
    reached = frame.groupby("configuration")["stopped_top1"].mean().dropna()
    assert validation.texts[plot.stopped - 1] == f"{reached.max():.2f} at epoch {RUNG}"
    rows = pareto_chart.pareto(frame, study)["datasets"]["rows"]
    assert len(rows) == KEPT


def test_the_page_says_what_grey_lines_are(stopped, tmp_path):
    frame, _, study = stopped
    explore.write(tmp_path / "explore.html", study, frame, False, [])
    text = (tmp_path / "explore.html").read_text()
    assert text.count("The 18 grey lines are configurations that were stopped") == 1


def test_without_a_finished_configuration_there_are_no_lines(stopped):
    frame, _, study = stopped
    open_ = frame.assign(validation_top1=math.nan, test_top1=math.nan)
    assert lines.of_grid(open_, study) is None


def test_many_numbers_of_an_axis_stand_where_their_size_is():
    rates = [f"{10**-each:.4g}" for each in np.linspace(0, 4, 33)]
    found = lines._settings(Values("lr", "lr", rates, [*map(float, rates)]))
    np.testing.assert_allclose(found.places, np.linspace(1, 0, 33), atol=1e-3)
    assert len(found.ticks) < 20
    few = lines._settings(Values("lr", "lr", ["0.1", "1", "0.01"], [0.1, 1, 0.01]))
    assert few.places == [0.5, 1.0, 0.0]


CASES = [*itertools.product(("search", "importance", "slices"), ("figure",)), ("importance", "table")]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_captions_are_short_with_rungs_and_without(whole, stopped, name, kind):
    studies = [whole[2], stopped[2], {key: value for key, value in stopped[2].items() if key != "halving"}]
    said = [StudyOutput(kind, name, name, {}).caption(study) for study in studies]
    assert all(len(caption.short().split()) <= 40 for caption in said) and said[0] != said[1]
    assert all(caption.notes.endswith(".") for caption in said) and (said[1] != said[2]) == (name == "search")


def test_a_stop_is_told_by_configuration(stopped):
    _, _, study = stopped
    found = rungs.of_configurations(study)
    assert len(found) == 27 - KEPT and set(found) < set(configurations(study).values())
    assert rungs.reached_by_all(study) == RUNG and len(rungs.compared_trainings(study)) == 27 * REPEATS


def test_what_diverged_was_stopped_at_no_score_and_sets_no_epoch(stopped):
    *_, study = stopped
    (rung,) = study["rungs"]
    early = {"runs": rung["candidates"][0]["runs"], "mean": None, "kept": False}
    others = rung | {"candidates": rung["candidates"][1:]}
    rung = [{"epochs": 1, "of": disk.EPOCHS, "candidates": [early]}, others]
    assert rungs.reached_by_all(study | {"rungs": rung}) == RUNG
    assert rungs.reached_by_all(study | {"rungs": rung[:1]}) is None
