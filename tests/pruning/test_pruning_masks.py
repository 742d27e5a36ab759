"""Unstructured pruning: exact counts, and zeros that stay +0.0."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as reference

from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.resnet import resnet
from espalier.pruning.cuts import cubic
from espalier.pruning.masks import Masks, apply, enforcer, everything, from_zeros, rows, weights
from espalier.pruning.weakest import magnitude, random, step
from espalier.seeding import key


def network():
    torch.manual_seed(0)
    return resnet(10, 8, blocks=(1, 1), channels=(4, 8))


def test_weights_are_those_of_convolutions_and_linear_layers():
    model = network()
    found = weights(model)
    assert next(iter(found)) == "stem.0.weight"
    assert list(found)[-1] == "classifier.weight"
    assert sum(weight.numel() for weight in found.values()) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.ndim > 1
    )
    assert found["stem.0.weight"] is model.stem[0].weight
    assert weights(model, ["first", "classifier"]).keys() == found.keys() - {"stem.0.weight", "classifier.weight"}
    assert found.keys() - weights(model, kinds=(nn.Conv2d,)).keys() == {"classifier.weight"}
    with pytest.raises(ValueError, match="no part last; the parts are first, classifier"):
        weights(model, ["last"])


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.777, 0.95])
def test_each_layer_loses_what_torch_takes_from_it(sparsity):
    model = network()
    masks = magnitude(weights(model), sparsity, floor=None)
    for path, mask in masks.items():
        module = model.get_submodule(path.removesuffix(".weight"))
        reference.l1_unstructured(module, "weight", sparsity)
        assert torch.equal(mask, module.weight_mask.bool()), path


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.777, 0.95])
def test_all_layers_lose_what_torch_takes_from_them(sparsity):
    model = network()
    masks = magnitude(weights(model), sparsity, "global", floor=None)
    modules = {path: model.get_submodule(path.removesuffix(".weight")) for path in masks}
    reference.global_unstructured(
        [(module, "weight") for module in modules.values()], reference.L1Unstructured, amount=sparsity
    )
    for path, module in modules.items():
        assert torch.equal(masks[path], module.weight_mask.bool()), path


def test_of_equal_weights_the_earlier_go():
    even = {"a": torch.ones(2, 3), "b": torch.ones(3)}
    masks = magnitude(even, 0.5, "global", floor=None)
    assert masks["a"].flatten().tolist() == [False] * 4 + [True] * 2
    assert masks["b"].all()


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_chance_drops_as_many_and_is_told_by_its_key(scope):
    found = weights(network())
    masks = random(found, 0.6, key(1, "prune"), scope, floor=None)
    assert masks.kept == magnitude(found, 0.6, scope, floor=None).kept
    again, other = (random(found, 0.6, key(seed, "prune"), scope, floor=None) for seed in (1, 2))
    assert all(torch.equal(masks[path], again[path]) for path in masks)
    assert any(not torch.equal(masks[path], other[path]) for path in masks)
    assert any(masks[path].flatten()[weight.detach().abs().argmin()] for path, weight in found.items())


def test_report_004_keeps_96871_weights_after_14_rounds():
    torch.manual_seed(0)
    found = weights(mobilenetv2(10, 32))
    assert sum(weight.numel() for weight in found.values()) == 2_202_560
    masks = everything(found)
    for _ in range(14):
        before = masks
        masks = step(found, masks, 0.2, floor=None)
        assert masks.kept == before.kept - int(0.2 * before.kept)
    assert masks.kept == 96_871
    assert round(100 * masks.sparsity, 2) == 95.60
    kept = torch.cat([weight.detach()[masks[path]].abs() for path, weight in found.items()])
    gone = torch.cat([weight.detach()[~masks[path]].abs() for path, weight in found.items()])
    assert gone.max() <= kept.min()


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("seed", [None, 3])
def test_what_went_stays_away(scope, seed):
    found = weights(network())
    masks = everything(found)
    for number in range(3):
        smaller = step(found, masks, 0.3, scope, key=None if seed is None else key(seed, number))
        assert smaller.kept < masks.kept
        assert all(not (smaller[path] & ~masks[path]).any() for path in masks)
        masks = smaller
    grown = random(found, 0.9, key(4), scope, masks=masks)
    assert all(not (grown[path] & ~masks[path]).any() for path in masks)
    assert magnitude(found, 0.1, masks=grown).kept == grown.kept


def collapsing():
    """A network one layer of which has weights far smaller than the others'."""
    model = network()
    with torch.no_grad():
        model.stages[1].conv2.weight.mul_(1e-4)
    return weights(model)


def test_a_floor_keeps_a_layer_from_collapsing():
    found, weak = collapsing(), "stages.1.conv2.weight"
    bare, floored = (magnitude(found, 0.9, "global", floor=floor) for floor in (None, 0.01))
    assert bare[weak].sum() == 0
    assert floored[weak].sum() == max(8, -(-found[weak].numel() // 100)) == 8
    assert floored.kept == bare.kept
    assert magnitude(found, 0.9, "global", floor=0.25)[weak].sum() == found[weak].numel() // 4
    survivors = found[weak].detach()[floored[weak]].abs()
    assert survivors.min() >= found[weak].detach()[~floored[weak]].abs().max()


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_at_the_floor_nothing_more_goes(scope):
    found = weights(network())
    masks = magnitude(found, 0.9999, scope, floor=0.1)
    least = {path: max(-(-weight.numel() // 10), len(weight)) for path, weight in found.items()}
    assert {path: int(mask.sum()) for path, mask in masks.items()} == least
    assert step(found, masks, 0.5, scope, floor=0.1).kept == masks.kept


def test_a_mask_of_another_shape_or_type_is_refused():
    found = {"a": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=r"mask of a is torch.float32, not torch.bool"):
        Masks(found, {"a": torch.ones(2, 3)})
    with pytest.raises(ValueError, match=r"mask of a is \(3, 2\), its weight \(2, 3\)"):
        Masks(found, {"a": torch.ones(3, 2, dtype=torch.bool)})
    with pytest.raises(ValueError, match="do not pair up: b"):
        Masks(found, {"a": torch.ones(2, 3, dtype=torch.bool), "b": torch.ones(1, dtype=torch.bool)})


def test_a_sparsity_or_scope_that_makes_no_sense_is_refused():
    found = {"a": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=r"sparsity is at least 0 and below 1, not 1.0"):
        magnitude(found, 1.0)
    with pytest.raises(ValueError, match="scope is layer or global, not 'local'"):
        magnitude(found, 0.5, "local")


OPTIMIZERS = [
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_zeros_stay_positive_zeros_through_training(optimizer):
    model = network()
    masks = magnitude(weights(model), 0.7)
    apply(model, masks)
    optimizer, enforce = optimizer(model.parameters()), enforcer(model, masks)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 8, 8)).square().mean().backward()
        optimizer.step()
        enforce()
        for path, weight in weights(model).items():
            dropped = weight.detach()[~masks[path]]
            assert torch.equal(dropped.view(torch.int32), torch.zeros_like(dropped, dtype=torch.int32)), path
            assert weight.detach()[masks[path]].all(), path


def test_zeros_tell_the_masks():
    model = network()
    masks = magnitude(weights(model), 0.7, "global")
    apply(model, masks)
    loaded = copy.deepcopy(model)
    found = from_zeros(loaded)
    assert found.kept == masks.kept
    assert all(torch.equal(found[path], masks[path]) for path in masks)


def test_rows_tell_the_sparsity_of_each_layer():
    model = network()
    apply(model, magnitude(weights(model), 0.5, floor=None))
    path, count, nonzeros, sparsity = rows(model)[0]
    assert (path, count, nonzeros, sparsity) == ("stem.0.weight", 108, 54, 0.5)
    assert [row.path for row in rows(model)] == list(weights(model))
    assert rows(model, ["first"])[0].path != "stem.0.weight"


@pytest.mark.parametrize(
    ("at", "sparsity"),
    [(0, 0.1), (10, 0.1), (15, 0.9 - 0.8 * 0.75**3), (20, 0.8), (30, 0.9), (99, 0.9)],
)
def test_the_schedule_is_cubic(at, sparsity):
    assert cubic(0.1, 0.9, at, begin=10, end=30) == pytest.approx(sparsity, abs=1e-15)


def test_a_schedule_without_length_is_refused():
    with pytest.raises(ValueError, match="ends at step 5, before or where it begins, 5"):
        cubic(0, 1, 5, begin=5, end=5)
