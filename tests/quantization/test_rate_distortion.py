"""Rounding by error and bits at once: what a price buys, what it is measured by, and the search for one."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from espalier.coding import codecs
from espalier.coding.earlier_tensors import EarlierTensors
from espalier.errors import Mistake
from espalier.models.resnet import resnet
from espalier.quantization.hessian import hessians
from espalier.quantization.inputs import Inputs
from espalier.quantization.level_bits import level_bits
from espalier.quantization.price import find_price
from espalier.quantization.qat import convert, prepare_qat
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.rate_distortion import rate_distortion
from espalier.quantization.schemes import rate_distortion as scheme
from espalier.quantization.sensitivity import sensitivities


def layer(rows: int = 40, columns: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight with zeros, rows of unlike size, and second moments of correlated inputs, (1, columns, columns)."""
    torch.manual_seed(0)
    weight = torch.randn(rows, columns) * torch.rand(rows, 1)
    weight[torch.rand_like(weight) < 0.5] = 0.0
    x = torch.randn(500, columns // 2) @ torch.randn(columns // 2, columns) + torch.randn(500, columns)
    return weight, (x.T @ x / len(x))[None]


def error(weight, second, quantized) -> float:
    rows = (quantized.dequantize() - weight).double()
    return float(((rows @ second[0].double()) * rows).sum())


def bits(levels: torch.Tensor) -> float:
    found = level_bits(levels.numpy(), int(levels.abs().max()))
    live = levels.numpy() != 0
    return float(np.where(live, found.other + found.magnitude[np.abs(levels.numpy())], found.zero).sum())


def test_a_greater_price_makes_fewer_bits_and_a_greater_error():
    weight, second = layer()
    found = [rate_distortion(weight, second, torch.ones(len(weight)), price, 127) for price in (1e-3, 1e-2, 1e-1, 1.0)]
    sizes = [len(codecs.encode(each.levels.numpy(), EarlierTensors()).stream) for each in found]
    errors = [error(weight, second, each) for each in found]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[0] > 2 * sizes[-1]


@pytest.mark.parametrize("price", [1e-3, 1e-2, 1e-1])
def test_it_is_better_at_its_price_than_rounding_to_the_nearest(price):
    weight, second = layer()
    found = rate_distortion(weight, second, torch.ones(len(weight)), price, 127)
    levels = (weight / found.qparams.scale).round().int()
    nearest = found._replace(levels=levels)
    costs = [error(weight, second, each) + price * bits(each.levels) for each in (found, nearest)]
    assert costs[0] < 0.98 * costs[1]
    assert not found.levels[weight == 0].any()
    assert (found.levels == 0).sum() > (levels == 0).sum(), "what is not worth its bits becomes zero"


def test_errors_that_are_passed_on_save_bits_at_a_price(monkeypatch):
    weight, second = layer(columns=200)

    def cost(passes: int) -> float:
        monkeypatch.setattr("espalier.quantization.rate_distortion._PASSES", passes)
        found = rate_distortion(weight, second, torch.ones(len(weight)), 1.0, 127)
        assert not found.levels[weight == 0].any()
        return error(weight, second, found) + bits(found.levels)

    assert cost(2) < 0.97 * cost(0)


def test_a_row_of_one_weight_is_a_row():
    weight, second = layer()
    weight[0], weight[1:, 3:] = 0.0, 0.0
    weight[0, 7] = 1.0
    found = rate_distortion(weight, second, torch.ones(len(weight)), 1e-3, 127)
    assert found.dequantize()[0, 7] == pytest.approx(1.0, rel=1e-3)
    alone = rate_distortion(weight[:1], second, torch.ones(1), 1e-3, 127)
    assert alone.dequantize()[0, 7] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("highest", [1, 7, 127])
def test_levels_keep_to_the_width(highest):
    weight, second = layer()
    assert rate_distortion(weight, second, torch.ones(len(weight)), 1e-9, highest).levels.abs().max() == highest


def test_a_weight_beyond_the_last_level_gets_the_last_level():
    weight, second = torch.full((1, 4), 0.1), torch.eye(4)[None]
    weight[0, 0] = 100.0
    found = rate_distortion(weight, second, torch.ones(1), 1e-3, 3, "channel")
    assert found.levels[0].tolist() == [3, 0, 0, 0]
    far = rate_distortion(torch.cat([weight, weight / 50]), second, torch.tensor([1.0, 1e6]), 1e-9, 1, "tensor")
    assert far.levels[0, 0] == 1


def test_one_scale_serves_all_rows_where_that_is_asked_for():
    weight, second = layer()
    found = rate_distortion(weight, second, torch.ones(len(weight)), 1e-2, 127, "tensor")
    assert found.qparams.scale.shape == ()
    finer = rate_distortion(weight, second, torch.ones(len(weight)), 1e-3, 127, "tensor")
    assert finer.qparams.scale < found.qparams.scale


def test_rows_that_matter_more_get_finer_steps():
    weight, second = layer()
    found = rate_distortion(weight, second, torch.cat([torch.ones(20), torch.full((20,), 100.0)]), 1e-2, 127)
    coarse, fine = found.qparams.scale.flatten().split(20)
    assert fine.median() < 0.5 * coarse.median()


def test_rows_and_columns_of_zeros_and_an_input_that_never_varies_do_no_harm():
    weight, second = layer()
    weight[3], weight[:, 5] = 0.0, 0.0
    second[0, 7], second[0, :, 7] = 0.0, 0.0
    found = rate_distortion(weight, second, torch.ones(len(weight)), 1e-2, 127)
    assert not found.levels[3].any()
    assert found.qparams.scale.isfinite().all()
    nothing = rate_distortion(torch.zeros_like(weight), second, torch.ones(len(weight)), 1e-2, 127)
    assert not nothing.levels.any()


def test_bits_are_about_what_the_coder_takes():
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.02, 0.6, (120, 1)) * rng.uniform(0.3, 1.0, (1, 200))
    levels = np.where(rng.random((120, 200)) < rates, np.rint(rng.laplace(0, 4, (120, 200))), 0).astype(np.int64)
    coded = 8 * len(codecs.encode(levels.astype(np.int32), EarlierTensors()).stream)
    assert bits(torch.from_numpy(levels)) == pytest.approx(coded, rel=0.06)


def test_the_logits_of_one_linear_layer_move_as_its_outputs_do():
    torch.manual_seed(0)
    found = sensitivities(nn.Sequential(nn.Linear(6, 4)), [torch.randn(30, 6)])
    torch.testing.assert_close(found["0"], torch.ones(4, dtype=torch.float64))


def test_places_that_move_together_add_up():
    # The mean over places of equal images: an output's change is the logit's, however many places there are.
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(20, 3, 1, 1).expand(20, 3, 5, 5).contiguous()
    torch.testing.assert_close(sensitivities(model, [images])["0"], torch.ones(4, dtype=torch.float64))


def test_sensitivity_foretells_what_an_error_does_to_the_logits():
    torch.manual_seed(0)
    model = resnet(10, 8, blocks=(1, 1), channels=(8, 16)).eval()
    images = [torch.randn(64, 3, 8, 8) for _ in range(4)]
    second, found = hessians(model, Inputs(model), images), sensitivities(model, images)
    path = "stages.0.conv1"
    weight = model.get_submodule(path).weight
    noise = 0.02 * torch.randn_like(weight)
    expected = sum(
        float(g * (row @ second[path][0] @ row)) for g, row in zip(found[path], noise.flatten(1), strict=True)
    )
    with torch.no_grad():
        before = [model(each) for each in images]
        weight += noise
        moved = [(model(each) - one).square().sum(1).mean() for each, one in zip(images, before, strict=True)]
    # Errors of the weights of one row do not add up as independent ones: right to a factor, not to a per cent.
    assert float(torch.stack(moved).mean()) == pytest.approx(expected, rel=0.6)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = resnet(10, 8, blocks=(1, 1), channels=(8, 16)).eval()
    return model, [torch.randn(64, 3, 8, 8)]


def test_a_quantizer_takes_one_price_after_another(network):
    model, batches = network
    quantizer = Quantizer(model, scheme(price=1e-6), batches)
    seen = []
    for price in (None, 1e-2, 1e-6):
        quantizer.set(8, 4, price)
        seen.append({path: each.levels for path, each in quantizer.weights.items()})
        assert quantizer.activations
    quantizer.close()
    assert all(torch.equal(seen[0][path], seen[2][path]) for path in seen[0])
    zeros = [sum(int((levels == 0).sum()) for levels in each.values()) for each in seen]
    assert zeros[1] > zeros[0]


def test_new_zeros_and_steps_stay_in_fine_tuning(network):
    model, batches = network
    made = resnet(10, 8, blocks=(1, 1), channels=(8, 16))
    made.load_state_dict(model.state_dict())
    prepare_qat(made, 8, 32, scheme(price=1e-9), batches, price=1e-5)
    path = "stages.1.conv1"
    zero = made.get_submodule(path).weight == 0
    assert 0 < zero.sum() < zero.numel()
    before = made.get_submodule(path).parametrizations.weight[0].qparams().scale
    floats = made.get_submodule(path).parametrizations.weight.original.detach().clone()
    optimizer = torch.optim.SGD(made.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        made.train()(batches[0]).square().sum().backward()
        optimizer.step()
    assert not torch.equal(made.get_submodule(path).parametrizations.weight.original, floats)
    found = convert(made).weights[path]
    assert not found.levels[zero].any()
    assert torch.equal(found.qparams.scale, before)


class Fake:
    """A quantizer of a network whose top-1 and size follow from the price."""

    def __init__(self, **aim):
        self.scheme, self.price, self.tried = scheme(**aim), 0.0, []

    def set(self, weight_bits, activation_bits, price=None):
        self.price = price or 0.0
        self.tried.append(self.price)

    def quantization(self):
        return None

    def top1(self):
        return 90.0 - max(0.0, math.log10(max(self.price, 1e-30)) + 6)

    def coded_bytes(self, made):
        return round(1000 * (5 - math.log10(self.price)))


def solve(fake, measured=None):
    measured = {} if measured is None else measured
    return find_price(fake, 8, 32, top1=fake.top1, coded_bytes=fake.coded_bytes, measured=measured)


def test_a_price_is_found_for_a_size_and_for_a_drop():
    assert solve(Fake(price=0.3)) == 0.3
    for fake in (Fake(bytes=9_000), Fake(drop=1.5)):
        fake.price = solve(fake)
        if fake.scheme.drop is None:
            assert 8_980 <= fake.coded_bytes(None) <= 9_000
        else:
            assert 88.48 <= fake.top1() <= 88.53
            assert fake.price <= 10**-4.5


def test_what_was_measured_before_is_not_measured_again():
    measured: dict[float, float] = {}
    fake = Fake(drop=1.5)
    first = solve(fake, measured)
    again = Fake(drop=1.5)
    assert solve(again, measured) == first
    assert not again.tried
    assert len(fake.tried) == len(measured)


def test_a_search_that_is_stopped_again_and_again_comes_to_its_end():
    measured: dict[float, float] = {}

    def stop():
        raise InterruptedError

    for stops in range(40):
        fake = Fake(drop=1.5)
        try:
            found = find_price(fake, 8, 32, top1=fake.top1, coded_bytes=fake.coded_bytes, measured=measured, after=stop)
        except InterruptedError:
            assert len(measured) == stops + 1
        else:
            break
    assert found == solve(Fake(drop=1.5))


@pytest.mark.parametrize(("aim", "said"), [({"bytes": 2_000}, "scheme.bytes"), ({"drop": 0.0}, "scheme.drop")])
def test_what_no_price_keeps_to_is_said(aim, said):
    fake = Fake(**aim)
    fake.top1 = lambda: 90.0 - (fake.price > 0)
    with pytest.raises(Mistake, match=said):
        solve(fake)
