"""Tables and figures of a study whose networks are trained, extended and pruned, all of them for real."""

import json
import shutil
from pathlib import Path

import pytest

from espalier.plan import model_counts
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.compare.comparison import grouped
from espalier.results.compare.costs import costs
from espalier.results.read import tidy, trainings
from espalier.results.read.bit_cells import metrics, number
from espalier.results.read.stage_networks import until
from espalier.results.study_outputs import StudyOutput
from espalier.stages import STAGES
from support import digits_runs
from support.made_results import made

STUDY = """title: longer, and pruned
dataset: digits
model: {name: mlp, hidden: [16]}
train: {epochs: 2}
fine_tune: {epochs: 1}
grid:
  product:
    extend: {no: null, longer: {epochs: 3, optimizer: {name: sgd, lr: 0.01}}}
    prune: {no: null, half: {name: magnitude, ratio: 0.5}}
"""


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    """The study, made in the folder in which this process is while the module's tests run."""
    root = tmp_path_factory.mktemp("extended")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(model_counts, "CACHE", root / "counts.json")
        Path("s.yaml").write_text(STUDY)
        planned = build(["s"], Path()).studies["s"]
        for run in planned.runs.values():
            Path(run.path).parent.mkdir(parents=True, exist_ok=True)
            if run.parent is None:
                shutil.copy(digits, run.path)
                continue
            parents = tuple(Path(each.path) for each in run.networks)
            digits_runs.made(Path(run.path), digits, *run.words, stage=run.stage, parents=parents)
        yield json.loads(json.dumps(manifest(planned)))


def chain(study, extend, prune):
    """The runs (stage → id) of a point."""
    (found,) = [each["runs"] for each in study["points"] if each["labels"] == {"extend": extend, "prune": prune}]
    return found


def measured(study, run, column):
    return number(metrics(study, run), column)


def test_accounting_shows_the_extension_between_the_original_and_the_pruned_network(study):
    data = made("table", "accounting", study).data
    rows = data[(data["extend"] == "longer") & (data["prune"] == "half")].set_index("stage")
    assert rows.index.tolist() == ["original", "extended", "pruned"]
    own = measured(study, chain(study, "longer", "half")["extend"], "validation_top1")
    assert rows.loc["extended", "validation_top1_mean"] == pytest.approx(own)
    # A trained network has no zeros to speak of, and its file is as large as the one before.
    assert rows.loc["extended", "nonzeros"] == rows.loc["extended", "params"] == rows.loc["original", "params"]
    assert rows.loc["extended", "file_ratio"] == pytest.approx(1.0)
    assert rows["test_top1_mean"].notna().all()


def test_pruned_networks_stand_beside_the_one_that_they_were_made_of(study):
    data = made("table", "pruning", study).data.set_index("extend")
    for extend in ("no", "longer"):
        bare, half = (measured(study, chain(study, extend, prune)["evaluate"], "test_top1") for prune in ("no", "half"))
        assert data.loc[extend, "change_mean"] == pytest.approx(half - bare), extend
    assert data.loc["no", "change_mean"] != data.loc["longer", "change_mean"]


def test_a_line_of_pruning_begins_with_the_network_before_it(study):
    frame = tidy.runs(study)
    # As if channels had been removed.
    frame.loc[frame["run.prune"].notna(), "params_left"] = 50.0
    (panel,) = StudyOutput("figure", "reduction", "reduction", {}).make(frame, tidy.history(study), study).axes
    means = frame.groupby(["label.extend", "label.prune"])["test_top1"].mean()
    found = [tuple(line.get_ydata()) for line in panel.lines if line.get_gid() == "line" and len(line.get_xdata()) == 2]
    expected = [(means[extend, "no"], means[extend, "half"]) for extend in ("no", "longer")]
    assert sorted(found) == [pytest.approx(each) for each in sorted(expected)]


def test_a_network_of_which_nothing_was_pruned_stands_beside_no_pruned_ones(study):
    points = [each for each in study["points"] if each["labels"] != {"extend": "no", "prune": "half"}]
    (panel,) = made("figure", "compression", study | {"points": points}).axes
    marks = [value for line in panel.lines if line.get_gid() is None for value in line.get_ydata()]
    tested = [measured(study, chain(study, "longer", prune)["evaluate"], "test_top1") for prune in ("no", "half")]
    assert sorted(marks) == pytest.approx(sorted(tested))


def test_latency_of_a_trained_network_is_that_measured_beside_what_was_made_of_it(study):
    frame = tidy.runs(study)
    found = costs(frame, study, "latency_1")
    for place, row in frame.iterrows():
        if row["label.prune"] == "half":
            continue
        same = (frame["label.prune"] == "half") & (frame["label.extend"] == row["label.extend"])
        (own,) = frame[same].to_dict("records")
        assert found[place] == pytest.approx(own["latency_1_ms"] * own["speedup_1"])


def test_time_of_training_is_that_of_both(study):
    frame = tidy.runs(study)
    data = grouped(frame, "label.extend", study)["train_wall_s_mean"]
    alone, more = (measured(study, chain(study, "longer", "no")[stage], "wall_s") for stage in ("train", "extend"))
    assert data["no"] == pytest.approx(alone) and data["longer"] == pytest.approx(alone + more)
    assert (costs(frame, study, "train_time") == trainings.wall_s(frame)).all()


def test_the_network_before_pruning_is_asked_for_by_the_checklist(study):
    asked = "Accuracy of the same network before pruning"
    data = made("table", "checklist", study).data.set_index("asked")
    assert data.loc[asked, "found"] == "2 of 2 trained networks that were pruned"
    points = [each for each in study["points"] if each["labels"] != {"extend": "longer", "prune": "no"}]
    data = made("table", "checklist", study | {"points": points}).data.set_index("asked")
    assert data.loc[asked, "found"] == "1 of 2 trained networks that were pruned"


@pytest.mark.parametrize(("stage", "networks"), [("train", 1), ("extend", 2), ("prune", 4)])
def test_each_network_of_a_stage_is_one_configuration(study, stage, networks):
    frame, _ = until(tidy.runs(study), study, stage)
    assert frame["configuration"].nunique() == networks and set(frame["state"]) == {"done"}
    runs = {row[f"run.{stage}"]: row for row in frame.to_dict("records") if isinstance(row[f"run.{stage}"], str)}
    for run, row in runs.items():
        assert row["validation_top1"] == pytest.approx(measured(study, run, "validation_top1"))


def test_epochs_of_an_extension_stand_behind_those_of_its_training(study):
    frame, history = tidy.runs(study), tidy.history(study)
    longer = frame[frame["label.extend"] == "longer"]
    whole = trainings.with_extensions(history, longer)
    runs = chain(study, "longer", "half")
    own = whole[whole["run"] == runs["extend"]]
    parts = (history[history["run"] == runs[stage]] for stage in ("train", "extend"))
    expected = [value for part in parts for value in part["validation_loss"]]
    assert own["epoch"].tolist() == [1, 2, 3, 4, 5] and own["validation_loss"].tolist() == expected
    whole = trainings.with_extensions(history, frame)
    parts = (whole.loc[whole["run"] == runs[stage], "epoch"].tolist() for stage in ("train", "extend"))
    assert [*parts] == [[1, 2], [3, 4, 5]], "a training that is drawn itself is not hidden by the same line"


def test_an_extension_that_has_not_begun_has_no_curve(study):
    run, history = chain(study, "longer", "no")["extend"], tidy.history(study)
    whole = trainings.with_extensions(history[history["run"] != run], tidy.runs(study))
    assert len(whole) and not (whole["run"] == run).any()


def test_curves_go_on_through_the_extension(study):
    figure = made("figure", "curves", study, axis="extend")
    drawn = {tuple(line.get_xdata()) for line in figure.axes[1].lines}
    assert {(1, 2), (3, 4, 5)} <= drawn
    figure = made("figure", "all_curves", study, axis="extend")
    lines = [line for line in figure.axes[1].lines if line.get_gid() == "run"]
    assert sorted(tuple(line.get_xdata()) for line in lines) == [(1, 2), (3, 4, 5)]
    extended = [point for point in study["points"] if point["labels"]["extend"] == "longer"]
    baseline = {"extend": "longer", "prune": "no"}
    figure = made("figure", "curves", study | {"points": extended, "baseline": baseline})
    assert {tuple(line.get_xdata()) for line in figure.axes[1].lines} == {(1, 2, 3, 4, 5)}


@pytest.mark.parametrize("name", ["curves", "all_curves"])
def test_the_caption_says_where_an_extension_begins(study, name):
    said = "The epochs of an extension are drawn behind those of its training, from whose best one it goes on."
    asked = StudyOutput("figure", name, name, {})
    assert said in asked.caption(study).whole()
    without = [point for point in study["points"] if "extend" not in point["runs"]]
    assert said not in asked.caption(study | {"points": without}).whole()


def test_every_run_of_the_chain_is_done(study):
    stages = [each.name for each in STAGES.values() if each.name in tidy.stages(study)]
    assert stages == ["prepare", "train", "extend", "prune", "evaluate"]
    assert {state.name for state in tidy.states(study).values()} == {"done"}
