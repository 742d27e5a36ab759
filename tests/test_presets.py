"""The networks that a study can name, held to their counts, and what families state for the figures of the zoo."""

import pytest
import torch
from pydantic import TypeAdapter
from torchvision.models import get_model

from espalier.measure.cost import macs, params
from espalier.registry import choice, entries, presets

# name, classes, image side, parameters, 10^9 multiply-accumulates to four digits where they are known
PUBLISHED = [
    ("cct_6_3x1", 101, 64, 3_453_798, 6.4713),
    ("densenet121_cifar", 10, 32, 1_000_618, 0.1253),
    ("densenet121_cifar", 101, 64, 1_035_653, 0.5014),
    ("googlenet", 10, 32, 6_166_250, 1.5218),
    ("mobilenetv2_cifar", 10, 32, 2_236_682, 0.2965),
    ("mobilenetv2_projected", 10, 32, 2_296_922, 0.0912),
    ("pyramidnet110_a48", 10, 32, 1_772_706, 0.4038),
    ("regnetx_200mf", 10, 32, 2_321_946, 0.2233),
    ("res18_row8", 10, 32, 701_466, 0.0350),
    ("res24_row1", 10, 32, 4_978_810, 1.1795),
    ("res24_row2", 10, 32, 4_969_776, 1.3246),
    ("res24_row4", 10, 32, 4_988_256, 1.0343),
    ("resnet44_5m", 10, 32, 4_985_390, 0.5390),
    ("resnet56", 10, 32, 853_018, 0.1255),
    ("shufflenetv2_x1_0", 10, 32, 1_263_854, 0.0450),
    ("spinal_cnn", 10, 32, 2_230_282, 0.1341),
    ("spinal_resnet18", 10, 32, 3_609_130, 0.1523),
    ("spinal_resnet34", 10, 32, 6_138_026, 0.3033),
    ("spinal_vgg11", 10, 32, 10_559_242, 0.1541),
    ("spinal_vgg13", 10, 32, 10_744_138, 0.2296),
    ("spinal_vgg16", 10, 32, 16_056_394, 0.3145),
    ("spinal_vgg19", 10, 32, 21_368_650, 0.3995),
]
"""Exact to the parameter."""

RECORDED = [
    ("cct_7_3x1", 10, 32, 3_760_139, 1.1816),  # reported 4,679,435
    ("cct_7_3x1_report", 10, 32, 4_679_435, 1.4165),  # an MLP ratio found from the count
    ("cvt_2_4", 10, 32, 214_539, 0.0151),  # reported 209,163
    ("efficientnet_b0", 10, 32, 3_598_598, 0.0303),  # reported with 1,088 more, of a layer never used
    ("ghostnetv2_x1_0", 1000, 32, 6_156_908, 0.0175),  # reported as V3
    ("ghostnetv3_x1_0", 10, 32, 6_860_838, 0.0356),  # reported 6,156,908
    ("lenet", 100, 32, 69_656, 0.0007),
    ("mobilenetv2_imagenet", 10, 32, 2_236_682, None),
    ("preact_resnet18", 100, 32, 11_218_340, 0.5555),
    ("preact_resnet18_no_final_norm", 100, 32, 11_217_316, 0.5555),
    ("preact_resnet34", 10, 32, 21_280_330, None),
    ("res22_row6", 10, 32, 4_623_178, 0.7232),  # reported 4.6M
    ("res24_table3", 10, 32, 4_908_434, 1.1754),
    ("res34_row5", 10, 32, 5_326_506, 0.2903),  # reported 5.3M
    ("res34_row7", 10, 32, 6_412_362, 0.6802),  # reported 11.7M
    ("resnet18", 100, 32, 11_227_812, 0.0371),
    ("resnet18_224", 100, 32, 11_227_812, None),
    ("resnet18_cifar", 100, 32, 11_220_132, 0.5555),
    ("resnet20", 10, 32, 269_722, None),
    ("resnet32", 10, 32, 464_154, None),
    ("resnet34", 10, 32, 21_289_802, None),
    ("resnet34_cifar", 10, 32, 21_282_122, None),
    ("resnet44", 10, 32, 658_586, None),
    ("resnet44_5m_first", 10, 32, 2_636_458, 0.3889),  # reported 2.64M
    ("resnet44_5m_second", 10, 32, 4_697_162, 0.7987),  # reported 4.99M
    ("resnet110", 10, 32, 1_727_962, None),
    ("squeezenet1_0", 10, 32, 740_554, 0.0091),
    ("squeezenet1_0", 1000, 32, 1_248_424, 0.0097),  # reported 1.2M
    ("squeezenet1_0_cifar", 10, 32, 729_034, None),
    ("squeezenet1_1", 10, 32, 727_626, 0.0030),
    ("squeezenet1_1", 1000, 32, 1_235_496, 0.0035),  # reported 1.2M
    ("squeezenet1_1_cifar", 10, 32, 727_626, None),
    ("thriftynet", 10, 32, 39_524, 0.2000),  # reported below 40K
]
"""Our own counts where a report has none, a rounded one, or one that its description does not give."""

ENTRIES = entries("model").values()


def built(written, classes=10, side=32):
    with torch.device("meta"):
        return TypeAdapter(choice("model")).validate_python(written).build(classes, side)


@pytest.mark.parametrize(("name", "classes", "side", "count", "billions"), [*PUBLISHED, *RECORDED])
def test_a_named_network_has_its_parameters_and_macs(name, classes, side, count, billions):
    model = built(name, classes, side)
    assert params(model) == count
    if billions is not None:
        assert round(macs(model, side) / 1e9, 4) == billions


def test_every_preset_is_held_to_a_count():
    assert presets("model").keys() <= {name for name, *_ in (*PUBLISHED, *RECORDED)}


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
