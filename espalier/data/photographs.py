"""Pictures as their makers see them: turned upright, on a background, and not larger than memory allows."""

from typing import TYPE_CHECKING, Literal

from espalier.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 256 << 20
"""What one image may take, decoded or resized; each thread that prepares images holds one."""
Background = Literal["white", "gray", "black"]
_LEVELS = {"white": 255, "gray": 128, "black": 0}


def check_size(image: "Image", size: int) -> None:
    """Refuse an image before its pixels are decoded.

    Args:
        size: what its shorter side is resized to

    Raises:
        DataError: its pixels would take more than `MOST_BYTES`, as they are or after the shorter side is resized.
    """
    bands = len(image.getbands())
    if (decoded := image.width * image.height * bands) > MOST_BYTES:
        raise DataError(
            f"its {image.width} x {image.height} pixels take {decoded >> 20} MiB of memory, more than the "
            f"{MOST_BYTES >> 20} MiB that one image may; make it smaller"
        )
    long, short = max(image.size), min(image.size)
    if size * size * long * bands > MOST_BYTES * short:
        raise DataError(f"too long and thin to resize ({image.width} x {image.height} pixels)")


def as_seen(image: "Image", upright: bool, background: Background | None) -> "Image":
    """The image turned as its EXIF orientation says, and laid on a background where it is transparent.

    Args:
        upright: whether to turn it
        background: None leaves transparency to whoever converts the image
    """
    from PIL import Image
    from PIL.ImageOps import exif_transpose

    if upright:
        image = exif_transpose(image)
    if background is None or not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    level = _LEVELS[background]
    return Image.alpha_composite(Image.new("RGBA", image.size, (level, level, level, 255)), image).convert("RGB")
