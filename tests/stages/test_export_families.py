"""Every family of the zoo as ONNX: in floats it computes what PyTorch does, whole and pruned, and with few bits nearly.

The slow ones take some four minutes of CPU time together.
"""

import copy

import pytest
import torch

from espalier.data.feed import Feed
from espalier.export.agreement import TOLERANCE
from espalier.export.graph_inputs import WithNormalization, of_pixels
from espalier.export.int8 import quantize
from espalier.export.onnx_files import converted, save
from espalier.export.processor import processor, saturates
from espalier.export.qdq import quantized
from espalier.export.sessions import Session
from espalier.pruning.structured import prune
from espalier.quantization.quantized import Quantization
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated
from espalier.settings.sections import Export
from support.pruned_networks import NAMES, UNPRUNABLE, built, size

QUICK = ("cct", "lenet", "resnet", "shufflenetv2")
EIGHT_BIT = 0.15
"""Most that a logit of 8 bits may differ, of the largest one's size, in networks that were never trained."""


def networks(quick):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in (*NAMES, *UNPRUNABLE)]


def images(name, count, seed=0):
    shape = count, 3, size(name), size(name)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def feed_of(name):
    """Noise of all grays, normalized."""
    return Feed(image_size=size(name), channels=3, mean=[0.5] * 3, std=[0.29] * 3, classes=[str(k) for k in range(10)])


@torch.no_grad()
def difference(exported, model, batch):
    expected = model(batch)
    return float((exported(batch) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", networks(QUICK))
def test_a_family_computes_the_same_as_onnx(name, tmp_path):
    network, feed = built(name).eval(), feed_of(name)
    model, floats = WithNormalization(network, feed), converted(network, name, size(name))
    save(tmp_path / "fp32.onnx", floats, feed, "uint8")
    exported = Session(tmp_path / "fp32.onnx")
    for count in (1, 3, 64):
        assert difference(exported, model, images(name, count, seed=count)) <= TOLERANCE
    batches = images(name, 64).split(16)
    settings = Export(reduce_range=saturates(processor()))
    eight = quantize(floats, [of_pixels(batch, feed, "normalized") for batch in batches], settings, name)
    save(tmp_path / "int8.onnx", eight, feed, "uint8")
    assert 0 < difference(Session(tmp_path / "int8.onnx"), model, batches[0]) <= EIGHT_BIT


@pytest.mark.parametrize("name", networks(("cct", "densenet")))
def test_a_pruned_family_computes_the_same_as_onnx(name, tmp_path):
    if name in UNPRUNABLE:
        pytest.skip(UNPRUNABLE[name])
    network, feed = prune(built(name), size(name), 0.4).eval(), feed_of(name)
    model = WithNormalization(network, feed)
    save(tmp_path / "fp32.onnx", converted(network, name, size(name)), feed, "uint8")
    exported = Session(tmp_path / "fp32.onnx")
    for count in (1, 64):
        assert difference(exported, model, images(name, count, seed=count)) <= TOLERANCE


@pytest.mark.parametrize("name", networks(("cct", "resnet")))
def test_a_quantized_family_computes_the_same_as_onnx(name, tmp_path):
    """All but the few inputs that lie between two levels have the same logits; one 8-bit level is a small step."""
    network, feed = built(name).eval(), feed_of(name)
    plain = copy.deepcopy(network)
    batches = [of_pixels(batch, feed, "normalized") for batch in images(name, 32).split(16)]
    quantizer = Quantizer(network, calibrated(rounding="nearest", statistics="kept"), batches)
    quantizer.set(4, 8)
    own = Quantization(quantizer.weights, quantizer.activations, quantizer.dynamic)
    proto = quantized(plain, own, name, size(name), 3)
    save(tmp_path / "quantized.onnx", proto, feed, "uint8")
    bound = 5 * EIGHT_BIT if saturates(processor()) else EIGHT_BIT
    assert (
        difference(Session(tmp_path / "quantized.onnx"), WithNormalization(network, feed), images(name, 16, seed=7))
        <= bound
    )
