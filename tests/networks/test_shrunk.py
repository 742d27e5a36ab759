"""A quantized network that loses the channels that rounding has made needless, its levels with it."""

import pytest
import torch
from pydantic import TypeAdapter

from espalier.metrics.cost import params
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.resnet import resnet
from espalier.networks import coded_network
from espalier.networks.network import Network
from espalier.networks.shrink_quantized import shrink_quantized
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import rate_distortion
from espalier.settings.registry import choice

SHORT = {"width": 0.25, "channels": (16, 24, 32, 64), "blocks": (1, 2, 3, 1)}
SHORT |= {"expansions": (1, 6, 6, 6), "strides": (1, 1, 1, 2)}
FAMILIES = {
    "resnet": (resnet, {"blocks": (1, 1), "channels": (16, 128)}, "stages.1.conv2"),
    "mobilenetv2": (mobilenetv2, SHORT, "features.5.conv.2"),
}
"""Family → its function, its settings, and a layer that will read only the last of its channels."""


@pytest.fixture(scope="module", params=FAMILIES)
def network(request):
    family, settings, reader = FAMILIES[request.param]
    torch.manual_seed(0)
    model = family(10, 16, **settings).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(16, 3, 16, 16))
        model.eval().get_submodule(reader).weight[:, :-5] = 0
    quantizer = Quantizer(model, rate_distortion(price=1e-12), [torch.randn(16, 3, 16, 16)])
    quantizer.set(8, 8)
    named = TypeAdapter(choice("model")).validate_python({"name": request.param, **settings})
    return Network(model, named, 10, 16, None, quantizer.quantization())


@torch.no_grad()
def test_the_answers_stay_and_the_needless_channels_go(network):
    small, images = shrink_quantized(network), torch.randn(4, 3, 16, 16)
    assert params(small.model) < 0.97 * params(network.model)
    torch.testing.assert_close(small.model(images), network.model(images), rtol=1e-4, atol=1e-5)
    for path, each in small.quantization.weights.items():
        assert torch.equal(each.dequantize(), small.model.get_submodule(path).weight)
    assert small.quantization.activations.keys() == network.quantization.activations.keys()


@torch.no_grad()
def test_it_is_coded_and_decoded_in_fewer_bytes(network, tmp_path):
    images, sizes = torch.randn(4, 3, 16, 16), {}
    for name, how in {
        "whole": {"fold": True, "floats": "fp16"},
        "shrunk": coded_network.SMALLEST,
        "rounded": {**coded_network.SMALLEST, "significant_bits": 6},
    }.items():
        path = tmp_path / f"{name}.esp"
        coded_network.encode(*coded_network.tensors_of(network, **how), path)
        sizes[name], expected = path.stat().st_size, network.model(images)
        found = coded_network.load(path).model(images)
        assert (found - expected).abs().max() < (0.02 if name != "rounded" else 0.2) * expected.abs().max()
        assert coded_network.coded_bytes(network, **how) == sizes[name]
    assert sizes["rounded"] < sizes["shrunk"] < sizes["whole"]


def test_a_network_that_needs_all_channels_stays_the_same(network):
    family, settings, _ = FAMILIES[network.choice.name]
    plain = Network(family(10, 16, **settings).eval(), network.choice, 10, 16)
    assert shrink_quantized(plain) is plain
