"""Networks in coded files: they answer as before, folded and rounded nearly so, and no other network comes out."""

import copy
import json

import pytest
import torch
from pydantic import TypeAdapter
from torch.nn.modules.batchnorm import _BatchNorm

from espalier.coding.decoder import decode
from espalier.coding.encoder import encode
from espalier.coding.memory_limit import Bounded
from espalier.data.feed import Feed
from espalier.errors import ArtifactError, Damaged, Mistake
from espalier.metrics.cost import weighted
from espalier.networks import artifact, coded_network
from espalier.networks.coded_network import differing, half, shortened
from espalier.networks.network import Network
from espalier.pruning.shapes import shapes
from espalier.pruning.structured import prune
from espalier.quantization.qparams import Quantized
from espalier.quantization.quantized import Quantization
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated, naive
from espalier.settings.registry import choice
from support.coded_networks import sealed, taken_apart

SIZE = 16
NETWORKS = {
    "mlp": {"name": "mlp", "hidden": [24, 16]},
    "lenet": {"name": "lenet"},
    "densenet": {"name": "densenet", "blocks": [1, 1], "growth_rate": 8},
    "cct": {"name": "cct", "layers": 2, "dim": 32, "heads": 2},
    "resnet": {"name": "resnet", "blocks": [1, 1], "channels": [8, 16]},
}
PRUNED = ("densenet", "cct", "resnet")
SCHEMES = {
    "calibrated": calibrated(rounding="nearest", weight_range="minmax"),
    "compensated": calibrated(),
    "asymmetric": calibrated(symmetric_weights=False, rounding="nearest", first_bits=8, classifier_bits=16),
    "naive": naive(classifier_bits=8),
}


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ({}, {"channels", "mean", "std"}),
        ({"image_size": 14}, {"channels", "mean", "std", "image_size"}),
        ({"classes": ["ash", "beech", "oak"], "grayscale": True}, {"channels", "mean", "std", "classes", "grayscale"}),
    ],
)
def test_a_feed_comes_back_and_what_it_says_as_usual_takes_no_bytes(tmp_path, more, left):
    made = TypeAdapter(choice("model")).validate_python({"name": "mlp", "hidden": [4]})
    said = {"image_size": SIZE, "channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": ["0", "1", "2"]}
    feed = Feed(**said | more)
    network = Network(made.build(3, SIZE).eval(), made, 3, SIZE, feed=feed)
    tensors, record = coded_network.tensors_of(network)
    assert record["feed"].keys() == left
    encode(tensors, record, tmp_path / "a.esp")
    assert coded_network.load(tmp_path / "a.esp").feed == feed


@pytest.fixture(scope="module", params=NETWORKS)
def saved(request, tmp_path_factory):
    """A pruned network with weights and statistics unlike those of a new one, and images."""
    made = TypeAdapter(choice("model")).validate_python(NETWORKS[request.param])
    torch.manual_seed(0)
    model = made.build(10, SIZE)
    if request.param in PRUNED:
        prune(model, SIZE, 0.3)
    images = torch.randn(32, 3, SIZE, SIZE)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.weight.normal_(1, 0.3)
                module.bias.normal_(0, 0.1)
        for layer in weighted(model).values():
            layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
            layer.weight[0] = 0
        for _ in range(10):
            model.train()(images)
    folder = tmp_path_factory.mktemp(request.param)
    widths = shapes(model) if request.param in PRUNED else None
    artifact.save(folder, model.state_dict(), made, 10, SIZE, widths)
    return folder, images


def quantized(saved, scheme, weight_bits, activation_bits):
    """The network as the quantize stage leaves it."""
    folder = saved[0] / f"{scheme}-{weight_bits}-{activation_bits}"
    if not folder.exists():
        network = artifact.load(saved[0])
        quantizer = Quantizer(network.model, SCHEMES[scheme], [saved[1]])
        quantizer.set(weight_bits, activation_bits)
        made = Quantization(dict(quantizer.weights), dict(quantizer.activations), dict(quantizer.dynamic))
        artifact.save(folder, network.model.state_dict(), network.choice, 10, SIZE, network.shapes, made)
    return artifact.load(folder)


def coded(network, path, fold=False, floats="fp32"):
    tensors, record = coded_network.tensors_of(network, fold, floats)
    encode(tensors, record, path)
    return coded_network.load(path)


@torch.no_grad()
@pytest.mark.parametrize("scheme", ["compensated", "asymmetric", "naive"])
def test_decoded_it_gives_the_same_bits(saved, tmp_path, scheme):
    network = quantized(saved, scheme, 4, 5)
    found = coded(network, tmp_path / "model.esp")
    assert torch.equal(found.model(saved[1]), network.model(saved[1]))
    assert not found.model.training
    facts = ("choice", "num_classes", "image_size", "shapes")
    assert [getattr(found, name) for name in facts] == [getattr(network, name) for name in facts]
    state, wanted = found.model.state_dict(), network.model.state_dict()
    assert list(state) == list(wanted)
    assert all(torch.equal(state[name], wanted[name]) for name in wanted)
    assert found.quantization.weights.keys() == weighted(network.model).keys()
    assert found.quantization.dynamic == network.quantization.dynamic
    assert found.quantization.activations == network.quantization.activations


@torch.no_grad()
@pytest.mark.parametrize("saved", ["lenet"], indirect=True)
@pytest.mark.parametrize("weight_bits", [2, 3, 5, 6, 7, 8, 12, 16, 32])
def test_every_width_comes_back(saved, tmp_path, weight_bits):
    network = quantized(saved, "calibrated", weight_bits, 32 if weight_bits == 8 else 8)
    found = coded(network, tmp_path / "model.esp")
    assert torch.equal(found.model(saved[1]), network.model(saved[1]))


@torch.no_grad()
@pytest.mark.parametrize("scheme", ["calibrated", "asymmetric", "naive"])
@pytest.mark.parametrize("saved", ["densenet", "resnet", "lenet"], indirect=True)
def test_folded_it_answers_nearly_alike_with_the_same_levels(saved, tmp_path, scheme):
    network = quantized(saved, scheme, 8, 32)
    whole, found = coded(network, tmp_path / "a.esp"), coded(network, tmp_path / "b.esp", fold=True)
    torch.testing.assert_close(found.model(saved[1]), network.model(saved[1]), rtol=1e-4, atol=1e-4)
    for path, each in network.quantization.weights.items():
        assert torch.equal(found.quantization.weights[path].levels, each.levels)
    norms = [sum(isinstance(m, _BatchNorm) for m in one.model.modules()) for one in (whole, found)]
    assert norms == [0, 0] or norms[0] > norms[1]
    if norms[0]:
        assert (tmp_path / "b.esp").stat().st_size < (tmp_path / "a.esp").stat().st_size


@torch.no_grad()
@pytest.mark.parametrize("fold", [False, True])
def test_floats_of_16_bits_answer_nearly_alike_in_fewer_bytes(saved, tmp_path, fold):
    network = quantized(saved, "calibrated", 8, 32)
    coded(network, tmp_path / "a.esp", fold)
    found = coded(network, tmp_path / "b.esp", fold, "fp16")
    wanted = network.model(saved[1])
    assert (found.model(saved[1]) - wanted).abs().max() < 0.01 * wanted.abs().max()
    assert all(one.dtype in (torch.float32, torch.int64) for one in found.model.state_dict().values())
    assert (tmp_path / "b.esp").stat().st_size < (tmp_path / "a.esp").stat().st_size
    for path, each in network.quantization.weights.items():
        assert torch.equal(found.quantization.weights[path].levels, each.levels)


@torch.no_grad()
def test_activations_stay_quantized_when_folded(saved, tmp_path):
    network = quantized(saved, "calibrated", 8, 4)
    found = coded(network, tmp_path / "a.esp", fold=True)
    assert found.quantization.activations == network.quantization.activations
    near, floats = network.model(saved[1]), artifact.load(saved[0]).model(saved[1])
    # A number at the edge of two levels may go to the other one.
    assert (found.model(saved[1]) - near).square().mean() < 0.05 * (floats - near).square().mean()
    rounded = coded(network, tmp_path / "b.esp", fold=True, floats="fp16").quantization.activations
    for path, each in network.quantization.activations.items():
        assert rounded[path][1:] == each[1:]
        assert float(rounded[path].scale) == pytest.approx(float(each.scale), rel=2**-11)


@torch.no_grad()
@pytest.mark.parametrize("fold", [False, True])
def test_a_network_of_floats_is_coded_too(saved, tmp_path, fold):
    network = artifact.load(saved[0])
    found = coded(network, tmp_path / "model.esp", fold)
    assert found.quantization is None
    if fold:
        torch.testing.assert_close(found.model(saved[1]), network.model(saved[1]), rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(found.model(saved[1]), network.model(saved[1]))
        # Half of the weights are zeros, whose bytes are as good as free.
        assert (tmp_path / "model.esp").stat().st_size < 0.8 * (saved[0] / "model.safetensors").stat().st_size


@pytest.mark.parametrize("saved", ["cct"], indirect=True)
def test_a_folder_with_a_coded_file_needs_no_other(saved, tmp_path):
    network = quantized(saved, "calibrated", 3, 4)
    (tmp_path / "e").mkdir()
    coded(network, tmp_path / "e" / "model.esp")
    with torch.no_grad():
        assert torch.equal(artifact.load(tmp_path / "e").model(saved[1]), network.model(saved[1]))


@pytest.mark.parametrize("saved", ["densenet"], indirect=True)
def test_equal_networks_give_equal_bytes(saved, tmp_path):
    network = quantized(saved, "calibrated", 4, 4)
    found = coded(network, tmp_path / "a.esp")
    coded(found, tmp_path / "b.esp")
    network.model.to(memory_format=torch.channels_last)
    coded(network, tmp_path / "c.esp")
    assert len({(tmp_path / f"{name}.esp").read_bytes() for name in "abc"}) == 1


CHANGES = {
    "another format": lambda table: table["record"].update(format=2),
    "no model": lambda table: table["record"].pop("model"),
    "an unknown model": lambda table: table["record"].update(model={"name": "no_such"}),
    "another model": lambda table: table["record"].update(model={"name": "lenet"}),
    "more classes": lambda table: table["record"].update(num_classes=11),
    "endless classes": lambda table: table["record"].update(num_classes=1 << 40),
    "a huge network": lambda table: table["record"]["model"].update(dim=1 << 15),
    "an unknown key": lambda table: table["record"].update(code="print()"),
    "another shape": lambda table: next(iter(table["record"]["shapes"].values())).update(out_channels=3),
    "shapes of nothing": lambda table: table["record"]["shapes"].update(nothing={}),
    "no shapes": lambda table: table["record"].pop("shapes"),
    "a fold of nothing": lambda table: table["record"].update(folded={"no.such": "layer"}),
    "a fold of what is no normalization": lambda table: table["record"].update(folded={"classifier": "classifier"}),
    "inputs too few": lambda table: table["record"]["activations"].pop(),
    "inputs of nobody": lambda table: table["record"].pop("activations"),
    "inputs upside down": lambda table: table["record"]["activations"].__setitem__(0, [5, 0]),
    "dynamic too few": lambda table: table["record"].update(dynamic=[8]),
    "dynamic too wide": lambda table: table["record"].update(dynamic=[40]),
    "fp64": lambda table: table["record"].update(floats="fp64"),
    "another name": lambda table: table["levels"][0].__setitem__(0, "facts.weight"),
    "another plain name": lambda table: table["plain"][0].__setitem__(0, "facts"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("saved", ["cct"], indirect=True)
def test_a_record_of_another_network_is_refused_in_one_line(saved, tmp_path, what):
    whole = saved[0] / "whole.esp"
    if not whole.exists():
        coded(quantized(saved, "calibrated", 4, 4), whole)
    table, rest = taken_apart(whole)
    CHANGES[what](table)
    path = tmp_path / "b.esp"
    sealed(path, json.dumps(table).encode(), rest)
    with pytest.raises(ArtifactError) as caught:
        coded_network.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert len(said) < 900


@pytest.mark.parametrize("saved", ["lenet"], indirect=True)
@pytest.mark.parametrize("change", ["missing", "extra", "type", "shape"])
def test_tensors_of_another_network_are_refused(saved, tmp_path, change):
    tensors, record = coded_network.tensors_of(artifact.load(saved[0]))
    if change == "missing":
        del tensors["classifier.bias"]
    elif change == "extra":
        tensors["more.bias"] = torch.zeros(3)
    elif change == "type":
        tensors["classifier.bias"] = tensors["classifier.bias"].double()
    else:
        tensors["classifier.bias"] = torch.zeros(1)
    encode(tensors, record, tmp_path / "a.esp")
    with pytest.raises(ArtifactError, match=r"a\.esp: .*(classifier|more)\.bias"):
        coded_network.load(tmp_path / "a.esp")


@pytest.mark.parametrize("saved", ["lenet"], indirect=True)
def test_a_number_too_large_for_16_bits_is_told(saved):
    network = artifact.load(saved[0])
    with torch.no_grad():
        network.model.classifier.bias[2] = 1e5
    with pytest.raises(Mistake, match=r"encode\.floats: fp16 ends at 65504, and classifier\.bias does not; use fp32"):
        coded_network.tensors_of(network, floats="fp16")


def test_scales_are_rounded_as_16_bits_do_and_never_vanish():
    values = torch.cat([torch.randn(1000), torch.tensor([0.0, 1.0, 65504.0])])
    assert torch.equal(shortened(values), values.half().float())
    tiny = torch.tensor([3e-9, -7e-30, 3e38])
    assert ((shortened(tiny) - tiny).abs() <= tiny.abs() * 2**-11).all()
    assert half("count", torch.tensor(7)).dtype == torch.int64


def test_a_network_beyond_the_limit_is_refused_while_it_is_made():
    with Bounded(1 << 20):
        torch.nn.Linear(500, 500)
    with pytest.raises(Damaged, match="more than 1048576 bytes"), Bounded(1 << 20):
        torch.nn.Sequential(*(torch.nn.Linear(500, 500) for _ in range(2)))


@pytest.mark.parametrize("saved", ["cct"], indirect=True)
def test_what_is_said_of_inputs_takes_two_tensors(saved, tmp_path):
    network = quantized(saved, "calibrated", 4, 4)
    coded(network, tmp_path / "a.esp")
    names = decode(tmp_path / "a.esp").tensors
    extra = names.keys() - network.model.state_dict().keys()
    assert len(extra) == 2
    assert sum(isinstance(one, Quantized) for one in names.values()) == len(weighted(network.model))


@pytest.mark.parametrize("saved", ["lenet"], indirect=True)
def test_a_single_bit_that_differs_is_found(saved):
    network = quantized(saved, "calibrated", 4, 4)
    wanted, _ = coded_network.tensors_of(network)
    assert differing(wanted, coded_network.tensors_of(network)[0]) is None
    for name in wanted:
        found = copy.deepcopy(wanted)
        one = found[name].levels if isinstance(found[name], Quantized) else found[name]
        one.reshape(-1).view(torch.uint8)[0] ^= 1
        assert differing(found, wanted) == name
    assert differing({}, wanted)
