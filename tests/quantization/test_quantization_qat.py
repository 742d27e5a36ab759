"""Training with learned steps: LSQ's gradients, zeros that stay, and a network on its levels afterwards."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from espalier.metrics.cost import weighted
from espalier.quantization.inputs import Inputs
from espalier.quantization.qat import LearnedStep, convert, prepare_qat
from espalier.quantization.qparams import QParams, choose_qparams, fake_quantize, quantize
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.schemes import calibrated, naive
from support.pruned_networks import built, size

PLAIN = calibrated(rounding="nearest", statistics="kept")


def images(name: str, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 3, size(name), size(name), generator=generator)


def step(scale: float, bits: int, symmetric: bool, share: int = 1, zero_point: int = 0) -> LearnedStep:
    lowest, highest = choose_qparams(torch.zeros(()), torch.ones(()), bits, symmetric=symmetric)[2:]
    return LearnedStep(QParams(torch.tensor(scale), torch.tensor(zero_point).int(), lowest, highest), share)


def test_gradients_are_those_of_the_paper():
    learned = step(0.5, 3, True, share=12)
    x = torch.tensor([-9.0, -0.6, 0.1, 0.3, 0.8, 5.0], requires_grad=True)
    out = learned(x)
    assert out.tolist() == [-1.5, -0.5, 0.0, 0.5, 1.0, 1.5]
    out.backward(torch.ones_like(x))
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 0]
    ratio = x.detach() / 0.5
    inside = ratio.round() - ratio
    expected = (-3 + inside[1:5].sum() + 3) / (12 * 3) ** 0.5
    torch.testing.assert_close(learned.scale.grad, expected)


@pytest.mark.parametrize("symmetric", [True, False])
def test_what_training_sees_is_what_the_levels_say(symmetric):
    x = torch.randn(2000, generator=torch.Generator().manual_seed(0))
    learned = step(0.11, 4, symmetric, zero_point=0 if symmetric else 6)
    torch.testing.assert_close(learned(x), fake_quantize(x, learned.qparams()))


@pytest.mark.parametrize("name", ["mobilenetv2", "cct"])
def test_it_begins_at_the_scheme_and_learns_and_converts(name):
    model, x = built(name), images(name, 16)
    labels = torch.arange(16) % 10
    for layer in weighted(model).values():
        layer.weight.data[torch.rand_like(layer.weight) < 0.5] = 0.0
    zeros = {path: layer.weight == 0 for path, layer in weighted(model).items()}
    quantizer = Quantizer(copy.deepcopy(model), PLAIN, x.split(8))
    quantizer.set(4, 8)
    expected = quantizer.model(x)

    model = copy.deepcopy(prepare_qat(model, 4, 8, PLAIN, x.split(8)))
    assert {type(each) for each in model.parameters()} == {torch.nn.Parameter}
    # Activations are divided here and multiplied by the reciprocal there: ties may part.
    torch.testing.assert_close(model.eval()(x), expected, rtol=0.1, atol=0.05 * float(expected.detach().abs().max()))

    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    losses, start = [], {name: value.detach().clone() for name, value in model.named_parameters()}
    for _ in range(8):
        losses.append(cross_entropy(model(x), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(not torch.equal(value, start[name]) for name, value in model.named_parameters() if ".scale" in name)
    trained = model(x)

    found = convert(model)
    assert model.state_dict().keys() == built(name).state_dict().keys()
    for path, layer in weighted(model).items():
        assert torch.equal(layer.weight, found.weights[path].dequantize())
        assert torch.equal(quantize(layer.weight, found.weights[path].qparams), found.weights[path].levels)
        assert not layer.weight[zeros[path]].any()
    inputs = Inputs(model)
    inputs.static(found.activations)
    torch.testing.assert_close(model(x), trained, rtol=0.1, atol=0.05 * float(trained.detach().abs().max()))
    inputs.off()
    assert not torch.allclose(model(x), trained, rtol=1e-5, atol=1e-6)


def test_weights_alone():
    model = prepare_qat(built("resnet"), 3, 32, PLAIN, images("resnet", 4).split(4))
    assert not any(hasattr(layer, "step") for layer in weighted(model).values())
    assert not convert(model).activations


def test_dynamic_activations_have_nothing_to_learn():
    with pytest.raises(ValueError, match="use a static scheme"):
        prepare_qat(built("mlp"), 4, 4, naive(), images("mlp", 4).split(4))


@pytest.mark.parametrize("bits", [2, 4])
def test_compensated_levels_are_where_training_begins(bits):
    model, batches = built("resnet"), images("resnet", 16).split(8)
    for layer in weighted(model).values():
        layer.weight.data[torch.rand_like(layer.weight) < 0.5] = 0.0
    floats = {path: layer.weight.detach().clone() for path, layer in weighted(model).items()}
    quantizer = Quantizer(copy.deepcopy(model), calibrated(), batches)
    quantizer.set(bits, 32)
    prepare_qat(model, bits, 32, calibrated(), batches)
    moved = 0
    for path, layer in weighted(model).items():
        expected = quantizer.weights[path]
        torch.testing.assert_close(layer.weight, expected.dequantize(), rtol=1e-5, atol=0)
        started, nearest = layer.parametrizations.weight.original, quantize(floats[path], expected.qparams)
        assert torch.equal(started[nearest == expected.levels], floats[path][nearest == expected.levels])
        assert torch.equal(started == 0, floats[path] == 0)
        moved += int((nearest != expected.levels).sum())
    assert moved > 0
