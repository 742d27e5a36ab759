"""A network as loaded, with what built it."""

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
        from espalier.pruning.shapes import rebuild

        built = self.choice.build(self.num_classes, self.image_size)
        if self.shapes:
            rebuild(built, self.shapes)
        built.load_state_dict(self.model.state_dict())
        return built.eval()
