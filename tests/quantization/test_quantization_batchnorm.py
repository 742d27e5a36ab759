"""Statistics of batch normalization, corrected for a changed network."""

import copy

import pytest
import torch

from espalier.models.mobilenetv2 import mobilenetv2
from espalier.quantization.batchnorm import reestimate, restore, seen, shift, statistics
from support.pruned_networks import built, size


def images(count: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, size("resnet"), size("resnet"), generator=torch.Generator().manual_seed(seed))


def test_statistics_are_those_of_the_images():
    model, x = built("resnet"), images(64)
    reference = copy.deepcopy(model).train()
    for module in (model.stem[1], reference.stem[1]):
        module.running_mean += 3
    reestimate(model, x.split(64))
    reference.stem[1].momentum = 1.0
    reference(x)
    torch.testing.assert_close(model.stem[1].running_mean, reference.stem[1].running_mean)
    torch.testing.assert_close(model.stem[1].running_var, reference.stem[1].running_var)
    assert not model.training and not model.stem[1].training
    assert model.stem[1].momentum == 0.1 and model.stem[1].num_batches_tracked == 0


def test_dropout_is_off_while_statistics_are_estimated():
    model = mobilenetv2(10, 8, width=0.25, dropout=0.9)
    equal = []
    model.classifier[0].register_forward_hook(lambda module, inputs, output: equal.append(torch.equal(*inputs, output)))
    reestimate(model, images(8).split(4))
    assert equal == [True, True]


@pytest.mark.parametrize("name", ["resnet", "thriftynet"])
def test_an_unchanged_network_keeps_its_statistics(name):
    model, batches = built(name), images(24).split(8)
    before = statistics(model)
    shift(model, batches, seen(model, batches), before)
    for old, new in zip(before, statistics(model), strict=True):
        torch.testing.assert_close(new.mean, old.mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(new.variance, old.variance, rtol=1e-5, atol=1e-6)


def test_outputs_come_back_when_filters_were_only_scaled_and_shifted():
    model, batches = built("resnet").eval(), images(24).split(8)
    expected, before, reference = model(batches[0]), statistics(model), seen(model, batches)
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for module in changed.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight *= torch.linspace(1.2, 2.5, len(module.weight))[:, None, None, None]
    assert not torch.allclose(changed(batches[0]), expected, rtol=1e-2)
    shift(changed, batches, reference, before)
    # The means of images unlike those of training do not scale with the filter, so they come back in part.
    for old, new in zip(before[:1], statistics(changed)[:1], strict=True):
        ratio = torch.linspace(1.2, 2.5, len(old.variance)) ** 2
        moved = (new.variance + 1e-5) / (old.variance + 1e-5)
        torch.testing.assert_close(moved, ratio, rtol=1e-3, atol=0)


def test_kept_statistics_come_back():
    model = built("resnet")
    kept = statistics(model)
    reestimate(model, images(8).split(4))
    assert not torch.equal(statistics(model)[0].mean, kept[0].mean)
    restore(model, kept)
    assert all(torch.equal(*pair) for pair in zip(statistics(model)[0], kept[0], strict=True))


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_moments_are_those_of_each_channel(form):
    x = (torch.randn(6, 5, 40, 300) + torch.tensor([0, 3, -300, 0.01, 0]).view(-1, 1, 1)).contiguous(memory_format=form)
    x[:, 4] = 7.0
    norm = torch.nn.BatchNorm2d(5).eval()
    ((found,),) = (each.values() for each in seen(norm, [x]))
    variance, mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(found[0].mean, mean.float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[0].variance, variance.float(), rtol=1e-5, atol=1e-9)
