"""Image size and channels of a data set, from its settings alone: needs neither the images nor torch."""

from espalier.settings.registry import Choice

USUAL = 3


def image_size(dataset: Choice) -> int | None:
    """Side of a data set's images in pixels; None where only the prepared file tells."""
    return {**dataset.entry().facts, **dataset.settings()}.get("image_size")


def channels(dataset: Choice) -> int:
    """The number of channels of a data set's images.

    It is one if they are turned to gray; else the setting or fact `channels`; else three.
    """
    stated = {**dataset.entry().facts, **dataset.settings()}
    return 1 if stated.get("grayscale") else stated.get("channels", USUAL)
