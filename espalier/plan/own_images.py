"""What a plan knows of a study's own images, which no entry of the registry states."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from espalier.settings.registry import Choice

if TYPE_CHECKING:
    from espalier.data.own_images import Source

CACHE = Path("results/listings")


def source(dataset: Choice) -> "Source | None":
    """The classes of a data set and how many images each has; None where they are no files of the user's.

    Raises:
        DataError: the images are not there, their folders or table mislead, or a class has too few for its splits.
    """
    kind = dataset.entry().facts.get("source")
    if kind is None:
        return None
    from espalier.data import own_images

    root = Path(os.environ.get("ESPALIER_DATA") or ".")
    request = f"{Path.cwd()} {root} {dataset.model_dump_json()}"
    cache = CACHE / f"{kind}-{hashlib.sha256(request.encode()).hexdigest()[:10]}.json"
    return own_images.READERS[kind](root, dataset.settings(), cache)
