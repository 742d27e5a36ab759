"""A network as loaded, with what built it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from espalier.data.feed import Feed
from espalier.models import rules
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

    @property
    def channels(self) -> int:
        """Of its images; three of a network that does not say how it is fed."""
        return channels_of(self.feed)

    def plain(self) -> "nn.Module":
        """A copy of the model with the same weights, with no quantizer in front of its layers."""
        built = structure(self.choice, self.num_classes, self.image_size, self.channels, self.shapes)
        built.load_state_dict(self.model.state_dict())
        return built.eval()


def channels_of(feed: Feed | None) -> int:
    """Of the images of a network that is fed so; three where it was saved without."""
    return feed.channels if feed else 3


def structure(
    choice: Choice, num_classes: int, image_size: int, channels: int, shapes: Mapping[str, Any] | None = None
) -> "nn.Module":
    """A network built anew, with the widths that pruning has left it where `shapes` tell them.

    Raises:
        ValueError: the settings do not fit the images.
        Mistake: the shapes are those of another network.
    """
    if message := rules.misfit(choice.entry(), choice.settings(), image_size, channels):
        raise ValueError(message)
    model = choice.build(num_classes, image_size, channels)
    if not shapes:
        return model
    from espalier.pruning.shapes import rebuild

    return rebuild(model, shapes)
