import csv
import json

import numpy as np
import pandas as pd
import pytest

from espalier.errors import ArtifactError, Mistake
from espalier.results.read import tidy
from espalier.results.read.planned_study import along, baseline_number, configurations, read, short_names
from espalier.runs.columns import HISTORY
from espalier.runs.spoken_name import spoken_name
from support import study_on_disk as disk


@pytest.fixture
def finished(tmp_path):
    study = disk.plan()
    disk.finish(tmp_path, study)
    return tmp_path, study


def one_row(path):
    with path.open() as file:
        return next(csv.DictReader(file))


def test_a_row_a_point_with_the_numbers_on_disk(finished):
    root, study = finished
    frame = tidy.runs(study, root)
    assert len(frame) == len(study["points"]) == 21
    for row, point in zip(frame.to_dict("records"), study["points"], strict=True):
        assert {stage: row[f"run.{stage}"] for stage in point["runs"]} == point["runs"]
        names = {stage: spoken_name(id_) for stage, id_ in point["runs"].items() if stage != "prepare"}
        assert {key: row[key] for key in row if key.startswith("spoken.")} == {
            f"spoken.{stage}": name for stage, name in names.items()
        }
        folders = {stage: study["runs"][id_]["path"] for stage, id_ in point["runs"].items()}
        assert {stage: row[f"folder.{stage}"] for stage in point["runs"]} == folders
        assert {axis: row[f"label.{axis}"] for axis in study["axes"]} == point["labels"]
        train = one_row(root / study["runs"][point["runs"]["train"]]["path"] / "metrics.csv")
        test = one_row(root / study["runs"][point["runs"]["evaluate"]]["path"] / "metrics.csv")
        assert row["validation_top1"] == float(train["validation_top1"])
        assert row["train_wall_s"] == float(train["wall_s"])
        assert row["evaluate_wall_s"] == float(test["wall_s"])
        assert row["test_top1"] == float(test["test_top1"])
        assert row["seed"] == point["repeat"]
    assert set(frame["state"]) == {"done"}


def test_settings_that_vary_are_columns_and_others_are_not(finished):
    root, study = finished
    frame = tidy.runs(study, root)
    assert {"model.name", "model.channels", "augment", "train.optimizer.name", "train.optimizer.lr"} <= set(frame)
    assert "train.epochs" not in frame
    cutout = frame[frame["label.augment"] == "crop + cutout"]
    assert json.loads(cutout["augment"].iloc[0]) == [{"name": "crop"}, {"name": "cutout"}]


def test_a_setting_that_only_some_runs_have_varies(finished):
    root, study = finished
    first = study["points"][0]["runs"]["train"]
    study["runs"][first]["settings"]["train.optimizer.momentum"] = 0.9
    frame = tidy.runs(study, root)
    assert frame["train.optimizer.momentum"].notna().sum() == 1


def test_partial_studies_have_empty_cells_and_states(finished):
    root, study = finished
    for index, state in enumerate(("failed", "running", "lost", "waiting")):
        runs = study["points"][index]["runs"]
        disk.undo(root, study["runs"][runs["evaluate"]], "waiting")
        disk.undo(root, study["runs"][runs["train"]], state)
    disk.undo(root, study["runs"][study["points"][4]["runs"]["evaluate"]], "waiting")
    frame = tidy.runs(study, root)
    assert frame["state"].tolist()[:6] == ["failed", "running", "lost", "waiting", "waiting", "done"]
    assert frame["test_top1"].isna().tolist()[:6] == [True] * 5 + [False]
    # The trained network of the fifth point is there though its test is not.
    assert frame["validation_top1"].notna().tolist()[:6] == [False] * 4 + [True, True]


def test_a_diverged_chain_has_its_history_and_no_numbers(finished):
    root, study = finished
    point = study["points"][0]
    disk.diverge(root, study, point)
    first = tidy.runs(study, root).iloc[0]
    assert first["state"] == "diverged"
    assert first[["validation_top1", "test_top1", "train_wall_s"]].isna().all()
    assert (tidy.history(study, root)["run"] == point["runs"]["train"]).sum() == disk.EPOCHS


@pytest.mark.parametrize("file", ["run.json", "metrics.csv"])
def test_no_frame_is_made_of_damaged_runs(finished, file):
    root, study = finished
    folder = root / study["runs"][study["points"][0]["runs"]["train"]]["path"]
    (folder / file).write_text((folder / file).read_text().replace("5", "6"))
    with pytest.raises(ArtifactError, match=rf"{file}: it is damaged.*espalier forget {folder.name}"):
        tidy.runs(study, root)


def test_a_changed_history_is_told(finished):
    root, study = finished
    folder = root / study["runs"][study["points"][0]["runs"]["train"]]["path"]
    (folder / "history.csv").write_text((folder / "history.csv").read_text().replace("5", "6"))
    with pytest.raises(ArtifactError, match=rf"history\.csv: it is damaged.*espalier forget {folder.name}"):
        tidy.history(study, root)


def test_a_plan_without_any_run_gives_numeric_empty_columns(tmp_path):
    study = disk.plan()
    frame = tidy.runs(study, tmp_path)
    assert set(frame["state"]) == {"waiting"}
    assert pd.api.types.is_float_dtype(frame["test_top1"])
    assert frame["test_top1"].isna().all()
    assert tidy.history(study, tmp_path).empty


def test_csv_gives_the_frame_back(finished, tmp_path):
    root, study = finished
    frame = tidy.runs(study, root)
    tidy.write_runs(tmp_path / "runs.csv", frame)
    again = pd.read_csv(
        tmp_path / "runs.csv", dtype={f"run.{stage}": str for stage in ("prepare", "train", "evaluate")}
    )
    assert list(again) == list(frame)
    np.testing.assert_array_equal(again["test_top1"], frame["test_top1"])


@pytest.mark.parametrize("torn", ["7,0.1,0.2", "7,0.1,0.2,93,0.2,94,99,8000,0."])
def test_history_is_long_and_leaves_a_torn_last_line_out(finished, torn):
    root, study = finished
    train = study["points"][0]["runs"]["train"]
    path = root / study["runs"][train]["path"] / "history.csv"
    rows = list(csv.DictReader(path.open()))
    path.write_text(path.read_text() + torn)
    (path.parent / "run.json").unlink()
    history = tidy.history(study, root)
    assert tuple(history.columns) == ("run", *HISTORY)
    assert len(history) == 21 * disk.EPOCHS
    own = history[history["run"] == train]
    assert own["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert own["validation_loss"].tolist() == [float(row["validation_loss"]) for row in rows]


def test_an_id_that_looks_like_a_number_stays_an_id(tmp_path):
    study = disk.plan([dict(disk.BASELINE)], repeats=1)
    old = study["points"][0]["runs"]["train"]
    text = json.dumps(study).replace(old, "1234567e10")
    study = json.loads(text)
    disk.finish(tmp_path, study)
    assert tidy.history(study, tmp_path)["run"].unique().tolist() == ["1234567e10"]
    assert tidy.runs(study, tmp_path)["run.train"].tolist() == ["1234567e10"]


def test_comparison_along_an_axis_changes_that_axis_alone():
    study = disk.plan(disk.product())
    chosen, alone = along(study, "model")
    names = {number: labels for labels, number in configurations(study).items()}
    assert alone
    assert {names[number] for number in chosen} == {(model, "crop", "SGD") for model in disk.AXES["model"]}


def test_without_a_baseline_in_the_grid_everything_is_compared():
    study = disk.plan(disk.product(), baseline=None)
    assert along(study, "model") == (set(range(27)), False)
    study = disk.plan(disk.product(), baseline=dict(disk.BASELINE) | {"augment": "elsewhere"})
    assert along(study, "model") == (set(range(27)), False)
    assert baseline_number(study) is None


def test_short_names_tell_what_differs_from_the_baseline():
    names = short_names(disk.plan())
    assert set(names.values()) >= {"baseline", "LeNet", "AdamW", "augment none", "crop + cutout"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"study": "x"}'])
def test_a_broken_plan_is_one_clear_error(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(Mistake, match=r"plan\.json"):
        read(path)
