import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from espalier.data.prepared import DataError
from espalier.data.sets.digits import digits
from espalier.data.splits import stratified


def test_all_1797_digits_are_there_once():
    dataset = digits(None)
    assert dataset.images.shape == (1797, 1, 16, 16)
    assert dataset.images.dtype == torch.uint8
    everything = torch.cat(list(dataset.splits.values()))
    assert torch.equal(everything.sort().values, torch.arange(1797))
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 1167, "validation": 270, "test": 360}
    assert torch.equal(dataset.labels, torch.from_numpy(load_digits().target))
    assert dataset.classes == tuple("0123456789")


def test_unresized_digits_are_the_source_on_a_scale_to_255():
    images = digits(None, image_size=8).images
    expected = torch.from_numpy(load_digits().images * 255 / 16).round().to(torch.uint8)
    assert torch.equal(images[:, 0], expected)


def test_resizing_is_bilinear():
    small, large = digits(None, image_size=8).images[:, 0].double(), digits(None, image_size=16).images[:, 0].double()
    inner = 0.75 * 0.75 * small[:, 3, 3] + 0.1875 * (small[:, 3, 4] + small[:, 4, 3]) + 0.0625 * small[:, 4, 4]
    assert (large[:, 7, 7] - inner).abs().max() <= 1
    assert torch.equal(large[:, 0, 0], small[:, 0, 0])


def test_every_class_has_its_share_of_every_split():
    dataset = digits(None)
    whole = np.bincount(dataset.labels) / 1797
    for part in dataset.splits.values():
        counts = np.bincount(dataset.labels[part])
        assert np.abs(counts - whole * len(part)).max() <= 1


def test_splits_follow_the_seed_and_the_test_split_the_seed_alone():
    one, again = digits(None, split_seed=3).splits, digits(None, split_seed=3, validation=0.3).splits
    other = digits(None, split_seed=4).splits
    assert torch.equal(one["test"], again["test"])
    assert len(again["validation"]) == 540
    assert not torch.equal(one["test"], other["test"])


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"validation": 0.5, "test": 0.5}, "leave nothing to train on"),
        ({"validation": 0.9, "test": 0.9}, "leave nothing to train on"),
        ({"validation": 0.0}, "dataset.validation is 0"),
        ({"test": 0.0}, "dataset.test is 0"),
        ({"validation": 0.001}, "2 of 1,437 images for validation are fewer than the 10 classes"),
        ({"validation": 0.7, "test": 0.2999}, "0 of 1,258 images for all but validation are fewer"),
    ],
)
def test_fractions_that_leave_a_split_empty_are_refused(fractions, message):
    with pytest.raises(DataError, match=message):
        digits(None, **fractions)


def test_a_class_too_small_to_be_in_every_split_is_refused():
    with pytest.raises(DataError, match="class 1 has too few images: 1 are left"):
        stratified(np.array([0] * 50 + [1]), validation=0.2, test=0.2, seed=0)


def test_known_splits_stay():
    """Other splits under the same settings would make the results of before and after incomparable."""
    digests = {
        name: hashlib.sha256(part.numpy().astype("<i8").tobytes()).hexdigest()[:16]
        for name, part in digits(None).splits.items()
    }
    assert digests == {"train": "3efe0d98cdb9d46b", "validation": "3b0161f5194de1a7", "test": "660e8af7dfa5bd1b"}
