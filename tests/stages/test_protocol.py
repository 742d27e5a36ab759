"""protocol: where the epoch is chosen. Under clean no stage before evaluate sees a test image; published says so."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from espalier.data import header
from espalier.data.prepared import Dataset, Prepared, write
from espalier.data.splits import published
from espalier.errors import DataError
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.read import tidy
from espalier.results.study_outputs import outputs_of
from espalier.results.tables import optimism
from espalier.settings.problems import StudyError
from espalier.stages.frame.command_line import main
from support import study_on_disk as disk

STUDY = """
title: How much does it matter where the epoch is chosen?
dataset: {name: stand_in, image_size: 8}
model: {name: mlp, hidden: [8]}
train: {epochs: 3, batch_size: 32, optimizer: {name: sgd, lr: 0.05}, scheduler: constant}
repeats: 2
grid: {product: {protocol: [clean, published], model.hidden: [[8], [12]]}}
tables: [optimism, summary]
figures: [{name: by_axis, axis: protocol}]
"""


def plan(tmp_path, text=STUDY, **overrides):
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config/asked.yaml").write_text(text)
    return build(["asked"], tmp_path / "config", overrides)


def as_results_see_it(planned):
    return json.loads(json.dumps(manifest(planned.studies["asked"])))


def dataset(**changes):
    images = torch.arange(6 * 3 * 4 * 4).reshape(6, 3, 4, 4).to(torch.uint8)
    splits = {"train": torch.tensor([5, 0]), "validation": torch.tensor([3, 1]), "test": torch.tensor([2, 4])}
    return Dataset(images, torch.tensor([0, 1, 0, 1, 0, 1]), splits, ("a", "b"), **changes)


def test_under_published_the_validation_split_is_the_test_split_and_all_else_trains(tmp_path):
    write(tmp_path / "clean-0000000001.safetensors", dataset(), {})
    write(tmp_path / "published-0000000002.safetensors", published(dataset()), {})
    clean, optimistic = (
        Prepared.read(tmp_path / name, ("train", "validation", "test"))
        for name in ("clean-0000000001.safetensors", "published-0000000002.safetensors")
    )
    assert clean.splits["train"].indices.tolist() == [5, 0]
    assert clean.splits["validation"].indices.tolist() == [3, 1]
    assert optimistic.splits["train"].indices.tolist() == [0, 1, 3, 5]
    assert torch.equal(optimistic.splits["validation"].images, clean.splits["test"].images)
    assert torch.equal(optimistic.splits["test"].images, clean.splits["test"].images)
    assert (clean.protocol, optimistic.protocol) == ("clean", "published")
    assert "protocol" not in header.read(clean.path) and header.read(optimistic.path)["protocol"] == "published"


def test_without_the_word_a_test_image_cannot_be_a_validation_image(tmp_path):
    splits = dataset().splits | {"validation": torch.tensor([2, 4])}
    with pytest.raises(DataError, match="in two splits"):
        write(tmp_path / "x.safetensors", Dataset(dataset().images, dataset().labels, splits, ("a", "b")), {})
    with pytest.raises(DataError, match="must be the test split"):
        write(tmp_path / "x.safetensors", dataset(protocol="published"), {})
    assert not list(tmp_path.iterdir())


def test_the_default_changes_no_id_and_published_changes_all(tmp_path):
    text = STUDY.partition("tables:")[0].replace("protocol: [clean, published], ", "")
    default, clean, other = (
        plan(tmp_path, text, **given) for given in ({}, {"protocol": "clean"}, {"protocol": "published"})
    )
    assert default.runs == clean.runs
    for stage in ("prepare", "train", "evaluate"):
        assert len(default.runs[stage]) == len(other.runs[stage])
        assert not set(default.runs[stage]) & set(other.runs[stage])
    # Settings of training are the same: its code cannot know.
    assert {run.spec for run in default.runs["train"].values()} == {run.spec for run in other.runs["train"].values()}
    (prepared,) = other.runs["prepare"].values()
    assert "protocol=published" in prepared.words


def test_part_of_the_training_images_and_published_contradict_each_other(tmp_path):
    text = STUDY.replace("{name: stand_in, image_size: 8}", "{name: cifar10, fraction: 0.5}")
    with pytest.raises(StudyError, match=r"protocol: published trains on all images .* leave dataset\.fraction out"):
        plan(tmp_path, text)


def test_a_table_of_optimism_needs_both_protocols(tmp_path):
    with pytest.raises(StudyError, match="unknown axis 'protocol'"):
        plan(tmp_path, STUDY.replace("protocol: [clean, published], ", ""))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The study's chains, run to their ends."""
    root = tmp_path_factory.mktemp("ran")
    found = plan(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for runs in found.runs.values():
            for one in runs.values():
                patch.setattr("sys.argv", ["stage.py", *one.command[2:]])
                main()
    return root, found


def test_runs_say_of_themselves_that_they_are_optimistic(ran):
    root, found = ran
    for stage in ("train", "evaluate"):
        for one in found.runs[stage].values():
            record = json.loads((root / one.path / "run.json").read_text())
            optimistic = one.data.spec.protocol == "published"
            assert record["data"].get("protocol") == ("published" if optimistic else None)
            assert ("accuracy" in record["data"]) is optimistic
            log = (root / one.path / "run.log").read_text()
            assert ("validation split is the test split" in log) is (optimistic and stage == "train")


def test_the_epoch_of_published_is_the_best_one_on_the_test_split(ran, monkeypatch):
    root, found = ran
    monkeypatch.chdir(root)
    study = as_results_see_it(found)
    frame = tidy.runs(study)
    assert set(frame["state"]) == {"done"}
    optimistic = frame[frame["protocol"] == "published"]
    assert optimistic["validation_top1"].tolist() == pytest.approx(optimistic["test_top1"].tolist())
    clean = frame[frame["protocol"] == "clean"]
    history = tidy.history(study)
    for _, row in optimistic.iterrows():
        epochs = history[history["run"] == row["run.train"]]
        assert row["test_top1"] == pytest.approx(epochs["validation_top1"].max())
    assert len(clean) == len(optimistic) == 4


def test_optimism_is_the_difference_seed_by_seed_with_its_interval(ran, monkeypatch):
    root, found = ran
    monkeypatch.chdir(root)
    study = as_results_see_it(found)
    frame = tidy.runs(study)
    made, summary = (item.make(frame, study) for item in outputs_of(study, "table"))
    assert made.data["model.hidden"].tolist() == ["8", "12"]
    for label, row in zip(("8", "12"), made.data.to_dict("records"), strict=True):
        here = frame[frame["label.model.hidden"] == label]
        arms = [
            here[here["protocol"] == name].sort_values("seed")["test_top1"].to_numpy()
            for name in ("clean", "published")
        ]
        difference = arms[1] - arms[0]
        assert row["difference"] == pytest.approx(difference.mean())
        low, high = stats.ttest_rel(arms[1], arms[0]).confidence_interval(0.95)
        if difference.std():
            assert (row["difference_low"], row["difference_high"]) == (pytest.approx(low), pytest.approx(high))
        assert (row["n"], row["paired"]) == (2, 1)
    assert made.printed["n"].tolist() == ["2 pairs"] * 2
    assert "Where the protocol is published: best epoch on the test split: optimistic" in summary.caption.whole()
    assert set(summary.printed["Protocol"]) == {"clean", "published *"}
    (figure,) = outputs_of(study, "figure")
    assert "optimistic" in figure.caption(study).whole()


def test_without_equal_seeds_the_interval_is_that_of_the_means():
    clean, other = pd.Series([90.0, 91.0, 92.5], index=[0, 1, 2]), pd.Series([93.0, 93.5], index=[0, 1])
    row = optimism._row(clean, other)
    low, high = stats.ttest_ind(other, clean, equal_var=False).confidence_interval(0.95)
    assert (row["difference"], row["paired"]) == (pytest.approx(other.mean() - clean.mean()), 0)
    assert (row["difference_low"], row["difference_high"]) == (pytest.approx(low), pytest.approx(high))
    one = optimism._row(clean, other[:1])
    assert np.isnan(one["difference_low"])


def test_where_all_is_optimistic_every_accuracy_bears_the_mark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = disk.plan()
    data = next(run for run in study["runs"].values() if run["stage"] == "prepare")
    data["settings"] |= {"protocol": "published", "dataset.split": "80/10/10"}
    disk.finish(tmp_path, study)
    frame = tidy.runs(study)
    assert set(frame["protocol"]) == {"published"}
    for item in outputs_of(study, "table"):
        made = item.make(frame, study)
        heads = [head for head in made.printed if "top-1" in head or "top-5" in head]
        assert heads and all(head.endswith(" *") for head in heads)
        assert "* Protocol published: best epoch on the test split: optimistic." in made.caption.whole()
        assert "chosen on the validation split" not in made.caption.whole()
        assert "a stratified 80/10/10 of all images" in made.caption.whole()


def test_the_second_split_of_a_report_can_be_chosen_and_is_named(tmp_path):
    text = STUDY.replace("{name: stand_in, image_size: 8}", "{name: cifar10, split: 80/10/10}")
    study = as_results_see_it(plan(tmp_path, text))
    assert all(
        "a stratified 80/10/10 of all images" in item.caption(study).whole() for item in outputs_of(study, "table")
    )
    text = STUDY.replace("{name: stand_in, image_size: 8}", "cifar10").replace(
        "model.hidden: [[8], [12]]", "dataset.split: [official, 80/10/10]"
    )
    study = as_results_see_it(plan(tmp_path, text))
    assert {point["labels"]["dataset.split"] for point in study["points"]} == {"official", "80/10/10"}
