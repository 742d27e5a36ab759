"""Pickled batches of images: read where they are plain arrays, refused where they are anything else."""

import os
import pickle

import numpy as np
import pytest

from espalier.data import pickled_batch
from espalier.errors import DataError

IMAGES = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
FLAT = IMAGES.transpose(0, 3, 1, 2).reshape(2, -1)


def written(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ({b"data": FLAT, b"ids": np.array([7, 3])}, [7, 3]),
        ({"data": IMAGES, "ids": ["a", "b"]}, ["a", "b"]),
        ({"data": IMAGES.transpose(0, 3, 1, 2), "filenames": [b"x.png", b"y.png"]}, ["x.png", "y.png"]),
        ({"data": FLAT, "labels": [1, 2], "batch_label": "testing batch"}, [0, 1]),
        (IMAGES, [0, 1]),
    ],
)
def test_images_and_ids_are_those_of_the_file(content, ids, protocol, tmp_path):
    found = pickled_batch.read(written(tmp_path / "b.pkl", content, protocol))
    assert found.ids == ids and np.array_equal(found.images, IMAGES)


def test_grey_images_have_one_channel(tmp_path):
    found = pickled_batch.read(written(tmp_path / "b.pkl", {"data": np.zeros((5, 16), np.uint8)}))
    assert found.images.shape == (5, 4, 4, 1)


class Shell:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": Shell()}, "it asks for posix.system, which is no array"),
        ({"data": np.zeros((2, 48))}, "an array of float64"),
        ({"data": np.array([Shell()], dtype=object)}, "which is no array"),
        ({"data": [[1, 2]]}, "its data are list"),
        ({"data": np.zeros((2, 50), np.uint8)}, r"the shape \(2, 50\)"),
        ({"data": np.zeros((2, 4, 4, 2), np.uint8)}, "none of images of 1 or 3 channels"),
        ({"images": IMAGES}, "holds no data; its keys are images"),
        ({"data": IMAGES, "ids": [1]}, "has 2 images and 1 id"),
    ],
)
def test_what_is_no_plain_batch_is_refused(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"b.pkl: .*{message}"):
        pickled_batch.read(written(tmp_path / "b.pkl", content))
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:40], lambda data: b"", lambda data: b"\x80\x04garbage"])
def test_a_damaged_file_is_told(damage, tmp_path):
    path = written(tmp_path / "b.pkl", {"data": IMAGES})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"b\.pkl: cannot be read as plain arrays"):
        pickled_batch.read(path)
    with pytest.raises(DataError, match="cannot be read as plain arrays"):
        pickled_batch.read(tmp_path / "none.pkl")
