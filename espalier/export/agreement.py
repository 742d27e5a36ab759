"""Whether an exported network computes what the network in PyTorch does, on the validation images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from espalier.data.resident import Resident
from espalier.errors import ArtifactError
from espalier.metrics.accuracy import score

TOLERANCE = 1e-4
"""Most that logits may differ, of the largest one's size. Floats summed in another order differ by about 1e-6 in the
deepest networks here; one layer normalized with another epsilon (1e-3 for 1e-5) by 5e-4."""
_BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """What a network makes of the validation images."""

    logits: Tensor
    """float32 (images, classes)"""
    top1: float
    """percent of the images"""

    def difference(self, other: "Outcome") -> float:
        """The largest difference of a logit of an image."""
        return float((self.logits - other.logits).abs().max())


def outcome(model: nn.Module, data: Resident, beat: Callable[[], object] = lambda: None) -> Outcome:
    """The logits of all validation images, and what they score; `beat` is called after every batch.

    Args:
        model: takes pixels, uint8 (b, C, H, W)
    """
    parts: list[Tensor] = []

    def keep(logits: Tensor, _: Tensor) -> None:
        parts.append(logits)
        beat()

    top1 = score(model, data.batches("validation", _BATCH, pixels=True), keep)["top1"]
    return Outcome(torch.cat(parts), top1)


def refuse_difference(exported: Outcome, eager: Outcome, name: str) -> None:
    """Refuse a file of floats that computes something else than the network it was made of.

    Args:
        name: what the network is called in an error

    Raises:
        ArtifactError: logits differ by more than rounding, or are no numbers.
    """
    if not eager.logits.isfinite().all():
        raise ArtifactError(f"{name} has logits that are no finite numbers; train it again")
    most, largest = exported.difference(eager), float(eager.logits.abs().max())
    # Written so that a difference that is no number is refused too.
    if not most <= TOLERANCE * largest:
        raise ArtifactError(
            f"{name} as ONNX differs by {most:.3g} in a logit, where the largest is {largest:.3g}: the exporter has "
            "changed what it computes. Leave the stage out with export: null, or use another version of torch, "
            "onnxscript or onnxruntime"
        )
