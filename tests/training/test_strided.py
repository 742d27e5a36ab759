"""Strided 1x1 convolutions of few channels: the same numbers, and no crash where a kernel overruns its memory."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from espalier.training.strided import sound

# Alone in a process, with two threads and a batch that they do not share evenly, the kernel most often crashes.
BACKWARD = """
import torch
from torch import nn
from espalier.training.strided import sound
torch.set_num_threads(2)
layer = nn.Conv2d(8, 16, 1, stride=2, bias=False).to(memory_format=torch.channels_last)
with sound(layer):
    for _ in range(300):
        layer(torch.randn(15, 8, 16, 16).to(memory_format=torch.channels_last)).sum().backward()
"""


def gradients(model, x, layout):
    model, x = model.to(memory_format=layout), x.to(memory_format=layout)
    model.zero_grad()
    with sound(model):
        model(x).square().sum().backward()
    return [p.grad.clone() for p in model.parameters()]


def test_gradients_are_those_of_the_other_memory_order():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 1, stride=2), nn.Conv2d(12, 8, 1, (2, 1), groups=2))
    x = torch.randn(15, 3, 17, 18)
    ours = gradients(model, x, torch.channels_last)
    wanted = gradients(model.double(), x.double(), torch.contiguous_format)
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-3)


def test_only_what_is_affected_is_changed_and_put_back():
    affected, wide, plain = nn.Conv2d(8, 8, 1, 2), nn.Conv2d(16, 8, 1, 2), nn.Conv2d(8, 8, 1)
    model = nn.Sequential(affected, wide, plain)
    with sound(model):
        assert ["forward" in vars(layer) for layer in model] == [True, False, False]
    assert not any("forward" in vars(layer) for layer in model)


def test_two_threads_survive_the_gradient():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", BACKWARD], env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
