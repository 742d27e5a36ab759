"""How a network is fed and what it answers: all that stands between an image file and a class name."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from espalier.data.photographs import Background

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from espalier.data.resident import Resident

RESIZE = "shorter side to image_size, bilinear, antialiased; then the middle"


class Feed(BaseModel):
    """What an artifact says of its input and its output."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    image_size: Annotated[int, Field(ge=1, le=1 << 20)]
    """height and width in pixels"""
    channels: Annotated[int, Field(ge=1, le=1 << 10)]
    """of the input: gray for one, RGB for three"""
    grayscale: bool = False
    """whether colours are turned to gray, which then stands in each of three channels; gray of one channel needs no
    word"""
    mean: list[float]
    """of each channel, of pixels in [0, 1]"""
    std: list[float]
    """likewise the standard deviation"""
    classes: list[str]
    """names of the classes, in the order of the logits"""
    resize: Literal[RESIZE] = RESIZE
    """how an image of another size is brought to image_size"""
    exif_orientation: Literal[True] | None = None
    """true where photographs are turned as their EXIF orientation says before all else"""
    background: Background | None = None
    """what shows where images are transparent; None where transparency is dropped"""

    @classmethod
    def of(cls, data: "Resident") -> "Feed":
        """That of networks trained on a prepared data set."""
        return cls(
            image_size=data.image_size,
            channels=data.channels,
            grayscale=data.grayscale,
            mean=list(data.mean),
            std=list(data.std),
            classes=list(data.classes),
            exif_orientation=data.settings.get("exif_orientation") or None,
            background=data.settings.get("background"),
        )

    def said(self) -> dict[str, Any]:
        """All of it that is not None, as plain data."""
        return self.model_dump(mode="json", exclude_none=True)

    def affine(self) -> "tuple[Tensor, Tensor]":
        """Scale and shift of each channel, float32 (C,): pixels from 0 to 255 times the one, plus the other."""
        import torch

        from espalier.data.normalization import Normalization

        made = Normalization(self.mean, self.std, 1, torch.device("cpu"))
        return made.scale, made.shift

    def inputs(self, images: "np.ndarray") -> "Tensor":
        """Normalized images float32 (n, C, H, W) of uint8 images (n, H, W, C) of this size: (x / 255 - mean) / std.

        The bits are those that training and scoring see.
        """
        import torch

        from espalier.data.normalization import Normalization

        normalize = Normalization(self.mean, self.std, self.image_size, torch.device("cpu"))
        return normalize(torch.from_numpy(images)).permute(0, 3, 1, 2)
