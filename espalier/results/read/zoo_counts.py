"""The counts of every network, as `snakemake zoo` leaves them."""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path("results/zoo")
COUNTED = ("networks", "depth", "standards")
"""The tables of counts."""
USUAL_SIDE = 32
IMAGES = f"images of {USUAL_SIDE}x{USUAL_SIDE}"
COUNTS = "MACs are the multiply-accumulates of one image's forward pass, in convolutions, matrix products and attention"
ACTIVATIONS = "the inputs of all convolution and linear layers in fp32, for one image (1 MiB = 2^20 bytes)"
LAYERS = "Layers are convolutions and linear layers, those of shortcuts among them; one used again counts once"


def read(name: str) -> "pd.DataFrame":
    """The rows of <name>.csv, words as they stand there.

    Raises:
        Mistake: the networks are not counted yet.
    """
    import pandas as pd

    path = FOLDER / f"{name}.csv"
    try:
        return pd.read_csv(path, keep_default_na=False)
    except OSError as error:
        raise Mistake(f"{path}: cannot be read ({error.strerror}); `snakemake zoo` writes it") from error


def at_usual_side(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Each network once: at images of 32x32, or at the smallest side that it takes above."""
    return frame[frame["image_size"] >= USUAL_SIDE].groupby("name", sort=False).head(1)


def families(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The networks at their defaults, without presets."""
    return frame[frame["settings"] == ""]


def settings(frame: "pd.DataFrame") -> list[str]:
    """How each network differs from its family's defaults, in words."""
    return [
        words or (f"defaults ({preset})" if preset else "defaults")
        for words, preset in zip(frame["settings"], frame["preset"], strict=True)
    ]
