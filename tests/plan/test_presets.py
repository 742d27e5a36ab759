"""The networks that a study can name, held to their counts, and what families state for the figures of the zoo."""

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from ruamel.yaml import YAML
from torchvision.models import get_model

from espalier.metrics.cost import macs, params
from espalier.models import rules
from espalier.networks.count_networks import count
from espalier.results.read import published_counts
from espalier.settings.registry import choice, entries, presets

PUBLISHED = published_counts.read(Path(__file__).parents[2] / published_counts.FILE)
"""Networks of reports."""

# name, classes, image side, parameters, 10^9 multiply-accumulates to four digits where they are known
RECORDED = [
    ("mobilenetv2_imagenet", 10, 32, 2_236_682, None),
    ("preact_resnet34", 10, 32, 21_280_330, None),
    ("resnet18_cifar", 100, 32, 11_220_132, 0.5555),
    ("resnet20", 10, 32, 269_722, None),
    ("resnet32", 10, 32, 464_154, None),
    ("resnet34", 10, 32, 21_289_802, None),
    ("resnet34_cifar", 10, 32, 21_282_122, None),
    ("resnet44", 10, 32, 658_586, None),
    ("resnet110", 10, 32, 1_727_962, None),
    ("squeezenet1_0_cifar", 10, 32, 729_034, None),
    ("squeezenet1_1_cifar", 10, 32, 727_626, None),
    # Of food101-baselines: as for 32x32, pooled, wider.
    ("spinal_cnn", 101, 64, 5_422_693, 0.5363),
    ({"name": "spinal_cnn", "window": 2}, 101, 64, 2_276_965, 0.5332),
    ({"name": "spinal_resnet18", "channels": [64, 96, 128, 256]}, 101, 64, 4_100_197, 1.3005),
    ({"name": "spinal_vgg11", "window": 2}, 101, 64, 10_745_701, 0.6126),
    ({"name": "spinal_vgg11", "early_width": 1.5}, 101, 64, 12_559_333, 0.7498),
    ({"name": "squeezenet1_0_cifar", "stem_channels": 192}, 101, 64, 779_941, 0.2253),
]
"""Our own counts of networks that are in no report."""

ENTRIES = entries("model").values()


def built(written, classes=10, side=32):
    with torch.device("meta"):
        return TypeAdapter(choice("model")).validate_python(written).build(classes, side)


@pytest.mark.parametrize(("name", "classes", "side", "count", "billions"), RECORDED)
def test_a_named_network_has_its_parameters_and_macs(name, classes, side, count, billions):
    model = built(name, classes, side)
    assert params(model) == count
    if billions is not None:
        assert round(macs(model, side) / 1e9, 4) == billions


def published_networks():
    for row in PUBLISHED:
        slow = row.prune and "0.9" not in row.prune
        if row.model:
            yield pytest.param(row, id=f"{row.name}-{row.model}", marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("row", list(published_networks()))
def test_a_network_of_a_report_has_the_counts_recorded_of_it(row):
    settings, prune = (YAML(typ="safe", pure=True).load(text) for text in (row.model, row.prune))
    found = count(settings, row.classes, row.image_size, 3, prune)
    assert found["params"] == row.params
    assert round(found["macs"] / 1e9, 4) == row.gmac


@pytest.mark.parametrize(
    "name",
    sorted(
        presets("model").keys()
        - {row.model for row in PUBLISHED}
        - {one[0] for one in RECORDED if isinstance(one[0], str)}
    ),
)
def test_a_preset_that_nobody_has_counted_makes_a_network(name):
    preset = TypeAdapter(choice("model")).validate_python(name)
    assert params(built(name, side=max(32, rules.smallest(preset.entry(), preset.settings())))) > 0


@pytest.mark.parametrize("entry", [one for one in ENTRIES if "depths" in one.facts], ids=lambda entry: entry.name)
def test_depths_are_settings_that_make_ever_deeper_networks(entry):
    ((setting, values),) = entry.facts["depths"].items()
    models = [built({"name": entry.name, setting: value}) for value in values]
    layers = [sum(1 for _ in model.modules()) for model in models]
    assert len(values) > 1
    assert layers == sorted(set(layers))


def standards():
    for entry in ENTRIES:
        standard = entry.facts.get("standard", {})
        if isinstance(standard, str):
            yield {"name": entry.name}, standard
            continue
        for setting, names in standard.items():
            yield from (({"name": entry.name, setting: value}, name) for value, name in names.items())


@pytest.mark.parametrize(("written", "name"), list(standards()))
def test_a_lightweight_network_has_fewer_parameters_than_its_standard(written, name):
    with torch.device("meta"):
        standard = get_model(name, weights=None, num_classes=10)
    assert 0 < params(built(written)) < params(standard)
