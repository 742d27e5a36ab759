"""Every family of the zoo as ONNX: in floats it computes what PyTorch does, whole and pruned, and with 8 bits nearly.

The slow ones take some four minutes of CPU time together.
"""

import pytest
import torch

from espalier.export.agreement import TOLERANCE
from espalier.export.int8 import quantize
from espalier.export.onnx_files import write
from espalier.export.processor import processor, saturates
from espalier.export.sessions import Session
from espalier.pruning.structured import prune
from espalier.settings.sections import Export
from support.pruned_networks import NAMES, UNPRUNABLE, built, size

QUICK = ("cct", "lenet", "resnet", "shufflenetv2")
EIGHT_BIT = 0.15
"""Most that a logit of 8 bits may differ, of the largest one's size, in networks that were never trained."""


def networks(quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in (*NAMES, *UNPRUNABLE)]


def images(name, count, seed=0):
    return torch.randn(count, 3, size(name), size(name), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def difference(exported, model, batch):
    expected = model(batch)
    return float((exported(batch) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", networks(QUICK))
def test_a_family_computes_the_same_as_onnx(name, tmp_path):
    model = built(name).eval()
    write(tmp_path / "fp32.onnx", model, name, size(name))
    exported = Session(tmp_path / "fp32.onnx")
    for count in (1, 3, 64):
        assert difference(exported, model, images(name, count, seed=count)) <= TOLERANCE
    batches = images(name, 64).split(16)
    settings = Export(reduce_range=saturates(processor()))
    quantize(tmp_path / "fp32.onnx", tmp_path / "int8.onnx", batches, settings, name)
    assert 0 < difference(Session(tmp_path / "int8.onnx"), model, batches[0]) <= EIGHT_BIT


@pytest.mark.parametrize("name", networks(("cct", "densenet")))
def test_a_pruned_family_computes_the_same_as_onnx(name, tmp_path):
    if name in UNPRUNABLE:
        pytest.skip(UNPRUNABLE[name])
    model = prune(built(name), size(name), 0.4).eval()
    write(tmp_path / "fp32.onnx", model, name, size(name))
    exported = Session(tmp_path / "fp32.onnx")
    for count in (1, 64):
        assert difference(exported, model, images(name, count, seed=count)) <= TOLERANCE
