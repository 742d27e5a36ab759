"""A network as loaded, with what built it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from espalier.data.feed import Feed
from espalier.settings.registry import Choice

if TYPE_CHECKING:
    from torch import nn

    from espalier.quantization.quantized import Quantization


@dataclass(frozen=True)
class Network:
    """A network as loaded: on the CPU, in evaluation mode."""

    model: "nn.Module"
    choice: Choice
    num_classes: int
    image_size: int
    shapes: dict[str, Any] | None = None
    """widths after structured pruning, where they are not those of the settings"""
    quantization: "Quantization | None" = None
    """levels of weights and activations, where the network has them; they are installed in the model"""
    feed: Feed | None = None
    """how it is fed; None of one that was saved without"""

    def plain(self) -> "nn.Module":
        """A copy of the model with the same weights, with no quantizer in front of its layers."""
        built = structure(self.choice, self.num_classes, self.image_size, self.shapes)
        built.load_state_dict(self.model.state_dict())
        return built.eval()


def structure(choice: Choice, num_classes: int, image_size: int, shapes: Mapping[str, Any] | None) -> "nn.Module":
    """A network built anew, with the widths that pruning has left it; its weights are to be loaded.

    Raises:
        Mistake: the shapes are those of another network.
    """
    from espalier.pruning.shapes import rebuild

    model = choice.build(num_classes, image_size)
    return rebuild(model, shapes) if shapes else model
