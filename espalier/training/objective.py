"""What a step minimizes, and what it got right, image by image."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from espalier.data.resident import Batch


def outputs_of(model: nn.Module, batch: "Batch") -> Tensor:
    """Logits of a share, (b, classes); an empty one's depend on every parameter all the same, as a reduction needs.

    Few networks work on no image at all, so a black one is seen and left out.
    """
    if len(batch.labels):
        return model(batch.inputs)
    return model(batch.inputs.new_zeros(1, *batch.inputs.shape[1:]))[:0]


def loss_of(outputs: Tensor, batch: "Batch", smoothing: float) -> Tensor:
    """Cross-entropy of each image, (b,), against its label, or both labels of a mixed image by their weights."""
    losses = functional.cross_entropy(outputs, batch.labels, reduction="none", label_smoothing=smoothing)
    if batch.partner_labels is None:
        return losses
    others = functional.cross_entropy(outputs, batch.partner_labels, reduction="none", label_smoothing=smoothing)
    return batch.weight * losses + (1 - batch.weight) * others


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
