"""Splits: disjoint, stratified, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espalier.data.splits import portion, stratified, validated
from espalier.errors import DataError

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [300, 200, 100, 50]))


def test_tenths_have_their_sizes_and_each_class_its_share():
    splits = stratified(LABELS, validation=0.1, test=0.1, seed=0)
    assert {name: len(part) for name, part in splits.items()} == {"train": 520, "validation": 65, "test": 65}
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(650))
    for part in splits.values():
        assert np.abs(np.bincount(LABELS[part]) - np.bincount(LABELS) * len(part) / 650).max() <= 1


def test_validation_is_cut_from_the_official_train_split():
    train = np.arange(100, 650)
    splits = validated(LABELS, train, validation=0.2, seed=0)
    assert len(splits["validation"]) == 110
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), train)
    assert all(np.array_equal(part, np.sort(part)) for part in splits.values())
    share = np.bincount(LABELS[train]) * 0.2
    assert np.abs(np.bincount(LABELS[splits["validation"]]) - share).max() <= 1
    again, other = (validated(LABELS, train, validation=0.2, seed=seed) for seed in (0, 1))
    assert np.array_equal(again["validation"], splits["validation"])
    assert not np.array_equal(other["validation"], splits["validation"])


@pytest.mark.parametrize(
    ("validation", "message"),
    [(0.0, "validation split empty"), (0.001, "1 of 650 images for validation are fewer than the 4 classes")],
)
def test_a_validation_split_too_small_for_every_class_is_refused(validation, message):
    with pytest.raises(DataError, match=message):
        validated(LABELS, np.arange(650), validation=validation, seed=0)


@settings(deadline=None, max_examples=50)
@given(st.floats(0.001, 1), st.floats(0.001, 1), st.integers(0, 5), st.integers(0, 600))
def test_a_portion_is_stratified_and_holds_every_smaller_one(one, other, seed, start):
    places = np.arange(start, 650)
    small, large = (portion(LABELS, places, fraction=part, seed=seed) for part in sorted((one, other)))
    assert set(small) <= set(large) <= set(places)
    present = np.bincount(LABELS[places], minlength=4)
    expected = np.where(present, np.maximum(1, np.round(present * min(one, other))), 0)
    assert np.array_equal(np.bincount(LABELS[small], minlength=4), expected)


def test_a_portion_does_not_depend_on_the_order_of_its_places_but_on_the_seed():
    places = np.arange(650)
    one = portion(LABELS, places, fraction=0.3, seed=0)
    assert np.array_equal(one, portion(LABELS, places[::-1], fraction=0.3, seed=0))
    assert not np.array_equal(one, portion(LABELS, places, fraction=0.3, seed=1))
    assert np.array_equal(portion(LABELS, places, fraction=1.0, seed=0), places)
