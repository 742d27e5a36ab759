"""Images made square and uint8 when they are asked for, so that a large set is never decoded whole.

Another size than the source's is reached as torchvision's `Resize` and `CenterCrop` reach it on Pillow images: the
shorter side becomes `image_size` (bilinear, antialiased), then the middle is kept. Grayscale, palette and transparent
images become RGB as torchvision's loader makes them, or all become gray, of one channel (Pillow's L). That drops
transparency and turns no image as its EXIF data says, unless they are asked to be upright and opaque. Gray of more than
8 bits is refused, since Pillow would clip it, where it keeps the upper 8 bits of deeper colours.
"""

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from espalier.data.photographs import Background, as_seen, check_size
from espalier.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

DEEP = ("I", "F")


class Unreadable(DataError):
    """An image that is missing or damaged: its path, and what was found."""


class Images(Protocol):
    """Images by their places in a source; `image` may be called by several threads at once."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W), as of a tensor"""

    def image(self, place: int) -> np.ndarray:
        """uint8 (H, W, C)

        Raises:
            Unreadable: the image is missing or damaged.
        """


def square(image: "Image", size: int, grayscale: bool) -> np.ndarray:
    """An image of any size as uint8 (size, size, 3), or gray (size, size, 1)."""
    from torchvision.transforms.v2.functional import center_crop, resize

    image = image.convert("L" if grayscale else "RGB")
    if image.size != (size, size):
        image = center_crop(resize(image, [size]), [size, size])
    return np.asarray(image).reshape(size, size, -1)


def square_planes(pixels: np.ndarray, size: int) -> np.ndarray:
    """Channels of any number and meaning, uint8 (H, W, C), as uint8 (size, size, C): each resized by itself."""
    from PIL import Image

    return np.concatenate([square(Image.fromarray(plane), size, True) for plane in np.moveaxis(pixels, 2, 0)], 2)


@dataclass(frozen=True)
class Arrays:
    """Images that their source holds decoded."""

    pixels: np.ndarray
    """uint8 (N, H, W), or (N, H, W, C)"""
    image_size: int
    grayscale: bool = False
    """whether RGB is turned to gray"""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.pixels), 1 if self.grayscale else self._stored, self.image_size, self.image_size

    def image(self, place: int) -> np.ndarray:
        from PIL import Image

        pixels = self.pixels[place].reshape(*self.pixels.shape[1:3], self._stored)
        if self._stored != 3:
            return square_planes(pixels, self.image_size)
        return square(Image.fromarray(pixels), self.image_size, self.grayscale)

    @property
    def _stored(self) -> int:
        return self.pixels.shape[3] if self.pixels.ndim > 3 else 1


@dataclass(frozen=True)
class Files:
    """Images in files of any format that Pillow reads."""

    paths: Sequence[Path]
    image_size: int
    grayscale: bool = False
    root: Path | None = None
    """the folder below which a user knows the files by their names; None where nobody does"""
    upright: bool = False
    """whether EXIF orientation turns images"""
    background: Background | None = None
    """what shows where images are transparent; None for whatever colours stand there"""

    def __post_init__(self) -> None:
        from PIL import Image

        # A thread that opens an image while another one loads the rarer formats would not find them.
        Image.init()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.paths), 1 if self.grayscale else 3, self.image_size, self.image_size

    def names(self, places: Iterable[int]) -> list[str]:
        """Names of files relative to `root`, with slashes; empty where there is none."""
        if self.root is None:
            return []
        # What is no UTF-8 in a name cannot be written into a table.
        relative = (os.fsencode(self.paths[place].relative_to(self.root).as_posix()) for place in places)
        return [name.decode(errors="replace") for name in relative]

    def image(self, place: int) -> np.ndarray:
        from PIL import Image

        path = self.paths[place]
        try:
            with Image.open(path) as image:
                if image.mode.startswith(DEEP):
                    raise Unreadable(f"{path}: more than 8 bits a channel (mode {image.mode}); convert it")
                check_size(image, self.image_size)
                image.load()
                seen = as_seen(image, self.upright, self.background)
                return square(seen, self.image_size, self.grayscale)
        except FileNotFoundError:
            raise Unreadable(f"{path}: there is no such file") from None
        except Unreadable:
            raise
        except Image.DecompressionBombError:
            most = f"{2 * Image.MAX_IMAGE_PIXELS:,}"
            raise Unreadable(f"{path}: it has more pixels than are opened, {most}; make it smaller") from None
        except (DataError, OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
            raise Unreadable(f"{path}: {error}") from None
