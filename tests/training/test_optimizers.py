import pytest
import torch

from espalier.settings.registry import entries
from espalier.settings.sections import Training
from espalier.training.state import State

GRADIENTS = torch.tensor([0.5, -2.0, 0.25, 1.0], dtype=torch.float64)
START = 1.0


def steps(train: Training, count=4):
    """The weight after each step, with the gradients above."""
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, START)
    optimizer = State.begin(model, train, steps_per_epoch=100).optimizer
    seen = []
    for gradient in GRADIENTS[:count]:
        model.weight.grad = gradient.reshape(1, 1).clone()
        optimizer.step()
        seen.append(model.weight.item())
    return seen


def settings(optimizer, **words):
    return Training.model_validate({"optimizer": optimizer, "scheduler": "constant", **words})


def sgd(w, gradients, lr=0.1, momentum=0.9, decay=0.01):
    velocity = 0.0
    for i, g in enumerate(gradients):
        g = g + decay * w
        velocity = g if i == 0 else momentum * velocity + g
        w = w - lr * (g + momentum * velocity)
        yield w


def adam(w, gradients, lr=0.1, b1=0.9, b2=0.999, decay=0.1, decoupled=False):
    m = v = 0.0
    for i, g in enumerate(gradients, 1):
        if decoupled:
            w = w - lr * decay * w
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - lr * (m / (1 - b1**i)) / ((v / (1 - b2**i)) ** 0.5 + 1e-8)
        yield w


def rmsprop(w, gradients, lr=0.1, alpha=0.99):
    v = 0.0
    for g in gradients:
        v = alpha * v + (1 - alpha) * g * g
        w = w - lr * g / (v**0.5 + 1e-8)
        yield w


def adadelta(w, gradients, lr=0.1, rho=0.9, eps=1e-6):
    v = d = 0.0
    for g in gradients:
        v = rho * v + (1 - rho) * g * g
        step = ((d + eps) / (v + eps)) ** 0.5 * g
        d = rho * d + (1 - rho) * step * step
        w = w - lr * step
        yield w


RULES = {
    "sgd": ({"weight_decay": 0.01}, sgd),
    "adam": ({"weight_decay": 0.1}, adam),
    "adamw": ({"weight_decay": 0.1}, lambda w, g: adam(w, g, decoupled=True)),
    "rmsprop": ({}, rmsprop),
    "adadelta": ({}, adadelta),
}


@pytest.mark.parametrize("name", RULES)
def test_steps_follow_the_published_rule(name):
    words, rule = RULES[name]
    expected = list(rule(START, GRADIENTS.tolist()))
    assert steps(settings({"name": name, "lr": 0.1, **words})) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", entries("optimizer"))
def test_defaults_can_be_stepped(name):
    assert steps(settings(name)) != [START] * len(GRADIENTS)


def test_sgd_without_momentum_needs_no_word_on_nesterov():
    assert steps(settings({"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}), 1) == [START - 0.05]


def test_lookahead_pulls_the_fast_weights_back_every_k_steps():
    plain = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
    fast = slow = START
    expected = []
    for i, gradient in enumerate(GRADIENTS.tolist(), 1):
        fast -= 0.1 * gradient
        if i % 2 == 0:
            fast = slow = slow + 0.3 * (fast - slow)
        expected.append(fast)
    assert steps(settings(plain, lookahead={"k": 2, "alpha": 0.3})) == pytest.approx(expected)
