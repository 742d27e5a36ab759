"""What a data set states of its images before one of them is read: for the plan, and without torch."""

from espalier.settings.registry import Choice

USUAL = 3


def image_size(dataset: Choice) -> int | None:
    """Side of a data set's images in pixels; None where only the prepared file tells."""
    return {**dataset.entry().facts, **dataset.settings()}.get("image_size")


def channels(dataset: Choice) -> int:
    """Of a data set's images: one where it turns them to gray, else its setting or fact `channels`; three where it
    states nothing."""
    stated = {**dataset.entry().facts, **dataset.settings()}
    return 1 if stated.get("grayscale") else stated.get("channels", USUAL)
