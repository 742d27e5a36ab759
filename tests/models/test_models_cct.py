"""Compact transformers: counts, arithmetic, and that channels can be taken out of them by hand."""

import copy

import pytest
import torch
from torch import nn

from espalier.metrics.cost import macs, params
from espalier.models.cct import SeqPool, cct, sine
from espalier.models.cvt import cvt
from espalier.models.facts import prunable

# layers, heads, dim, mlp_ratio, parameters, multiply-accumulates in billions, at 64x64 and 101 classes
PUBLISHED = [
    (6, 4, 256, 1.5, 3_059_814, 6.0687),
    (6, 4, 256, 1.0, 2_665_830, 5.6660),
    (6, 4, 256, 2.0, 3_453_798, 6.4713),
    (6, 4, 128, 1.5, 841_830, 2.3297),
    (6, 4, 128, 1.0, 743_142, 2.2290),
    (6, 4, 128, 2.0, 940_518, 2.4303),
    (4, 4, 128, 2.0, 676_326, 1.6250),
    (4, 4, 128, 1.5, 610_534, 1.5579),
    (6, 3, 96, 2.0, 557_958, 1.6718),
    (6, 3, 96, 1.5, 502_374, 1.6151),
    (4, 3, 96, 2.0, 408_966, 1.1181),
    (4, 3, 96, 1.5, 371_910, 1.0804),
    (3, 3, 96, 1.0, 278_886, 0.7847),
    (6, 2, 64, 2.0, 273_702, 1.0138),
    (4, 2, 64, 1.5, 190_630, 0.6615),
    (4, 2, 64, 2.0, 207_142, 0.6783),
    (3, 2, 64, 1.5, 161_478, 0.4979),
    (3, 3, 48, 1.0, 98_022, 0.3499),
    (2, 2, 64, 1.0, 124_070, 0.3260),
    (2, 2, 32, 1.0, 49_798, 0.1504),
]
KEYS = ("layers", "heads", "dim", "mlp_ratio")
COUNTS = [
    *((cct, dict(zip(KEYS, row, strict=False)), 101, 64, *row[4:]) for row in PUBLISHED),
    (cvt, {"positional": "sine"}, 10, 32, 206_347, 0.0151),
]
SMALL = {"layers": 2, "heads": 2, "dim": 8}


@pytest.mark.parametrize(("network", "settings", "classes", "size", "count", "billions"), COUNTS)
def test_parameters_and_arithmetic_are_those_of_the_reports(network, settings, classes, size, count, billions):
    with torch.device("meta"):
        model = network(classes, size, **settings)
    assert params(model) == count
    assert round(macs(model, size) / 1e9, 4) == billions


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize(
    ("network", "settings"),
    [
        (cct, {}),
        (cct, {"positional": "sine"}),
        (cct, {"positional": "none", "dropout": 0.1}),
        (cct, {"kernel": 5}),
        (cct, {"kernel": 7, "convs": 2}),
        (cct, {"kernel": 2}),
        (cvt, {}),
        (cvt, {"positional": "sine", "patch": 8}),
    ],
)
def test_every_parameter_has_a_gradient_or_the_image_is_refused(network, settings, size):
    torch.manual_seed(0)
    if settings.get("convs") == 2 and size < 17:
        with pytest.raises(ValueError, match="cct takes images of 17x17 and more, and these have 16x16"):
            network(5, size, **SMALL, **settings)
        return
    model = network(5, size, **SMALL, **settings, stochastic_depth=0.0)
    logits = model(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        # A softmax takes no notice of what is added to all of its inputs: this gradient is zero but for rounding.
        assert parameter.grad.abs().sum() > 0 or path == "pool.attention.bias"


@pytest.mark.parametrize(
    ("network", "settings", "smallest"),
    [(cct, {}, 3), (cct, {"convs": 2}, 5), (cct, {"kernel": 7}, 5), (cvt, {}, 8), (cvt, {"patch": 2}, 4)],
)
def test_the_smallest_image_is_the_first_of_several_tokens(network, settings, smallest):
    model = network(3, smallest, **SMALL, **settings).eval()
    assert model.position.shape[1] > 1
    assert model(torch.zeros(1, 3, smallest, smallest)).shape == (1, 3)
    with pytest.raises(ValueError, match=f"takes images of {smallest}x{smallest} and more"):
        network(3, smallest - 1, **SMALL, **settings)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="dim 10 is no multiple of 4 heads"):
        cct(10, 32, dim=10)
    with pytest.raises(ValueError, match="patches of 4x4 do not tile images of 18x18"):
        cvt(10, 18)


@pytest.mark.parametrize("network", [cct, cvt])
def test_facts_name_classifier_tokens_and_heads(network):
    model = network(7, 16, **SMALL)
    assert model.get_submodule(model.facts.classifier).out_features == 7
    assert model.get_submodule(model.facts.first).in_channels == 3
    assert model.facts.attention_heads == {f"blocks.{block}.attention.qkv": 2 for block in range(2)}
    assert model.facts.unprunable == ("pool.attention",)
    assert set(model.facts.attention_heads) < set(prunable(model))


def by_hand(attention, x):
    """Attention as the paper writes it, head by head."""
    dim, heads = x.shape[-1], attention.num_heads
    width = dim // heads
    query, key, value = attention.qkv(x).split(dim, -1)
    outputs = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / width**0.5).softmax(-1)
        outputs.append(weights @ value[..., part])
    return attention.proj(torch.cat(outputs, -1))


def random_cct():
    """Weights large enough that attention is far from uniform."""
    torch.manual_seed(0)
    model = cct(10, 16, layers=2, heads=4, dim=32).eval()
    for block in model.blocks:
        nn.init.normal_(block.attention.qkv.weight, std=0.5)
        nn.init.normal_(block.attention.proj.weight, std=0.5)
    return model


def test_attention_is_that_of_the_paper():
    attention = random_cct().blocks[0].attention
    x = torch.randn(2, 9, 32)
    torch.testing.assert_close(attention(x), by_hand(attention, x))


def test_sequence_pooling_is_a_weighted_mean():
    torch.manual_seed(0)
    pool, x = SeqPool(4), torch.randn(2, 5, 4)
    weights = [(token @ pool.attention.weight[0]).exp() for token in x[1]]
    expected = sum(weight * token for weight, token in zip(weights, x[1], strict=True)) / sum(weights)
    torch.testing.assert_close(pool(x)[1], expected)
    nn.init.zeros_(pool.attention.weight)
    torch.testing.assert_close(pool(x), x.mean(1))


def without(model, gone):
    """A copy whose heads of 8 lack the dimensions `gone`, cut out of the projections."""
    model = copy.deepcopy(model)
    kept = torch.tensor([i for i in range(8) if i not in gone])
    for block in model.blocks:
        attention = block.attention
        rows = (torch.arange(12)[:, None] * 8 + kept).flatten()
        attention.qkv.weight = nn.Parameter(attention.qkv.weight[rows])
        attention.qkv.out_features = len(rows)
        columns = (torch.arange(4)[:, None] * 8 + kept).flatten()
        attention.proj.weight = nn.Parameter(attention.proj.weight[:, columns])
        attention.proj.in_features = len(columns)
    return model


def test_zeroed_head_dimensions_can_be_removed_with_the_scale_kept():
    model, gone, x = random_cct(), (1, 4, 6), torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight.view(3, 4, 8, 32)[:, :, list(gone)] = 0
    small = without(model, gone)
    assert params(small) == params(model) - 2 * 4 * 4 * len(gone) * 32
    torch.testing.assert_close(small(x), model(x), rtol=0, atol=1e-5)
    for block in small.blocks:
        block.attention.scale = 5**-0.5
    assert (small(x) - model(x)).abs().max() > 1e-4


def test_the_embedding_can_shrink_apart_from_the_heads():
    model, kept = random_cct(), torch.arange(0, 32, 2)
    x = torch.randn(2, 3, 16, 16)
    inputs = [model.pool.attention, model.classifier]
    norms, outputs = [model.norm], [model.tokenizer[0]]
    for block in model.blocks:
        inputs += [block.attention.qkv, block.mlp[0]]
        outputs += [block.attention.proj, block.mlp[3]]
        norms += [block.norm1, block.norm2]
    for layer in inputs:
        layer.weight = nn.Parameter(layer.weight[:, kept])
    for layer in (*outputs, *norms):
        layer.weight = nn.Parameter(layer.weight[kept])
        layer.bias = nn.Parameter(layer.bias[kept]) if layer.bias is not None else None
    for norm in norms:
        norm.normalized_shape = (16,)
    model.position = nn.Parameter(model.position[..., kept])
    assert model(x).shape == (2, 10)


def test_dropped_layers_and_weights_are_drawn_in_training_alone():
    torch.manual_seed(0)
    for rate in ("dropout", "attention_dropout", "stochastic_depth"):
        rates = dict.fromkeys(("dropout", "attention_dropout", "stochastic_depth"), 0.0) | {rate: 0.5}
        model = cct(10, 16, **SMALL, **rates)
        nn.init.normal_(model.blocks[1].attention.qkv.weight)
        x = torch.randn(8, 3, 16, 16)
        assert not torch.equal(model(x), model(x)), rate
        model.eval()
        assert torch.equal(model(x), model(x)), rate


def test_sines_turn_slower_from_pair_to_pair():
    table = sine(5, 4)[0]
    for position in range(5):
        angles = torch.tensor([position, position / 100.0])
        torch.testing.assert_close(table[position], torch.stack((angles.sin(), angles.cos()), 1).flatten())
