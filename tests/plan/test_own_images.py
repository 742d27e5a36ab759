"""A study's own images, seen before any job: what is missing, misleads, or does not suffice."""

import json

import pytest

from espalier.plan import build, own_images
from espalier.plan.build import StudyError
from espalier.plan.manifest import manifest
from espalier.results.read.planned_study import unit
from support.published_files import folder

STUDY = """
title: Own images
dataset: {{{dataset}}}
model: {{name: resnet, blocks: [1, 1], channels: [4, 8]}}
train: {{epochs: 1}}
grid: {{product: {{model.channels: [[4, 8], [8, 16]]}}}}
{more}
"""


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ESPALIER_DATA", raising=False)

    def plan(dataset, more="", **overrides):
        (tmp_path / "own.yaml").write_text(STUDY.format(dataset=dataset, more=more))
        return build.build(["own"], tmp_path, overrides)

    return plan


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("name: folder, path: nowhere", "own.yaml:3: dataset.path: nowhere: No such file or directory"),
        ("name: folder, path: trees/ash", "dataset.path: trees/ash: it holds 20 images and no folders"),
        ("name: folder, path: few", "too few images of elm (2): train, validation and test need one each"),
        ("name: table, file: none.csv", "dataset.file: none.csv: there is no such file"),
        ("name: table, file: labels.csv, label: kind", "unknown column 'kind'"),
    ],
)
def test_images_that_no_run_could_use_are_told_before_any_job(dataset, message, planned, tmp_path):
    folder(tmp_path / "trees")
    folder(tmp_path / "few", ("ash", "beech"))
    folder(tmp_path / "few", ("elm",), each=2)
    (tmp_path / "labels.csv").write_text("image,label\na.png,x\n")
    with pytest.raises(StudyError) as caught:
        planned(dataset)
    assert message in str(caught.value) and str(caught.value).count("\n") == 0
    # In small another data set stands for it.
    planned(dataset, scale="smoke")


def test_classes_are_counted_for_the_size_of_networks(planned, tmp_path):
    folder(tmp_path / "trees", tuple("abcdefg"))
    few = planned("name: folder, path: trees", "constraints: [params < 2e3]")
    folder(tmp_path / "trees", tuple(f"{number:03}" for number in range(250)), each=3)
    with pytest.raises(StudyError, match="no point is left"):
        planned("name: folder, path: trees", "constraints: [params < 2e3]")
    assert len(few.studies["own"].points) == 1
    with pytest.raises(StudyError, match=r"prune: .*ratio"):
        planned("name: folder, path: trees", "prune: {name: structured, ratio: 0.95}")


def test_a_folder_is_listed_again_only_where_it_has_changed(planned, tmp_path, monkeypatch):
    folder(tmp_path / "trees")
    planned("name: folder, path: trees")
    (listing,) = own_images.CACHE.glob("folder-*.json")
    assert json.loads(listing.read_text())["source"]["counts"] == {"all": [20, 20]}
    from espalier.data import own_images as read

    with monkeypatch.context() as patch:
        patch.setattr(read, "listed", lambda root: pytest.fail("listed again"))
        planned("name: folder, path: trees")
    (tmp_path / "trees/ash/000.png").unlink()
    planned("name: folder, path: trees")
    assert json.loads(listing.read_text())["source"]["counts"] == {"all": [19, 20]}
    listing.write_text("{")
    planned("name: folder, path: trees")


def test_what_is_prepared_needs_no_source(planned, tmp_path):
    folder(tmp_path / "trees")
    (run,) = planned("name: folder, path: trees").runs["prepare"].values()
    (tmp_path / "trees").rename(tmp_path / "gone")
    with pytest.raises(StudyError, match="No such file"):
        planned("name: folder, path: trees")
    (tmp_path / run.path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / run.path).touch()
    planned("name: folder, path: trees")


def test_images_lie_where_the_variable_says(planned, tmp_path, monkeypatch):
    folder(tmp_path / "far/trees")
    monkeypatch.setenv("ESPALIER_DATA", str(tmp_path / "far"))
    planned("name: folder, path: trees")


def test_folds_are_repeats_that_test_every_image_once(planned, tmp_path):
    folder(tmp_path / "trees")
    study = planned("name: folder, path: trees", "folds: 4\nrepeats: 2").studies["own"]
    assert len(study.points) == 2 * 8
    first = study.points[:8]
    found = [
        (run.spec.dataset.split.fold, run.spec.dataset.split_seed, point.runs["train"].spec.seed)
        for point in first
        for run in [point.runs["prepare"]]
    ]
    assert found == [(place % 4, place // 4, place) for place in range(8)]
    # Networks that are compared are tested on the same folds.
    assert [point.runs["prepare"] for point in study.points[8:]] == [point.runs["prepare"] for point in first]
    assert "2 repeats × 4 folds = 16 chains" in planned("name: folder, path: trees", "folds: 4\nrepeats: 2").summary()
    assert manifest(study)["repeats"] == 8 and unit(manifest(study)).startswith("folds")
    small = planned("name: folder, path: trees", "folds: 4", scale="smoke").studies["own-smoke"]
    assert len(small.points) == 2


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("name: digits", "folds: digits has its own splits; leave folds out"),
        ("name: folder, path: trees, split: 80/10/10", "folds: dataset.split says what is tested already"),
        (
            "name: folder, path: trees, split: {folds: 3, fold: 3}",
            "there is no fold 3; the 3 folds",
        ),
        ("name: folder, path: trees, split: {folds: 3}", "own.yaml:3: dataset.split.fold: missing"),
        (
            "name: folder, path: trees, split: tenths",
            "own.yaml:3: dataset.split: found 'tenths', expected 'official' or '80/10/10'",
        ),
    ],
)
def test_folds_that_cannot_be(dataset, message, planned, tmp_path):
    folder(tmp_path / "trees")
    with pytest.raises(StudyError) as caught:
        planned(dataset, "folds: 4")
    assert message in str(caught.value)
