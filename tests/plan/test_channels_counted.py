"""Networks are counted for the channels that their data set states, before a file of it is read."""

import pytest

from espalier.networks.count_networks import count
from espalier.plan import scale
from espalier.plan.chain import Settings
from espalier.plan.network_sizes import shape

MNIST32 = {"name": "mnist", "image_size": 32}
PHOTOGRAPHS = {"name": "cifar10", "grayscale": True}
DEPTH = {"name": "arrays", "path": "no/such/file.npz", "channels": 2, "image_size": 28, "keep": [*range(10)]}


def settings(dataset, model):
    return Settings.model_validate({"dataset": dataset, "model": model})


@pytest.mark.parametrize(
    ("dataset", "model", "params", "macs"),
    [
        ("mnist", "lenet_300_100", 266_610, 784 * 300 + 300 * 100 + 100 * 10),
        ("fashion_mnist", {"name": "mlp", "hidden": [300, 100]}, 266_610, 266_200),
        ("mnist", "lenet5_caffe", 431_080, 24**2 * 20 * 25 + 8**2 * 50 * 500 + 800 * 500 + 500 * 10),
        (MNIST32, "lenet", 61_706, 28**2 * 6 * 25 + 10**2 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10),
        (PHOTOGRAPHS, "lenet", 61_706, 416_520),
        ("cifar10", "lenet", 62_006, 651_720),
        ("digits", {"name": "mlp", "hidden": [8]}, 256 * 8 + 8 + 8 * 10 + 10, 256 * 8 + 8 * 10),
        (DEPTH, "lenet_300_100", 266_610 + 784 * 300, 266_200 + 784 * 300),
    ],
)
def test_counts_follow_the_channels(dataset, model, params, macs):
    asked = settings(dataset, model)
    assert count(asked.model.model_dump(mode="json"), *shape(asked), None) == {"params": params, "macs": macs}


@pytest.mark.parametrize(("dataset", "channels"), [("mnist", 1), ("cifar10", 3), (DEPTH, 2)])
def test_a_smoke_run_has_images_of_as_many_channels(dataset, channels):
    small = scale.smoke_settings(settings(dataset, "lenet"), (10, 16, channels), {})
    assert (small.dataset.name, small.dataset.channels) == ("stand_in", channels)
    assert shape(small) == (10, 16, channels)
