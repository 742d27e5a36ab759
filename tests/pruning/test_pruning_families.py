"""Every family of the zoo, pruned by channels: it trains, it loads, and what is left computes what it did."""

import json

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from espalier.errors import Mistake
from espalier.metrics.cost import params
from espalier.pruning.graph import pruner, traceable
from espalier.pruning.shapes import rebuild, shapes
from espalier.pruning.structured import prune
from support.pruned_networks import NAMES, UNPRUNABLE, VARIANTS, built, size

LARGE = {"ghostnet", "ghostnet-v3", "googlenet"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in VARIANTS])
def test_a_pruned_network_trains_saves_and_loads(name):
    model = built(name)
    before = params(model)
    assert prune(model, size(name), 0.5) is model
    assert model.training
    assert params(model) < before
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(4, 3, size(name), size(name))
    cross_entropy(model(images), torch.arange(4)).backward()
    optimizer.step()
    again = rebuild(built(name, seed=1), json.loads(json.dumps(shapes(model))))
    again.load_state_dict(model.state_dict())
    assert shapes(again) == shapes(model)
    with torch.no_grad():
        logits = model.eval()(images)
        assert logits.isfinite().all()
        assert torch.equal(again.eval()(images), logits)


def scattered(group):
    """Scores whose least are neither the first channels nor neighbours."""
    return torch.arange(len(group[0].idxs)) * 5.0 % 7


@torch.no_grad()
def zeroed(layer, function, places, graph):
    """The outputs, or the inputs, at these places of a layer at zero."""
    if graph.is_out_channel_pruning_fn(function):
        layer.weight[places] = 0
        if layer.bias is not None:
            layer.bias[places] = 0
        return
    groups = getattr(layer, "groups", 1)
    inputs, outputs = layer.weight.shape[1], len(layer.weight) // groups
    for place in places:
        group, column = divmod(place, inputs)
        layer.weight[group * outputs : (group + 1) * outputs, column] = 0


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in NAMES]
)
def test_a_pruned_network_computes_what_the_whole_one_did_with_zeros(name):
    model = built(name).double().eval()
    for path in model.facts.attention_heads:
        nn.init.normal_(model.get_submodule(path).weight, std=0.5)
    images = torch.randn(2, 3, size(name), size(name), dtype=torch.float64)
    compared = 0
    with traceable(model):
        chosen = pruner(model, size(name), scattered, 0.4)
        for group in chosen.step(interactive=True):
            layers = [(dep.layer, dep.handler, places) for dep, places in group]
            # What is normalized over channels changes with their number.
            exact = not any(isinstance(layer, nn.LayerNorm) for layer, *_ in layers)
            for layer, function, places in layers:
                if exact and isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                    zeroed(layer, function, places, chosen.DG)
            with torch.no_grad():
                expected = model(images)
                group.prune()
                if exact:
                    torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)
                    compared += 1
    assert compared


@pytest.mark.parametrize("name", UNPRUNABLE)
def test_a_family_without_prunable_layers_says_so(name):
    with pytest.raises(Mistake, match="every layer must keep the number of its outputs"):
        prune(built(name), size(name), 0.3)
