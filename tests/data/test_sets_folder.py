"""Folders of images whose layout would mislead: refused before an image is read."""

import os

import pytest
from pydantic import TypeAdapter

from espalier.data.prepared import DataError
from espalier.settings.registry import choice
from support.published_files import folder


def built(root, **settings):
    return TypeAdapter(choice("dataset")).validate_python({"name": "folder", "path": ".", **settings}).build(root)


@pytest.mark.parametrize("names", [("train", "training"), ("Test", "Train"), ("testing", "training"), ("test", "val")])
def test_splits_under_other_names_are_not_taken_for_classes(names, tmp_path):
    for name in names:
        folder(tmp_path / name)
    with pytest.raises(DataError, match=f"{names[0]}, {names[1]} are no classes; call them train, val and test"):
        built(tmp_path)


@pytest.mark.parametrize("link", ["ash/again", "ash/up", "beech/ash", "elm"])
def test_a_folder_that_links_reach_twice_would_put_images_into_several_splits(link, tmp_path):
    folder(tmp_path / "trees")
    target = {"again": ".", "up": ".."}.get(link.rpartition("/")[2], tmp_path / "trees/ash")
    (tmp_path / "trees" / link).symlink_to(target, target_is_directory=True)
    with pytest.raises(DataError, match="is the same folder as"):
        built(tmp_path / "trees")


def test_a_test_folder_that_is_the_training_folder_is_refused(tmp_path):
    folder(tmp_path / "train")
    (tmp_path / "test").symlink_to("train", target_is_directory=True)
    with pytest.raises(DataError, match="is the same folder as"):
        built(tmp_path)


def test_a_class_whose_name_is_no_text_is_refused(tmp_path):
    folder(tmp_path)
    (tmp_path / "ash").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    with pytest.raises(DataError, match=r"'\\udcff' is not UTF-8"):
        built(tmp_path)


def test_a_number_that_is_another_classs_name_is_refused(tmp_path):
    folder(tmp_path, ("1", "10", "2"))
    with pytest.raises(DataError, match="1 is the number of class 10 and the name of another"):
        built(tmp_path, keep=[1, 2])
    assert built(tmp_path, keep=["1", "2"]).classes == ("1", "2")


def test_a_validation_fraction_beside_a_validation_folder_is_refused(tmp_path):
    for part in ("train", "val", "test"):
        folder(tmp_path / part)
    with pytest.raises(DataError, match=r"dataset\.validation 0\.2 contradicts"):
        built(tmp_path, validation=0.2)
