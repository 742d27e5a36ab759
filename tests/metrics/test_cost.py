"""Arithmetic and memory of networks against closed forms and torch's own counter."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from espalier.metrics import cost, layer_inputs
from espalier.models import rules
from espalier.models.cct import cct
from espalier.models.densenet import densenet
from espalier.models.lenet import lenet
from espalier.models.mlp import mlp
from espalier.models.mobilenetv2 import mobilenetv2
from espalier.models.resnet import resnet
from espalier.models.thriftynet import thriftynet
from espalier.settings.registry import entries


class Attention(nn.Module):
    """Pixels as tokens of 4 heads, 2 numbers each, through `attend`."""

    def __init__(self, attend):
        super().__init__()
        self.project, self.attend = nn.Linear(3, 3 * 8), attend

    def forward(self, x):
        x = self.project(x.flatten(2).transpose(1, 2))
        query, key, value = x.unflatten(2, (3, 4, 2)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.attend(query, key, value)


def written_out(query, key, value):
    return (query @ key.transpose(2, 3)).softmax(-1) @ value


class Encoder(nn.Module):
    """Torch's own attention, which in evaluation has a fast path."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 4, batch_first=True)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2).repeat(1, 1, 4)
        return self.attention(x, x, x, need_weights=False)[0]


# network, multiply-accumulates of an 8x8 image, those of the layers that read it
FORMS = {
    "conv": (nn.Conv2d(3, 5, 3, padding=1), 64 * 5 * 3 * 9, 64 * 5 * 3 * 9),
    "conv-strided": (nn.Conv2d(3, 5, 3, stride=2), 9 * 5 * 3 * 9, 9 * 5 * 3 * 9),
    "depthwise": (nn.Conv2d(3, 6, 3, padding=1, groups=3), 64 * 6 * 9, 64 * 6 * 9),
    "grouped": (
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, (3, 1), groups=4)),
        64 * 8 * 3 + 48 * 12 * 2 * 3,
        64 * 8 * 3,
    ),
    "linear": (nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.Linear(10, 4)), 192 * 10 + 10 * 4, 192 * 10),
    "attention": (Attention(written_out), 64 * 3 * 24 + 2 * 4 * 64 * 64 * 2, 64 * 3 * 24),
    "attention-fused": (Attention(scaled_dot_product_attention), 64 * 3 * 24 + 2 * 4 * 64 * 64 * 2, 64 * 3 * 24),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("where", ["cpu", "meta"])
def test_macs_are_those_of_the_closed_form(name, where):
    model, forward, first = FORMS[name]
    model = model if where == "cpu" else cost.shapes_only(model)
    assert cost.macs(model, 8) == forward
    assert cost.training_macs(model, 8) == 3 * forward - first


def test_the_fast_path_of_torchs_attention_is_counted():
    assert cost.macs(Encoder().eval(), 8) == 4 * 64 * 12 * 12 + 2 * 4 * 64 * 64 * 3
    assert torch.backends.mha.get_fastpath_enabled()


UNGROUPED = {
    "mlp": mlp,
    "lenet": lenet,
    "resnet": resnet,
    "resnet of kernels": lambda classes, size: resnet(
        *(classes, size), kernels=(5, 3, 1), shortcut_kernels=(3,), pool="max", window=2, preactivation=True
    ),
    "densenet": lambda classes, size: densenet(classes, size, blocks=(2, 2)),
    "thriftynet": thriftynet,
    "cct": lambda classes, size: cct(classes, size, layers=2, dim=16, stochastic_depth=0.0),
}


@pytest.mark.parametrize("name", [*UNGROUPED, "mobilenetv2"])
def test_forward_is_what_torchs_counter_finds(name):
    with torch.device("meta"):
        model, x = (UNGROUPED | {"mobilenetv2": mobilenetv2})[name](10, 16).eval(), torch.zeros(1, 3, 16, 16)
        with FlopCounterMode(display=False) as counter:
            model(x)
    assert 2 * cost.macs(model, 16) == counter.get_total_flops()


def counted_step(model):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 16, 16)).sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", UNGROUPED)
def test_training_is_what_torchs_counter_finds_without_groups(name):
    with torch.device("meta"):
        model = UNGROUPED[name](10, 16).eval()
    assert 2 * cost.training_macs(model, 16) == counted_step(model)


def test_torchs_counter_takes_the_backward_pass_of_groups_for_a_full_one():
    with torch.device("meta"):
        model = mobilenetv2(10, 16).eval()
    assert counted_step(model) > 4 * 2 * cost.training_macs(model, 16)


@pytest.mark.parametrize("measure", [cost.macs, cost.training_macs, layer_inputs.input_bytes, layer_inputs.saved_bytes])
def test_measuring_leaves_the_network_as_it_was(measure):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(0)
    drawn = torch.get_rng_state()
    measure(model, 4)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_failed_count_leaves_the_mode():
    model = nn.Sequential(nn.Conv2d(4, 2, 1)).train()
    with pytest.raises(RuntimeError, match="channels"):
        cost.macs(model, 4)
    assert model.training and model[0].training


def test_layers_are_those_with_weights():
    assert cost.layers(lenet(10, 32)) == 5
    with torch.device("meta"):
        assert cost.layers(densenet(10, 32)) == 121
        assert cost.layers(thriftynet(10, 32)) == 2


def test_activations_of_a_network_counted_by_hand():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 10),
    )
    image, wide, narrow = 3 * 64, 8 * 64, 8 * 16
    assert layer_inputs.input_bytes(model, 8) == 4 * (image + wide + narrow)
    # Normalization keeps its input, the ReLU its output, which the next convolution reads.
    assert layer_inputs.saved_bytes(model, 8) == 4 * (image + wide + wide + narrow)
    model[2] = nn.ReLU(inplace=True)
    assert layer_inputs.saved_bytes(model, 8) == 4 * (image + wide + wide + narrow)


def test_attention_keeps_no_weights():
    model = Attention(scaled_dot_product_attention)
    image, projected, output, sums = 64 * 3, 64 * 24, 64 * 8, 64 * 4
    assert layer_inputs.saved_bytes(model, 8) == 4 * (image + projected + output + sums)
    assert layer_inputs.saved_bytes(Attention(written_out), 8) > 4 * (4 * 64 * 64)


def test_saved_bytes_are_what_a_real_step_keeps():
    """On the processor itself, with real tensors."""
    torch.manual_seed(0)
    model = resnet(10, 16, blocks=(1, 1), channels=(4, 8))
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}

    def kept(images):
        sizes = {}

        def keep(tensor):
            if (storage := tensor.untyped_storage()).data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(torch.randn(images, 3, 16, 16))
        del output
        return sum(sizes.values())

    assert layer_inputs.saved_bytes(model, 16) == kept(5) - kept(4)


def test_inputs_of_mobilenetv2_are_its_maps():
    with torch.device("meta"):
        model = mobilenetv2(10, 32)
    assert layer_inputs.input_bytes(model, 32) == 4 * 4_172_032


@pytest.mark.parametrize("entry", entries("model").values(), ids=lambda entry: entry.name)
def test_every_model_is_measured_by_its_shapes(entry):
    size = max(32, rules.smallest(entry))
    with torch.device("meta"):
        model = entry.load()(10, size)
    forward = cost.macs(model, size)
    assert 2 * forward <= cost.training_macs(model, size) < 3 * forward
    assert min(layer_inputs.input_bytes(model, size), layer_inputs.saved_bytes(model, size), cost.layers(model)) > 0
