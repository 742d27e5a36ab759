"""Networks at settings of a grid: each cell is the setting alone, and the network comes back as it was."""

import copy

import pytest
import torch

from espalier.metrics.cost import weighted
from espalier.quantization.qparams import choose_qparams, extent, fake_quantize
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.rows_of_widths import grid
from espalier.quantization.schemes import calibrated, naive
from espalier.quantization.weights import nearest
from support.pruned_networks import built, size

SCHEMES = {
    "naive": naive(),
    "naive-first": naive(first_bits=8),
    "calibrated": calibrated(),
    "plain": calibrated(rounding="nearest", activation_range="percentile", statistics="kept"),
    "entropy": calibrated(rounding="nearest", activation_range="entropy", classifier_bits=8, statistics="estimated"),
}


def images(name: str, count: int, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size(name), size(name), generator=generator)


def outputs_of(x: torch.Tensor):
    def score(model):
        with torch.inference_mode():
            return {"logits": model.eval()(x)}

    return score


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["mobilenetv2", "cct", "thriftynet"])
def test_each_cell_is_its_setting_alone_bit_for_bit(name, scheme):
    model, batches = built(name), images(name, 12).split(4)
    before = copy.deepcopy(model.state_dict())
    score = outputs_of(images(name, 3, seed=6))
    widths, activations = ([32, 4], [32, 3]) if name == "mobilenetv2" else ([4], [32, 4])
    rows = grid(model, widths, activations, SCHEMES[scheme], batches, score)
    assert [(row["weight_bits"], row["activation_bits"]) for row in rows] == [
        (w, a) for w in widths for a in activations
    ]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    plain = score(model)["logits"]
    for row in reversed(rows):
        alone = copy.deepcopy(model)
        setting = [row["weight_bits"]], [row["activation_bits"]]
        (one,) = grid(alone, *setting, SCHEMES[scheme], batches, score)
        assert torch.equal(one["logits"], row["logits"])
        assert torch.equal(row["logits"], plain) == (setting == ([32], [32]))


def test_static_activations_do_not_depend_on_the_other_images_and_dynamic_ones_do():
    name = "mobilenetv2"
    model, x = built(name), images(name, 6)
    x[0] *= 5
    differences = {}
    for scheme in ("calibrated", "naive"):
        quantizer = Quantizer(model, SCHEMES[scheme], images(name, 12).split(4))
        quantizer.set(8, 4)
        with torch.inference_mode():
            whole = model(x)
            parts = torch.cat([model(part) for part in x.flip(0).split(1)]).flip(0)
        quantizer.close()
        differences[scheme] = float((whole - parts).abs().max() / whole.abs().max())
    assert differences["calibrated"] < 1e-5
    assert differences["naive"] > 1e-2


def test_the_naive_scheme_is_its_formula():
    model, x = built("mlp"), images("mlp", 7)
    by_hand = copy.deepcopy(model)
    for layer in weighted(by_hand).values():
        peak = layer.weight.abs().max() / 7
        layer.weight.data = (layer.weight / peak).round() * peak
        layer.register_forward_pre_hook(
            lambda layer, inputs: (fake_quantize(inputs[0], choose_qparams(*extent(inputs[0]), 6, symmetric=True)),)
        )
    (row,) = grid(model, [4], [6], naive(), (), outputs_of(x))
    torch.testing.assert_close(row["logits"], outputs_of(x)(by_hand)["logits"])


@pytest.mark.parametrize("scheme", ["naive", "calibrated"])
def test_weights_are_what_the_levels_say_and_zeros_stay(scheme):
    model = built("mobilenetv2")
    for layer in weighted(model).values():
        layer.weight.data[torch.rand_like(layer.weight) < 0.7] = 0.0
    zeros = {path: layer.weight == 0 for path, layer in weighted(model).items()}
    quantizer = Quantizer(model, SCHEMES[scheme], images("mobilenetv2", 8).split(4))
    quantizer.set(3, 32)
    for path, layer in weighted(model).items():
        assert torch.equal(layer.weight, quantizer.weights[path].dequantize())
        assert not layer.weight[zeros[path]].any()
        assert not torch.signbit(layer.weight[zeros[path]]).any()
    assert not quantizer.activations


def test_the_first_layer_and_the_classifier_may_have_widths_of_their_own():
    model = built("mobilenetv2")
    quantizer = Quantizer(model, calibrated(first_bits=8, classifier_bits=32), images("mobilenetv2", 4).split(4))
    quantizer.set(4, 3)
    widths = {path: each.qparams.highest for path, each in quantizer.weights.items()}
    assert widths.pop(model.facts.first) == 127 and set(widths.values()) == {7}
    assert model.facts.classifier not in quantizer.weights
    reached = {path: each.highest for path, each in quantizer.activations.items()}
    assert reached.pop(model.facts.first) == 255 and set(reached.values()) == {7}
    assert model.facts.classifier not in reached


def test_calibration_needs_images():
    with pytest.raises(ValueError, match="calibrated on training images, and there are none"):
        Quantizer(built("mlp"), calibrated())


def test_error_falls_with_bits_and_with_the_scheme():
    model, x = built("resnet"), images("resnet", 32, seed=9)
    score = outputs_of(x)
    plain = score(model)["logits"]
    errors = {}
    for scheme in ("naive", "plain"):
        rows = grid(model, [3, 6], [32], SCHEMES[scheme], images("resnet", 32).split(16), score)
        errors[scheme] = [float((row["logits"] - plain).square().mean()) for row in rows]
    assert errors["plain"][0] < errors["naive"][0] and errors["plain"][1] < errors["plain"][0] / 10


def test_weights_of_one_layer_are_plain_rounding_where_that_is_asked():
    model = built("resnet")
    quantizer = Quantizer(model, SCHEMES["plain"], images("resnet", 4).split(4))
    quantizer.set(4, 32)
    floats, first = weighted(built("resnet")), model.facts.first
    for path, layer in floats.items():
        wanted = nearest(layer.weight, 8 if path == first else 4, "channel", "mse")
        assert torch.equal(quantizer.weights[path].levels, wanted.levels)
