"""Ids: made from what determines a result, and from nothing else."""

import pytest

from espalier.plan.build import build
from espalier.plan.runs import Run
from espalier.settings.problems import StudyError
from espalier.settings.words import parse
from espalier.stages import STAGES

BASE = "title: a study\ndataset: digits\nmodel: resnet\n"


def train(*words):
    return Run(
        "train",
        parse(STAGES["train"].settings, ["model.name=resnet", *words]),
        Run("prepare", parse(STAGES["prepare"].settings, ["dataset.name=digits"])),
    )


def test_a_setting_at_its_default_is_no_part_of_the_id():
    assert train().id == train("train.epochs=10", "train.optimizer.name=sgd", "model.blocks=[1, 1, 1]", "seed=0").id


@pytest.mark.parametrize(
    "word", ["seed=1", "train.epochs=11", "model.blocks=[1, 1]", "train.optimizer.lr=0.2", "augment=[pad_crop]"]
)
def test_every_other_setting_is(word):
    assert train(word).id != train().id


def test_the_order_of_augmentations_is_part_of_the_id():
    assert train("augment=[pad_crop, horizontal_flip]").id != train("augment=[horizontal_flip, pad_crop]").id


def test_the_parent_is_part_of_the_id():
    other = Run("prepare", parse(STAGES["prepare"].settings, ["dataset.name=digits", "dataset.image_size=32"]))
    assert Run("train", train().spec, other).id != train().id


def test_known_ids_stay():
    """A changed id trains a user's whole grid again. If a default had to change, say so in the release notes."""
    assert Run("prepare", parse(STAGES["prepare"].settings, ["dataset.name=digits"])).id == PREPARE
    assert train("train.optimizer.name=adam", "train.optimizer.lr=0.01", "seed=3").id == TRAIN


PREPARE = "254ab86e47"
TRAIN = "1a17f645b3"


@pytest.mark.parametrize(
    ("words", "prepare"),
    [
        (["dataset.name=cifar10"], "3e7fbb3cd7"),
        (["dataset.name=stand_in"], "2717d665f3"),
        (["dataset.name=folder", "dataset.path=x"], "582d6f5f71"),
    ],
)
def test_ids_of_colour_images_are_those_from_before_gray_ones_had_one_channel(words, prepare):
    assert Run("prepare", parse(STAGES["prepare"].settings, words)).id == prepare


@pytest.mark.parametrize(
    ("words", "before"),
    [
        (["dataset.name=digits"], "2913824e76"),
        (["dataset.name=mnist"], "fc358b9226"),
        (["dataset.name=cifar10", "dataset.grayscale=true"], "8cb32120f7"),
    ],
)
def test_gray_images_of_one_channel_are_not_taken_for_those_of_three_equal_ones(words, before):
    assert Run("prepare", parse(STAGES["prepare"].settings, words)).id != before


def test_names_carry_a_readable_slug():
    assert train("seed=4").name.startswith("resnet-sgd-s4-")
    assert train().path == f"results/runs/train/{train().name}"


def test_two_runs_of_one_id_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text(BASE + "grid: {product: {train.epochs: [1, 2]}}\n")
    monkeypatch.setattr(Run, "name", "resnet-sgd-s0-0123456789")
    with pytest.raises(StudyError, match="two runs share this id"):
        build(["a"], tmp_path)


def test_studies_share_runs(tmp_path):
    (tmp_path / "a.yaml").write_text(BASE + "grid: {product: {train.epochs: [1, 2]}}\n")
    (tmp_path / "b.yaml").write_text(BASE.replace("a study", "another") + "grid: {product: {train.epochs: [2, 3]}}\n")
    plan = build(["a", "b"], tmp_path)
    assert {stage: len(runs) for stage, runs in plan.runs.items() if runs} == {"prepare": 1, "train": 3, "evaluate": 3}
    assert "12 runs asked, 7 unique" in plan.summary()
