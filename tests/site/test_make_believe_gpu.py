"""What the make-believe GPU of the tests refuses, counts and leaves alone.

Each of these was put back once, and a test on it failed:

| defect | test |
|---|---|
| `AdaptiveMaxPool2d` in a network | a step of it is refused, test_fit_on_gpu |
| a number read in a step; sums, or what a resumed run goes on with, on the host | the same: a wait, or two devices |
| gradients that are filled with zeros instead of left out | the same: more kernels than recorded |
| the device's generator is not seeded, or asked for before CUDA has started | the same: other bits, or an error |
| `is_cuda` taken for "no CPU"; float64 on a Mac | `.numpy()`, or float64, is refused, test_augment_on_gpu |
| constants copied to the device with each chunk; places found by `nonzero` there | the same: more waits |
| an epoch's order, or the numbers of normalization, on the host | the same: two devices |
| TF32 left on | test_arithmetic |
| three processes that add up in another order after a resume | test_buckets, on CPUs |
"""

import copy

import pytest
import torch
from torch import nn

from espalier.site import device
from support.make_believe_gpu import DeviceTensor, gpu, on_cpu

REFUSED = {
    "two devices": (lambda x: x + torch.ones(3), RuntimeError, "Expected all tensors to be on the same device"),
    "two devices, turned": (lambda x: torch.ones(3).mul_(x), RuntimeError, "Expected all tensors to be on the same"),
    "another's places": (lambda x: x.index_select(0, torch.tensor([1])), RuntimeError, "Expected all tensors"),
    "a list of two": (lambda x: torch.cat([x, torch.ones(3)]), RuntimeError, "Expected all tensors"),
    "numpy": (lambda x: x.numpy(), TypeError, "Use Tensor.cpu"),
    "an array": (lambda x: x.detach().view(3, 1).__array__(), TypeError, "Use Tensor.cpu"),
    "no fixed order": (
        lambda x: nn.AdaptiveAvgPool2d(2)(x.expand(1, 3, 3, 3).clone().requires_grad_()).sum().backward(),
        RuntimeError,
        "adaptive_avg_pool2d_backward does not have a deterministic implementation",
    ),
    "weighted counts": (lambda x: torch.bincount(x.long(), x), RuntimeError, "does not have a deterministic"),
}
WAITS = {
    "item": (lambda x: x.sum().item(), {"item": 1}),
    "a number": (lambda x: float(x[0]), {"item": 1}),
    "a condition": (lambda x: bool((x > 0).all()), {"item": 1}),
    "a list": (lambda x: x.tolist(), {"from": 1}),
    "cpu": (lambda x: x.cpu(), {"from": 1}),
    "to": (lambda x: x.to("cpu", torch.float64), {"from": 1}),
    "copied to a cpu": (lambda x: torch.zeros(3).copy_(x), {"from": 1}),
    "a literal": (lambda x: torch.tensor([1.0], device=x.device), {"to": 1}),
    "a new literal": (lambda x: x.new_tensor([1.0]), {"to": 1}),
    "from a cpu": (lambda x: torch.ones(3).to(x.device), {"to": 1}),
    "copied": (lambda x: x.copy_(torch.ones(3)), {"to": 1}),
    "places of the host": (lambda x: x[torch.tensor([0, 1])], {"to": 1}),
    "nonzero": (lambda x: x.nonzero(), {"size": 1}),
    "a mask": (lambda x: x[x > 0], {"mask": 1}),
    "masked": (lambda x: x.masked_select(x > 0), {"size": 1}),
    "unique": (lambda x: x.unique(), {"size": 1}),
    "counts": (lambda x: torch.bincount(x.long(), minlength=3), {"size": 1}),
    "equal": (lambda x: torch.equal(x, x.clone()), {"equal": 1}),
    "not from a cpu": (lambda x: torch.ones(3).to(x.device, non_blocking=True), {}),
    "not a scalar": (lambda x: x * torch.tensor(2.0) + 1, {}),
    "not where": (lambda x: torch.where(x > 0, x, 0.0).masked_fill(x > 1, 2.0), {}),
    "not places": (lambda x: x[torch.arange(2, device=x.device)], {}),
    "not a view": (lambda x: x.view(3, 1).expand(3, 2)[1:].flatten(), {}),
    "not filled": (lambda x: x.new_full((2, 1), 0.5).fill_(3), {}),
}


@pytest.fixture
def deterministic():
    before = torch.get_deterministic_debug_mode()
    device.prepare()
    yield
    torch.set_deterministic_debug_mode(before)


@pytest.mark.parametrize(("asked", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_what_a_gpu_refuses_is_refused(asked, kind, words, deterministic):
    with gpu():
        x = torch.arange(3.0, device="cuda")
        with pytest.raises(kind, match=words):
            asked(x)


@pytest.mark.parametrize(("asked", "waits"), WAITS.values(), ids=WAITS)
def test_waits_are_counted_by_kind(asked, waits):
    with gpu() as seen:
        x = torch.arange(3.0, device="cuda")
        seen.clear()
        asked(x)
        assert seen.waits == waits
        assert sum(seen.copies.values()) == waits.get("to", 0) + waits.get("from", 0) + (asked is NOT_WAITED_FOR)


NOT_WAITED_FOR = WAITS["not from a cpu"][0]


def test_kernels_are_counted_and_views_are_not():
    with gpu() as seen:
        x = torch.ones(2, 3, device="cuda")
        seen.clear()
        (x.t()[1:].reshape(-1) + 1).relu_()
        assert seen.kernels == {"clone": 1, "add": 1, "relu_": 1}


def test_a_network_moves_there_with_its_parameters_and_learns_the_same():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))
    x, twin = torch.randn(2, 3, 8, 8), copy.deepcopy(model)
    twin(x).square().sum().backward()
    with gpu():
        known = list(model.parameters())
        model.to("cuda", memory_format=torch.channels_last)
        assert all(one is other for one, other in zip(known, model.parameters(), strict=True))
        assert all(isinstance(one, nn.Parameter) and one.is_cuda for one in model.parameters())
        model(x.to("cuda")).square().sum().backward()
        again = copy.deepcopy(model)
        assert again[0].weight.is_cuda and on_cpu(again[0].weight).data_ptr() != on_cpu(model[0].weight).data_ptr()
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(on_cpu(one.grad), other.grad)


def test_its_draws_are_its_own():
    with gpu():
        torch.manual_seed(0)
        before = torch.default_generator.get_state()
        assert isinstance(torch.rand(3, device="cuda"), DeviceTensor)
        assert torch.equal(torch.default_generator.get_state(), before)
        torch.rand(3)
        assert not torch.equal(torch.default_generator.get_state(), before)


def test_a_device_of_a_mac_has_no_float64():
    with gpu("mps"):
        x = torch.ones(3, device="mps")
        assert x.device.type == "mps" and not x.is_cuda and not x.is_cpu
        with pytest.raises(TypeError, match="float64"):
            x.double()


def test_behind_the_block_nothing_is_left():
    with gpu():
        x = torch.ones(3, device="cuda")
    assert torch.cuda._lazy_init.__module__ == "torch.cuda"
    assert type(torch.ones(3) + 1) is torch.Tensor
    assert on_cpu(x).tolist() == [1, 1, 1]
