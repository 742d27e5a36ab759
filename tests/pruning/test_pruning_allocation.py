"""A ratio spread over layers: exact counts, the shapes that are named, and what a layer alone costs."""

import math

import pytest
import torch
from torch import nn

from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.resnet import resnet
from espalier.pruning import layer_shares
from espalier.pruning.cuts import Subject
from espalier.pruning.masks import everything, from_zeros, weights
from espalier.pruning.methods import gradual, iterative, magnitude
from espalier.pruning.weakest import allotted
from espalier.pruning.weakest import least as least_of

STATELESS = ["gaussian", "erdos_renyi_kernel"]


def network():
    torch.manual_seed(0)
    return resnet(10, 8, blocks=(1, 1, 1), channels=(4, 8, 16))


def subject(model, control=None, correct=lambda: 100):
    return Subject(model, 8, 3, 1, control, gradients=lambda model: None, correct=correct)


def sparsities(masks):
    return [1 - mask.float().mean().item() for mask in masks.values()]


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("allocation", [*STATELESS, "sensitivity"])
def test_all_layers_together_lose_the_ratio_exactly(allocation, ratio):
    model = network()
    masks = magnitude(ratio=ratio, allocation=allocation, layer_floor=0.0).cut(subject(model), None)
    spare = sum(weight.numel() - len(weight) for weight in weights(model).values())
    assert masks.total - masks.kept == min(round(ratio * masks.total), spare)
    assert all(mask.sum() >= len(mask) for mask in masks.values())


def test_a_gaussian_takes_little_at_both_ends_and_most_in_the_middle():
    found = sparsities(magnitude(ratio=0.3, allocation="gaussian").cut(subject(network()), None))
    middle = len(found) // 2
    assert found[:middle] == sorted(found[:middle])
    assert found[middle:] == sorted(found[middle:], reverse=True)
    # The ends lie two standard deviations from the middle.
    assert found[-1] == pytest.approx(max(found) * math.exp(-2), abs=0.02)


def test_erdos_renyi_kernel_keeps_as_the_sum_of_the_sides_over_their_product():
    model = mobilenetv2(10, 32, width=0.5)
    found = weights(model)
    masks = magnitude(ratio=0.9, allocation="erdos_renyi_kernel", layer_floor=0.0).cut(subject(model), None)
    kept = {path: int(mask.sum()) for path, mask in masks.items()}
    free = [path for path, weight in found.items() if len(weight) < kept[path] < weight.numel()]
    assert len(free) > 10
    factors = [kept[path] / sum(found[path].shape) for path in free]
    assert max(factors) - min(factors) < 0.05
    whole = [path for path, weight in found.items() if kept[path] == weight.numel()]
    assert all(sum(found[path].shape) * max(factors) >= found[path].numel() for path in whole)


def halvings(weight):
    """How often a layer's weights were halved."""
    return -math.log2((weight != 0).double().mean().item())


def test_cuts_of_single_layers_cost_as_much():
    """Layers that lose 0, 1 and 4 images a halving, with the one that is always added 1, 2 and 5."""
    model = nn.Sequential(nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 64))
    before = [layer.weight.clone() for layer in model]

    def correct():
        return round(1000 - sum(lost * halvings(layer.weight) for lost, layer in zip((0, 1, 4), model, strict=True)))

    masks = magnitude(ratio=0.6, allocation="sensitivity", layer_floor=0.0).cut(subject(model, correct=correct), None)
    first, second, third = (halvings(mask) for mask in masks.values())
    assert [first / second, first / third] == pytest.approx([2, 5], rel=0.02)
    assert masks.total - masks.kept == round(0.6 * masks.total)
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(model, before, strict=True))


def test_sensitivity_looks_at_one_cut_layer_at_a_time():
    model = network()
    seen = []
    found = weights(model)

    def correct():
        seen.append([path for path, weight in found.items() if (weight == 0).any()])
        return 50

    layer_shares.sensitivity(found, everything(found), None, correct)
    assert seen == [[], *([path] for path in found for _ in range(6))]


@pytest.mark.parametrize("allocation", [*STATELESS, "sensitivity"])
def test_rounds_go_on_from_what_is_dropped(allocation):
    model, kept = network(), None
    cut = iterative(ratio=0.3, scope="layer", allocation=allocation)
    for _ in range(4):
        before = everything(weights(model)) if kept is None else kept
        kept = cut.cut(subject(model), kept)
        assert kept.kept == before.kept - int(0.3 * before.kept)
        assert all(not (kept[path] & ~before[path]).any() for path in kept)


@pytest.mark.parametrize("allocation", STATELESS)
def test_a_growing_ratio_ends_where_the_ratio_at_once_does(allocation):
    model, at_once = network(), magnitude(ratio=0.8, allocation=allocation)
    cut = gradual(ratio=0.8, allocation=allocation, every=1, end=0.5)
    kept = cut.cut(subject(model), None)
    for step in range(1, 11):
        kept = cut.refine(subject(model), kept, step, 20)
    expected = at_once.cut(subject(model), None)
    assert kept.kept == expected.kept
    # Rounding may have given another layer the odd weight on the way.
    assert all(abs(int(kept[path].sum()) - int(expected[path].sum())) <= 1 for path in kept)


def test_chance_takes_as_many_of_each_layer():
    model = network()
    cut = magnitude(ratio=0.7, allocation="gaussian")
    ranked, drawn = cut.cut(subject(model), None), cut.cut(subject(model, "random"), None)
    assert sparsities(ranked) == sparsities(drawn)
    assert any(not torch.equal(ranked[path], drawn[path]) for path in ranked)


def test_what_was_dropped_before_stays_and_counts():
    model = network()
    with torch.no_grad():
        model.stem[0].weight.fill_(0.0)
    masks = from_zeros(model)
    least = {path: least_of(weight, 0.01) for path, weight in weights(model).items()}
    dropped = layer_shares.counts(masks, round(0.5 * masks.total), layer_shares.gaussian(len(masks)), least)
    assert dropped["stem.0.weight"] == model.stem[0].weight.numel()
    assert sum(dropped.values()) == round(0.5 * masks.total)
    assert not allotted(weights(model), dropped, masks)["stem.0.weight"].any()
