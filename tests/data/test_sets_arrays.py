"""Own images of any channels, in one .npz file."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from espalier.data.prepared import Prepared, write
from espalier.errors import DataError
from espalier.settings.registry import choice

LABELS = np.arange(60) % 3


def pixels(count=60, channels=2, side=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def built(folder, found, **settings):
    np.savez(folder / "own.npz", **found)
    words = {"name": "arrays", "path": "own.npz", "channels": 2, "image_size": 10, **settings}
    return TypeAdapter(choice("dataset")).validate_python(words).build(folder)


def parts(**more):
    return {
        "train_images": pixels(40),
        "train_labels": LABELS[:40],
        "test_images": pixels(20, seed=1),
        "test_labels": LABELS[40:],
        **more,
    }


def test_images_without_parts_are_split_and_keep_their_channels(tmp_path):
    own = pixels()
    dataset = built(tmp_path, {"images": own, "labels": LABELS})
    assert dataset.images.shape == (60, 2, 10, 10)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 48, "validation": 6, "test": 6}
    assert dataset.classes == ("0", "1", "2")
    metadata = write(tmp_path / "own.safetensors", dataset, {})
    read = Prepared.read(tmp_path / "own.safetensors", ("train", "test"))
    for split in read.splits.values():
        assert np.array_equal(split.images.permute(0, 2, 3, 1), own[split.indices])
        assert torch.equal(split.labels, torch.from_numpy(LABELS)[split.indices])
    train = own[read.splits["train"].indices] / 255
    assert metadata["mean"] == pytest.approx(train.mean((0, 1, 2)).tolist())
    assert metadata["std"] == pytest.approx(train.std((0, 1, 2)).tolist())


def test_parts_are_those_of_medmnist_with_names_of_classes(tmp_path):
    found = parts(
        val_images=pixels(9, seed=2), val_labels=LABELS[:9, None], classes=np.array(["ash", "beech", "cedar"])
    )
    dataset = built(tmp_path, found, keep=["cedar", "ash"])
    assert dataset.classes == ("cedar", "ash")
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 27, "validation": 6, "test": 13}
    places = dataset.splits["validation"].numpy()
    assert np.array_equal(dataset.images.image(int(places[0])), found["val_images"][places[0] - 40])


def test_validation_is_cut_from_train_where_the_file_has_none_and_gray_needs_no_last_axis(tmp_path):
    gray = {name: each[..., 0] if "images" in name else each for name, each in parts().items()}
    dataset = built(tmp_path, gray, channels=1, validation=0.25, image_size=5)
    assert dataset.images.shape == (60, 1, 5, 5)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 30, "validation": 10, "test": 20}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            {"images": pixels(channels=3), "labels": LABELS},
            "dataset.channels is 2, and images of .*own.npz has 3; set it",
        ),
        ({"images": pixels().astype(np.uint16), "labels": LABELS}, "images is uint16, not uint8; bring it to 8 bits"),
        ({"images": pixels() / 255, "labels": LABELS}, "images is float64, not uint8"),
        ({"images": pixels().reshape(60, -1), "labels": LABELS}, r"images is \(60, 200\); it must be \(N, H, W\) or"),
        ({"images": pixels(), "labels": LABELS[:59]}, "60 images need as many whole numbers"),
        ({"images": pixels(), "labels": LABELS / 2}, "labels is float64"),
        ({"images": pixels(), "labels": LABELS - 1}, "labels begins at -1; number classes from 0"),
        ({"images": pixels()}, "has no array labels, but images"),
        ({"x_train": pixels()}, "has no array images, but x_train"),
        (
            {"images": pixels(), "labels": LABELS, "classes": np.array(["ash", "beech"])},
            "a name of its own for each label",
        ),
        (parts(test_images=pixels(20, side=11)), "the parts have images of several shapes"),
        ({"images": np.array([{}]), "labels": LABELS}, "cannot be read as .npz without pickles"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_mend(found, message, tmp_path):
    with pytest.raises(DataError, match=message):
        built(tmp_path, found)


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4 cut short", b"\x93NUMPY"])
def test_a_file_that_is_no_archive_is_told(content, tmp_path):
    if content is not None:
        (tmp_path / "own.npz").write_bytes(content)
    asked = {"name": "arrays", "path": "own.npz", "channels": 2}
    with pytest.raises(DataError, match=r"own\.npz: cannot be read as \.npz"):
        TypeAdapter(choice("dataset")).validate_python(asked).build(tmp_path)


def test_one_array_alone_is_no_archive(tmp_path):
    np.save(tmp_path / "own.npy", pixels())
    asked = {"name": "arrays", "path": "own.npy", "channels": 2}
    with pytest.raises(DataError, match=r"own\.npy: cannot be read as \.npz"):
        TypeAdapter(choice("dataset")).validate_python(asked).build(tmp_path)
