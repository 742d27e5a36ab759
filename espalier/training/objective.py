"""The loss that a training step minimizes, and the hits of the batch, image by image."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from espalier.settings.sections import Training

if TYPE_CHECKING:
    from espalier.data.resident import Batch, Resident


def outputs_of(model: nn.Module, batch: "Batch") -> Tensor:
    """Logits of a share, (b, classes); an empty one's depend on every parameter all the same, as a reduction needs.

    Few networks work on no image at all, so a black one is seen and left out.
    """
    if len(batch.labels):
        return model(batch.inputs)
    return model(batch.inputs.new_zeros(1, *batch.inputs.shape[1:]))[:0]


class Objective:
    """The loss of each image, (b,), from its labels and, if there is one, a teacher's outputs.

    For labels it is the sum over all classes c of q[c] · w[c] · L[c]. L[c] is the registered loss for label c; q is the
    label, smoothed, or for a mixed image both labels by their shares; w are the class weights.

    With a teacher (Hinton et al. 2015, arXiv 1503.02531) it is (1 - weight) times that, plus weight · T² times the
    divergence KL(softmax(teacher / T) ‖ softmax(outputs / T)).

    Args:
        class_weights: (classes,); None for 1 everywhere
        teacher: a network in evaluation mode, on the device, that sees the batch as the student does
        autocast: the precision of the teacher's forward pass
    """

    def __init__(
        self,
        train: Training,
        class_weights: Tensor | None = None,
        teacher: nn.Module | None = None,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ):
        self._train, self._class_weights = train, class_weights
        # Found once: a step of a small network takes a few milliseconds.
        self._loss = partial(train.loss.entry().load(), **train.loss.settings())
        self._teacher, self._autocast = teacher, autocast

    def __call__(self, outputs: Tensor, batch: "Batch") -> Tensor:
        losses = self._against(batch.labels, outputs)
        if batch.partner_labels is not None:
            others = self._against(batch.partner_labels, outputs)
            losses = batch.weight * losses + (1 - batch.weight) * others
        if self._teacher is None:
            return losses
        asked = self._train.teacher
        return (1 - asked.weight) * losses + asked.weight * asked.temperature**2 * self._apart(outputs, batch)

    def _against(self, labels: Tensor, outputs: Tensor) -> Tensor:
        # These are the operations of torch's cross_entropy, so that the bits are the same. A mixed image calls this
        # twice, since a gradient computed once for both labels would be rounded otherwise.
        losses = self._loss(outputs)
        own = functional.nll_loss(-losses, labels, self._class_weights, reduction="none")
        smoothing = self._train.label_smoothing
        if not smoothing:
            return own
        every = losses if self._class_weights is None else losses * self._class_weights
        return (1 - smoothing) * own + every.sum(1) * (smoothing / losses.shape[1])

    def _apart(self, outputs: Tensor, batch: "Batch") -> Tensor:
        with torch.no_grad(), self._autocast():
            answers = outputs_of(self._teacher, batch).to(outputs.dtype)
        temperature = self._train.teacher.temperature
        ours, theirs = ((each / temperature).log_softmax(1) for each in (outputs, answers))
        return functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)


def class_weights(train: Training, data: "Resident") -> Tensor | None:
    """The weight of each class, (classes,), 1 on average over the training images; one without images has 0."""
    if train.class_weights is None:
        return None
    counts = data.label_counts("train").float()
    weights = counts.sum() / (len(counts) * counts)
    return torch.where(counts > 0, weights, 0.0).to(data.device)


def hits(outputs: Tensor, batch: "Batch") -> Tensor:
    """How right each first guess is, (b,): 1 or 0, or for a mixed image the weight of the label that was guessed."""
    guesses = outputs.argmax(1)
    right = (guesses == batch.labels).to(outputs.dtype)
    if batch.partner_labels is None:
        return right
    return batch.weight * right + (1 - batch.weight) * (guesses == batch.partner_labels)


def freeze_statistics(model: nn.Module) -> None:
    """Let BatchNorm use its running statistics for a last share of one image or none, which has no variance.

    `model.train()` at the next epoch ends it.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
