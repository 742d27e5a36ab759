"""Structured pruning: the counts of the literature, and requests that are refused."""

import copy
import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from espalier.errors import Mistake
from espalier.metrics.cost import params
from espalier.models.cct import cct
from espalier.models.cvt import cvt
from espalier.models.densenet import densenet
from espalier.models.facts import declare
from espalier.models.ghostnet import ghostnet
from espalier.models.lenet import lenet
from espalier.models.resnet import resnet
from espalier.models.shufflenet import shufflenetv2
from espalier.models.spinalnet import spinal_cnn
from espalier.models.squeezenet import squeezenet
from espalier.pruning import graph
from espalier.pruning.shapes import rebuild, shapes
from espalier.pruning.structured import prune

# Channels kept by stem, growth, bottleneck, and features of the classifier; parameters; at 101 classes.
DENSENET = {
    0.1: (21, 10, 43, 332, 799_285),
    0.2: (19, 9, 38, 297, 639_105),
    0.3: (16, 8, 33, 262, 497_620),
    0.4: (14, 7, 28, 227, 373_043),
    0.5: (12, 6, 24, 192, 276_677),
    0.6: (9, 4, 19, 140, 161_143),
    0.7: (7, 3, 14, 105, 94_053),
    0.8: (4, 2, 9, 70, 45_058),
    0.9: (2, 1, 4, 35, 13_571),
}
QUICK = (0.3, 0.9)


def closed_form(ratio, blocks=(6, 12, 24, 16), growth=12, classes=101):
    """Parameters of a DenseNet-BC each convolution of which keeps int(n · (1 - ratio)) of its outputs."""

    def keep(width):
        return int(width * (1 - ratio))

    whole, width = 2 * growth, keep(2 * growth)
    count = 27 * width
    for number, layers in enumerate(blocks):
        for _ in range(layers):
            count += 2 * width + width * keep(4 * growth) + 2 * keep(4 * growth) + 9 * keep(4 * growth) * keep(growth)
            whole, width = whole + growth, width + keep(growth)
        if number < len(blocks) - 1:
            count += 2 * width + width * keep(whole // 2)
            whole, width = whole // 2, keep(whole // 2)
    return width, count + 2 * width + (width + 1) * classes


@pytest.mark.parametrize(
    "ratio", [ratio if ratio in QUICK else pytest.param(ratio, marks=pytest.mark.slow) for ratio in DENSENET]
)
def test_densenet_has_the_counts_of_the_report(ratio):
    stem, growth, bottleneck, features, count = DENSENET[ratio]
    with torch.device("meta"):
        model = densenet(101, 64)
    prune(model, 64, ratio, "random")
    layer = model.features.denseblock3.denselayer7
    assert (model.features.conv0.out_channels, layer.conv2.out_channels, layer.conv1.out_channels) == (
        stem,
        growth,
        bottleneck,
    )
    assert (model.classifier.in_features, params(model)) == (features, count)


@pytest.mark.parametrize("ratio", DENSENET)
def test_the_closed_form_has_the_counts_of_the_report(ratio):
    assert closed_form(ratio) == DENSENET[ratio][3:]


@pytest.mark.parametrize("importance", ["l2", "bn_scale", "lamp", "random"])
def test_local_counts_do_not_depend_on_the_importance(importance):
    model = densenet(10, 8, blocks=(2, 2))
    prune(model, 8, 0.3, importance)
    assert params(model) == closed_form(0.3, blocks=(2, 2), classes=10)[1]


@pytest.mark.parametrize(("ratio", "count"), [(0.25, 2_000_550), (0.5, 940_518), (0.625, 557_958), (0.75, 273_702)])
def test_cct_has_the_counts_of_narrower_ones(ratio, count):
    with torch.device("meta"):
        model = cct(101, 64)
    prune(model, 64, ratio, "random")
    assert params(model) == count
    attention = model.blocks[5].attention
    assert attention.num_heads == 4
    assert attention.qkv.out_features == 3 * 4 * int(64 * (1 - ratio))
    assert model.position.shape == (1, 1024, int(256 * (1 - ratio)))


def only(model, *prunable):
    """The network with all other layers declared unprunable."""
    layers = [path for path, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return declare(model, replace(model.facts, unprunable=tuple(path for path in layers if path not in prunable)))


@pytest.mark.parametrize("network", [cct, cvt])
def test_attention_without_its_zeros_weighs_as_before(network):
    torch.manual_seed(0)
    model = only(network(10, 16, layers=1, heads=2, dim=16).eval(), "blocks.0.attention.qkv")
    attention = model.blocks[0].attention
    nn.init.normal_(attention.qkv.weight, std=0.5)
    nn.init.normal_(attention.proj.weight, std=0.5)
    with torch.no_grad():
        # of each head's 8 dimensions four, in query, key and value, and what the projection reads of them
        attention.qkv.weight.view(3, 2, 8, 16)[:, :, [0, 2, 3, 7]] = 0
        attention.proj.weight.view(16, 2, 8)[:, :, [0, 2, 3, 7]] = 0
        images = torch.randn(4, 3, 16, 16)
        expected = model(images)
        prune(model, 16, 0.5)
        assert attention.qkv.out_features == 3 * 2 * 4
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5)
        attention.scale = 4**-0.5
        assert (model(images) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@pytest.mark.parametrize("ratio", [0, 0.5])
def test_each_attention_loses_its_least_heads_and_the_others_stay_whole(scope, ratio):
    torch.manual_seed(0)
    model = cct(10, 16, layers=2, heads=5, dim=40).eval()
    whole = model.blocks[0].attention.qkv.weight.view(3, 5, 8, 40)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight.view(3, 5, 8, 40)[:, [0, 3]] = 0
            block.attention.proj.weight.view(40, 5, 8)[:, [0, 3]] = 0
        images = torch.randn(4, 3, 16, 16)
        expected = model(images)
        prune(model, 16, ratio, scope=scope, steps=2, head_ratio=0.4)
        if not ratio:
            torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-6)
            assert torch.equal(model.blocks[0].attention.qkv.weight.view(3, 3, 8, 40), whole[:, [1, 2, 4]])
    for block in model.blocks:
        assert (block.attention.num_heads, block.attention.qkv.out_features) == (3, 3 * 3 * 8)
    assert (model.norm.normalized_shape == (40,)) == (ratio == 0)
    assert model(images).shape == (4, 10)
    again = rebuild(cct(10, 16, layers=2, heads=5, dim=40), json.loads(json.dumps(shapes(model)))).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), model(images))
    prune(model, 16, ratio, head_ratio=0.4)
    assert model.blocks[1].attention.num_heads == int(3 * (1 - 0.4))


def test_networks_that_have_lost_no_head_say_nothing_of_heads():
    told = shapes(prune(cct(10, 16, layers=1, heads=2, dim=16), 16, 0.5))
    assert not any("num_heads" in each for each in told.values()), "files of before must stay what they are"
    told["blocks.0.attention"] = {"num_heads": 3}
    with pytest.raises(Mistake, match=r"blocks.0.attention: \{'num_heads': 2\} cannot be cut to \{'num_heads': 3\}"):
        rebuild(cct(10, 16, layers=1, heads=2, dim=16), told)


@pytest.mark.parametrize("heads", [2, 3, 20])
def test_a_ratio_of_heads_keeps_as_many_as_one_of_channels_would(heads):
    for ratio in (0.3, 0.55, 1 / heads, 1 - 1 / heads):
        kept = int(heads * (1 - ratio))
        model = only(cct(10, 16, layers=1, heads=heads, dim=heads), "blocks.0.attention.qkv")
        if kept:
            assert prune(model, 16, 0, head_ratio=ratio).blocks[0].attention.num_heads == kept
        else:
            with pytest.raises(Mistake, match=f"leave none of .* {heads} heads"):
                prune(model, 16, 0, head_ratio=ratio)


def test_heads_that_cannot_be_removed_are_refused():
    def network():
        return cct(10, 16, layers=1, heads=2, dim=16)

    with pytest.raises(Mistake, match=r"ResNet: it has no attention heads for head_ratio 0.5 to remove"):
        prune(resnet(10, 8), 8, 0.5, head_ratio=0.5)
    with pytest.raises(Mistake, match=r"this importance ranks no heads of blocks.0.attention.qkv"):
        prune(network(), 16, 0.5, "bn_scale", head_ratio=0.5)
    with pytest.raises(Mistake, match="pruning ratio 0: give the fraction"):
        prune(network(), 16, 0)
    model = network()
    del model.blocks[0].attention.num_heads
    with pytest.raises(Mistake, match="give the module around it an attribute num_heads"):
        prune(model, 16, 0.5, head_ratio=0.5)


def widths(model):
    return {
        path: len(layer.weight)
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and path != "classifier"
    }


@pytest.mark.parametrize("steps", [1, 3])
def test_local_keeps_its_share_of_every_layer(steps):
    model = resnet(10, 8)
    before = widths(model)
    prune(model, 8, 0.3, steps=steps)
    assert widths(model) == {path: int(width * (1 - 0.3)) for path, width in before.items()}


def test_concatenated_copies_of_a_channel_count_once():
    with torch.device("meta"):
        model = ghostnet(10, 17)
    prune(model, 17, 0.3, "random")
    # A ghost module's 16 channels are 8 and their 8 ghosts; the stem is added to them.
    assert model.blocks[0][0].ghost2.primary_conv[0].out_channels == int(8 * 0.7)
    assert model.conv_stem.out_channels == 2 * int(8 * 0.7)


@pytest.mark.parametrize(
    "build",
    [partial(densenet, blocks=(2, 3, 2)), squeezenet, partial(shufflenetv2, channels=(48, 96, 192))],
    ids=["densenet", "squeezenet", "shufflenetv2"],
)
def test_channels_are_mapped_through_a_concatenation_only_when_it_has_changed(build, monkeypatch):
    mapping = graph.torch_pruning().dependency.index_mapping
    update, calls = mapping.update_concat_index_mapping, []
    monkeypatch.setattr(mapping, "update_concat_index_mapping", lambda *of: calls.append(of) or update(*of))
    torch.manual_seed(0)
    once = build(10, 32)
    always = copy.deepcopy(once)
    prune(once, 32, 0.5, steps=2)
    changed = len(calls)
    monkeypatch.setattr(graph, "_mapped_when_changed", nullcontext)
    prune(always, 32, 0.5, steps=2)
    assert 0 < changed < (len(calls) - changed) / 2
    assert all(torch.equal(weights, always.state_dict()[name]) for name, weights in once.state_dict().items())


def test_the_least_important_channels_go():
    model = only(resnet(10, 8, blocks=(1,), channels=(8,)), "stages.0.conv1")
    block = model.stages[0]
    with torch.no_grad():
        block.conv1.weight.copy_(torch.tensor([5.0, 1, 7, 2, 6, 3, 8, 4])[:, None, None, None].expand(8, 8, 3, 3))
        block.conv2.weight.fill_(1)
    prune(model, 8, 0.5)
    assert block.conv1.weight[:, 0, 0, 0].tolist() == [5, 7, 6, 8]


def test_batch_normalization_ranks_by_its_scale():
    model = only(resnet(10, 8, blocks=(1,), channels=(4,)), "stages.0.conv1")
    with torch.no_grad():
        model.stages[0].bn1.weight.copy_(torch.tensor([0.1, -3.0, 2.0, 0.5]))
        model.stages[0].bn1.running_mean.copy_(torch.arange(4.0))
    prune(model, 8, 0.5, "bn_scale")
    assert model.stages[0].bn1.weight.tolist() == [-3, 2]
    assert model.stages[0].bn1.running_mean.tolist() == [1, 2]


def test_taylor_ranks_by_the_gradients_of_every_step():
    model = only(resnet(10, 8, blocks=(1,), channels=(8,)), "stages.0.conv1")
    asked = []

    def gradients(network):
        block = network.stages[0]
        asked.append(block.conv1.out_channels)
        network(torch.randn(2, 3, 8, 8)).sum().backward()
        with torch.no_grad():
            for convolution in (block.conv1, block.conv2):
                convolution.weight.grad.zero_()
            block.conv1.weight.grad[-2:] = 1

    last = model.stages[0].conv1.weight.detach()[-2:].clone()
    prune(model, 8, 0.75, "taylor", steps=2, gradients=gradients)
    assert asked == [8, 5]
    assert torch.equal(model.stages[0].conv1.weight, last)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("scope", ["global", "isomorphic"])
def test_wider_scopes_take_the_ratio_of_all_layers_together(scope):
    torch.manual_seed(0)
    model = resnet(10, 8)
    block = model.stages[0]
    with torch.no_grad():
        for weight in (block.conv1.weight, block.bn1.weight, block.conv2.weight.transpose(0, 1)):
            weight[:12] *= 1e-3
    hidden = (16, 32, 64)
    prune(model, 8, 0.3, "l2", scope)
    kept = [stage.conv1.out_channels for stage in model.stages]
    assert kept[0] == 4
    if scope == "isomorphic":
        assert sum(kept) == int(sum(hidden) * (1 - 0.3))
        assert model.stem[0].out_channels == widths(model)["stages.0.conv2"]


def test_wider_scopes_of_one_layer_are_the_local_one():
    """A local form of isomorphic pruning would be local pruning: the ratio of each layer, wherever it is ranked."""

    def pruned(scope):
        torch.manual_seed(0)
        return prune(only(resnet(10, 8), "stages.0.conv1"), 8, 0.3, "l1", scope).state_dict()

    local = pruned("local")
    for scope in ("isomorphic", "global"):
        assert all(torch.equal(tensor, local[name]) for name, tensor in pruned(scope).items())


def test_chance_depends_on_the_seed_alone():
    def pruned(seed):
        torch.manual_seed(0)
        model = resnet(10, 8, channels=(8, 8, 8))
        torch.manual_seed(seed + 5)
        state = torch.get_rng_state()
        prune(model, 8, 0.5, "random", seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return model.stem[0].weight.detach()

    assert torch.equal(pruned(1), pruned(1))
    assert not torch.equal(pruned(1), pruned(2))


@pytest.mark.parametrize("ratio", [0.3, 0.45])
def test_widths_are_rounded_down(ratio):
    model = prune(resnet(10, 8, channels=(16, 32, 64)), 8, ratio, round_to=4)
    assert set(widths(model).values()) == {int(width * (1 - ratio)) // 4 * 4 for width in (16, 32, 64)}


def test_pruned_networks_can_be_pruned_again():
    model = prune(prune(cct(10, 16, layers=1, heads=2, dim=32), 16, 0.5), 16, 0.5)
    assert model.norm.normalized_shape == (8,)
    assert model(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_modes_and_buffers_are_left_alone():
    model = cct(10, 16, layers=1, heads=2, dim=16, positional="sine")
    model.blocks[0].eval()
    names = list(model.state_dict())
    prune(model, 16, 0.5)
    assert model.training
    assert not model.blocks[0].mlp.training
    assert sorted(model.state_dict()) == sorted(names)
    assert "position" in dict(model.named_buffers())
    assert model.position.shape == (1, 64, 8)
    assert not model.position.requires_grad


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1.5, -0.1])
def test_a_ratio_out_of_range_is_refused(ratio):
    with pytest.raises(Mistake, match=f"pruning ratio {ratio}: give the fraction of outputs to remove"):
        prune(resnet(10, 8), 8, ratio)


def test_pruning_a_layer_to_nothing_is_refused():
    with pytest.raises(Mistake, match=r"ResNet: pruning would leave nothing of stem.0"):
        prune(resnet(10, 8, channels=(4, 64, 64)), 8, 0.8)
    with pytest.raises(Mistake, match="a smaller round_to"):
        prune(resnet(10, 8, channels=(16, 16, 16)), 8, 0.3, round_to=16)


def test_removing_nothing_is_refused():
    with pytest.raises(Mistake, match="removed no output of layers with batch normalization"):
        prune(lenet(10, 16), 16, 0.5, "bn_scale")
    with pytest.raises(Mistake, match=r"ResNet: pruning at ratio 0.01 removed no output; give a higher ratio"):
        prune(only(resnet(10, 8, blocks=(1,), channels=(1,)), "stages.0.conv1"), 8, 0.01)


@pytest.mark.parametrize("importance", ["bn_scale", "lamp", "taylor"])
def test_its_control_removes_from_the_layers_that_the_importance_ranks(importance):
    def network():
        torch.manual_seed(0)
        return spinal_cnn(10, 16)

    def gradients(model):
        model(torch.ones(2, 3, 16, 16)).square().sum().backward()

    ranked = prune(network(), 16, 0.5, importance, gradients=gradients if importance == "taylor" else None)
    drawn, other = (prune(network(), 16, 0.5, importance, seed=seed, drawn=True) for seed in (1, 2))
    assert shapes(drawn) == shapes(ranked)
    assert any(
        not torch.equal(one, another) for one, another in zip(drawn.parameters(), other.parameters(), strict=True)
    )
    widest = prune(network(), 16, 0.5, "l1")
    assert (params(widest) < params(drawn)) == (importance == "bn_scale"), "spinal layers have no normalization"


@pytest.mark.parametrize(("importance", "p"), [("filter_l1", 1), ("filter_l2", 2)])
def test_filters_alone_are_ranked_by_their_own_norm(importance, p):
    """Not by a mean with their normalization and what reads them, as l1 and l2 are."""
    torch.manual_seed(0)
    model = only(resnet(10, 8, blocks=(1,), channels=(8,)), "stages.0.conv1")
    conv, after = model.get_submodule("stages.0.conv1"), model.get_submodule("stages.0.conv2")
    with torch.no_grad():
        # Small filters whose readers are large: the two rankings are each other's reverse.
        conv.weight.copy_(torch.arange(1, 9).view(-1, 1, 1, 1).expand_as(conv.weight) / 100)
        after.weight.copy_(torch.arange(8, 0, -1).view(1, -1, 1, 1).expand_as(after.weight))
    expected = conv.weight.flatten(1).norm(p, 1).topk(4).indices.sort().values
    kept = conv.weight[expected].clone()
    whole = copy.deepcopy(model)
    assert torch.equal(prune(model, 8, 0.5, importance).get_submodule("stages.0.conv1").weight, kept)
    assert not torch.equal(prune(whole, 8, 0.5, f"l{p}").get_submodule("stages.0.conv1").weight, kept)


def test_taylor_without_gradients_is_refused():
    with pytest.raises(ValueError, match="taylor needs a function that leaves gradients"):
        prune(resnet(10, 8), 8, 0.5, "taylor")
    with pytest.raises(ValueError, match=r"'l3' is none of l1, l2"):
        prune(resnet(10, 8), 8, 0.5, "l3")


def test_one_pruner_does_not_see_the_layers_of_another():
    for _ in range(2):
        model = prune(cct(10, 16, layers=1, heads=2, dim=16), 16, 0.5)
        assert model.blocks[0].attention.qkv.out_features == 24
    from torch_pruning.pruner import BasePruner

    assert not any(default for default in BasePruner.__init__.__defaults__ if isinstance(default, dict))
