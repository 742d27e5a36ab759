"""Losses against their formulas, with every way in which labels are laid over them, and what a teacher adds."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from espalier.data.prepared import Dataset, Prepared, write
from espalier.data.resident import Resident
from espalier.settings.registry import entries
from espalier.settings.sections import Training
from espalier.training.objective import Objective, class_weights

CLASSES, IMAGES = 5, 32
LOSSES = [pytest.param({"name": name}, id=name) for name in entries("loss")]


def logits(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(IMAGES, CLASSES, generator=generator)).requires_grad_()


def batch(mixed=False):
    generator = torch.Generator().manual_seed(9)
    labels, partners = torch.randint(0, CLASSES, (2, IMAGES), generator=generator)
    weight = torch.rand(IMAGES, generator=generator)
    inputs = torch.randn(IMAGES, 3, 4, 4, generator=generator)
    return SimpleNamespace(
        inputs=inputs, labels=labels, partner_labels=partners if mixed else None, weight=weight if mixed else None
    )


def asked(**settings):
    return Training.model_validate(settings)


def bits(losses, outputs):
    """A loss and its gradient."""
    (gradient,) = torch.autograd.grad(losses.sum() / IMAGES, outputs)
    return losses.detach(), gradient


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_default_has_the_bits_of_torchs_cross_entropy(mixed, smoothing):
    outputs, seen = logits(), batch(mixed)

    def theirs(labels):
        return functional.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)

    expected = theirs(seen.labels)
    if mixed:
        expected = seen.weight * expected + (1 - seen.weight) * theirs(seen.partner_labels)
    found = Objective(asked(label_smoothing=smoothing))(outputs, seen)
    assert same(bits(found, outputs), bits(expected, outputs))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_classes_are_torchs(smoothing):
    outputs, seen = logits(), batch()
    weights = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0])
    expected = functional.cross_entropy(outputs, seen.labels, weights, reduction="none", label_smoothing=smoothing)
    found = Objective(asked(label_smoothing=smoothing), weights)(outputs, seen)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_papers(gamma):
    outputs, seen = logits(), batch()
    true = outputs.softmax(1)[torch.arange(IMAGES), seen.labels]
    expected = -((1 - true) ** gamma) * true.log()
    found = Objective(asked(loss={"name": "focal", "gamma": gamma}))(outputs, seen)
    torch.testing.assert_close(found, expected)


def test_focal_of_gamma_0_is_cross_entropy():
    outputs, seen = logits(), batch(mixed=True)
    focal, plain = (
        asked(loss=loss, label_smoothing=0.1) for loss in ({"name": "focal", "gamma": 0.0}, "cross_entropy")
    )
    assert same(bits(Objective(focal)(outputs, seen), outputs), bits(Objective(plain)(outputs, seen), outputs))


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_of_a_certain_answer_has_a_gradient(gamma):
    outputs = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    seen = SimpleNamespace(labels=torch.tensor([0]), partner_labels=None)
    losses, gradient = bits(Objective(asked(loss={"name": "focal", "gamma": gamma}))(outputs, seen), outputs)
    assert losses.abs().max() < 1e-3 and gradient.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_takes_smoothed_labels_mixed_images_and_weights(loss):
    """The sum over classes of label · weight · loss, written out."""
    outputs, seen = logits(), batch(mixed=True)
    weights = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0])
    train = asked(loss=loss, label_smoothing=0.1)
    one, two = (functional.one_hot(labels, CLASSES) for labels in (seen.labels, seen.partner_labels))
    share = seen.weight[:, None]
    labels = 0.9 * (share * one + (1 - share) * two) + 0.1 / CLASSES
    expected = (labels * weights * train.loss.build(outputs)).sum(1)
    torch.testing.assert_close(Objective(train, weights)(outputs, seen), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_an_empty_share_is_none(loss):
    nothing = SimpleNamespace(labels=torch.empty(0, dtype=torch.long), partner_labels=None)
    assert Objective(asked(loss=loss))(torch.empty(0, CLASSES), nothing).shape == (0,)


def test_balanced_classes_count_together_alike(tmp_path):
    labels = torch.tensor([0] * 8 + [1] * 4 + [3] * 4)
    images = torch.zeros(16, 3, 4, 4, dtype=torch.uint8)
    parts = {"train": torch.arange(12), "validation": torch.arange(12, 14), "test": torch.arange(14, 16)}
    write(tmp_path / "few.safetensors", Dataset(images, labels, parts, ("a", "b", "c", "d")), {})
    data = Resident(Prepared.read(tmp_path / "few.safetensors"))
    assert data.label_counts("train").tolist() == [8, 4, 0, 0]
    found = class_weights(asked(class_weights="balanced"), data)
    assert found.tolist() == [12 / (4 * 8), 12 / (4 * 4), 0, 0]
    assert class_weights(asked(), data) is None


class Known(nn.Module):
    """A teacher that answers what it was made with, and sees what it is shown."""

    def __init__(self, answers):
        super().__init__()
        self.answers, self.seen = answers, []

    def forward(self, inputs):
        self.seen.append(inputs)
        return self.answers[: len(inputs)]


def taught(outputs, seen, answers, **settings):
    return Objective(asked(teacher=settings), teacher=Known(answers))(outputs, seen)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (4.0, 0.9), (20.0, 1.0)])
def test_distillation_is_hintons(mixed, temperature, weight):
    outputs, seen, answers = logits().double(), batch(mixed), logits(1).detach().double()
    theirs, ours = ((each / temperature).softmax(1) for each in (answers, outputs))
    apart = (theirs * (theirs.log() - ours.log())).sum(1)
    expected = (1 - weight) * Objective(asked())(outputs, seen) + weight * temperature**2 * apart
    found = taught(outputs, seen, answers, temperature=temperature, weight=weight)
    torch.testing.assert_close(found, expected)


def test_a_teacher_of_no_weight_leaves_the_bits_as_they_are():
    outputs, seen = logits(), batch(mixed=True)
    found = taught(outputs, seen, logits(1).detach(), weight=0.0)
    assert same(bits(found, outputs), bits(Objective(asked())(outputs, seen), outputs))


def test_a_gradient_of_high_temperature_is_that_of_the_difference_of_logits():
    """Hinton et al. 2015, section 2.1: for T without end, 1/N of the difference of logits of mean zero."""
    outputs, answers = logits().double(), logits(1).detach().double()
    outputs, answers = ((each - each.mean(1, keepdim=True)) for each in (outputs, answers))
    outputs = outputs.detach().requires_grad_()
    found = taught(outputs, batch(), answers, temperature=3000.0, weight=1.0)
    (gradient,) = torch.autograd.grad(found.sum(), outputs)
    torch.testing.assert_close(gradient, (outputs.detach() - answers) / CLASSES, rtol=1e-2, atol=1e-3)


def test_the_teacher_sees_the_very_batch_and_learns_nothing():
    answers = logits(1)
    teacher, seen, outputs = Known(answers), batch(mixed=True), logits()
    losses = Objective(asked(teacher={}), teacher=teacher)(outputs, seen)
    losses.sum().backward()
    assert teacher.seen[0] is seen.inputs and answers.grad is None and outputs.grad.any()


def test_of_an_empty_share_a_teacher_says_nothing():
    nothing = SimpleNamespace(inputs=torch.empty(0, 3, 4, 4), labels=torch.empty(0, dtype=torch.long))
    nothing.partner_labels = None
    assert taught(torch.empty(0, CLASSES), nothing, logits(1).detach()).shape == (0,)
