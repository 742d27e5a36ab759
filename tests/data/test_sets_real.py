"""The published data sets themselves, where ESPALIER_DATA has them: sizes of splits, and the published statistics."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from espalier.data.pixel_writing import histogram, moments
from espalier.settings.registry import choice, entries

ROOT = Path(os.environ.get("ESPALIER_DATA") or "nowhere")
SETS = {
    "cifar10": ("cifar-10-batches-py", (45_000, 5_000, 10_000), (48_000, 6_000, 6_000)),
    "cifar100": ("cifar-100-python", (45_000, 5_000, 10_000), (48_000, 6_000, 6_000)),
    "mnist": ("MNIST", (54_000, 6_000, 10_000), (56_000, 7_000, 7_000)),
    "fashion_mnist": ("FashionMNIST", (54_000, 6_000, 10_000), (56_000, 7_000, 7_000)),
}

pytestmark = pytest.mark.skipif("ESPALIER_DATA" not in os.environ, reason="ESPALIER_DATA is not set")


@pytest.fixture(params=SETS)
def name(request):
    holds = SETS[request.param][0]
    if not ((ROOT / holds).exists() or (ROOT / request.param / holds).exists()):
        pytest.skip(f"ESPALIER_DATA has no {holds}")
    return request.param


def built(name, **settings):
    return TypeAdapter(choice("dataset")).validate_python({"name": name, **settings}).build(ROOT)


def test_mean_and_std_of_the_whole_train_split_are_the_published_ones(name):
    dataset, published = built(name), entries("dataset")[name].facts["published"]
    train = torch.cat([dataset.splits["train"], dataset.splits["validation"]]).numpy()
    mean, std = moments(histogram(dataset.images.pixels[train].reshape(len(train), *dataset.images.shape[2:], -1)))
    assert [round(value, 4) for value in mean] == list(published["mean"])
    assert [round(value, 4) for value in std] == list(published["std"])


def test_the_splits_have_their_sizes_and_equal_classes_equal_shares(name):
    for split, sizes in zip(("official", "80/10/10"), SETS[name][1:], strict=True):
        dataset = built(name, split=split)
        assert tuple(len(part) for part in dataset.splits.values()) == sizes
        share = np.bincount(dataset.labels) / len(dataset.labels)
        for part in dataset.splits.values():
            assert np.abs(np.bincount(dataset.labels[part]) / len(part) - share).max() < 0.005
