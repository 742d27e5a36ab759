"""Operations chosen at random: AutoAugment, RandAugment and TrivialAugment, with torchvision's ranges.

Of gray images Color changes nothing, as in torchvision.
"""

import numpy as np
import torch
from torch import Tensor

from espalier.data.autoaugment_policies import POLICIES
from espalier.data.colour_arithmetic import adjust_brightness, adjust_contrast, adjust_saturation
from espalier.data.grouping import grouped
from espalier.data.operations import Pixels
from espalier.data.tones import adjust_sharpness, autocontrast, equalize, invert, posterize, solarize
from espalier.data.warp import affine, inverse_affine
from espalier.settings.registry import register
from espalier.settings.types import Bins, Count, Literal, Natural

_GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
_KINDS = {
    "Identity": lambda images, *_: images,
    "Affine": lambda images, _, matrices: affine(images, matrices),
    "Brightness": lambda images, magnitude, _: adjust_brightness(images, 1 + magnitude),
    "Color": lambda images, magnitude, _: adjust_saturation(images, 1 + magnitude),
    "Contrast": lambda images, magnitude, _: adjust_contrast(images, 1 + magnitude),
    "Sharpness": lambda images, magnitude, _: adjust_sharpness(images, 1 + magnitude),
    "Posterize": lambda images, magnitude, _: posterize(images, magnitude),
    "Solarize": lambda images, magnitude, _: solarize(images, 255 * magnitude),
    "AutoContrast": lambda images, *_: autocontrast(images),
    "Equalize": lambda images, *_: equalize(images),
    "Invert": lambda images, *_: invert(images),
}
_NAMES = ("Identity", *_GEOMETRY, *list(_KINDS)[2:-1])
"""What RandAugment and TrivialAugment choose from."""

Setting = tuple[str, float]
"""An operation's name and signed magnitude."""


class Chosen(Pixels):
    """Each image through operations drawn for it, one after the other."""

    def apply(self, images: Tensor, *table: Tensor) -> Tensor:
        return grouped(images, table[0], list(_KINDS.values()), *table[1:])


def columns(settings: list[Setting], picks: np.ndarray, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The table of an epoch: kind int64, magnitude float64 (n, k) and inverse affine matrix float32 (n, k, 2, 3).

    Args:
        picks: indices into `settings` (n, k)
    """
    names = [name for name, _ in settings]
    kinds = torch.tensor([list(_KINDS).index("Affine" if name in _GEOMETRY else name) for name in names])
    strengths = torch.tensor([magnitude for _, magnitude in settings], dtype=torch.float64)
    chosen = torch.from_numpy(picks)
    return kinds[chosen], strengths[chosen], _matrices(names, strengths.numpy(), size)[chosen]


def magnitudes(name: str, bins: int, size: int, *, wide: bool = False) -> list[float]:
    """The steps of an operation's strength, without sign; `wide` is TrivialAugment's range."""
    if name == "Posterize":
        return (8 - torch.arange(bins) / ((bins - 1) / (6 if wide else 4))).round().tolist()
    if name == "Solarize":
        return torch.linspace(1, 0, bins).tolist()
    if name.startswith("Translate"):
        farthest = 32.0 if wide else 150 / 331 * size
    elif name.startswith("Shear"):
        farthest = 0.99 if wide else 0.3
    elif name == "Rotate":
        farthest = 135.0 if wide else 30.0
    elif name in ("Brightness", "Color", "Contrast", "Sharpness"):
        farthest = 0.99 if wide else 0.9
    else:
        farthest = 0.0
    return torch.linspace(0, farthest, bins).tolist()


def signed(name: str) -> bool:
    """Whether a magnitude is negated for half of the images."""
    return name not in ("Identity", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")


def _both(name: str, magnitude: float) -> list[Setting]:
    """An operation with either sign; one that has none, twice."""
    return [(name, magnitude), (name, -magnitude if signed(name) else magnitude)]


def _matrices(names: list[str], strengths: np.ndarray, size: int) -> Tensor:
    of = {name: np.where(np.array(names) == name, strengths, 0) for name in _GEOMETRY}
    zeros = np.zeros((len(names), 2))
    shear = np.degrees(np.arctan(np.stack([of["ShearX"], of["ShearY"]], 1)))
    shift = np.trunc(np.stack([of["TranslateX"], of["TranslateY"]], 1))
    # Sheared about the corner, turned about the middle.
    sheared = inverse_affine(0, (0, 0), 1, shear, (-0.5 * size, -0.5 * size))
    moved = inverse_affine(-(of["Rotate"] % 360), shift, 1, zeros)
    return torch.where(torch.tensor([name.startswith("Shear") for name in names]).view(-1, 1, 1), sheared, moved)


class AutoAugment(Chosen):
    def __init__(self, policy: str) -> None:
        self.policy = POLICIES[policy]

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        settings = [("Identity", 0.0)]
        for pair in self.policy:
            for name, _, index in pair:
                settings += _both(name, magnitudes(name, 10, size)[index or 0])
        probability = np.array([[p for _, p, _ in pair] for pair in self.policy])
        pair = rng.integers(len(self.policy), size=(count, 1))
        pick = 1 + 2 * (2 * pair + np.arange(2)) + rng.integers(2, size=(count, 2))
        applied = rng.random((count, 2)) < probability[pair[:, 0]]
        return columns(settings, np.where(applied, pick, 0), size)


class RandAugment(Chosen):
    def __init__(self, num_ops: int, magnitude: int, num_magnitude_bins: int) -> None:
        if magnitude >= num_magnitude_bins:
            raise ValueError(
                f"augment: randaugment: magnitude {magnitude} must be below num_magnitude_bins {num_magnitude_bins}"
            )
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        settings = []
        for name in _NAMES:
            settings += _both(name, magnitudes(name, self.num_magnitude_bins, size)[self.magnitude])
        return columns(settings, rng.integers(len(settings), size=(count, self.num_ops)), size)


class TrivialAugment(Chosen):
    def __init__(self, num_magnitude_bins: int) -> None:
        self.num_magnitude_bins = num_magnitude_bins

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        settings = []
        for name in _NAMES:
            for magnitude in magnitudes(name, self.num_magnitude_bins, size, wide=True):
                settings += _both(name, magnitude)
        return columns(settings, rng.integers(len(settings), size=(count, 1)), size)


@register(
    "augmentation",
    stage="uint8",
    requires={"channels == 1 or channels == 3": "some of its operations need gray or RGB images; leave it out"},
)
def autoaugment(*, policy: Literal["cifar10", "imagenet", "svhn"] = "cifar10") -> AutoAugment:
    """One of 25 learned pairs of operations, each applied with its own probability
    (Cubuk et al. 2019, arXiv 1805.09501).

    Args:
        policy: the data set that the pairs were learned on
    """
    return AutoAugment(policy)


@register(
    "augmentation",
    stage="uint8",
    requires={"channels == 1 or channels == 3": "some of its operations need gray or RGB images; leave it out"},
)
def randaugment(*, num_ops: Count = 2, magnitude: Natural = 9, num_magnitude_bins: Bins = 31) -> RandAugment:
    """Operations drawn from 14, all of one strength (Cubuk et al. 2020, arXiv 1909.13719).

    Args:
        num_ops: operations on each image, one after the other
        magnitude: their strength, an index into the steps
        num_magnitude_bins: steps from no to full strength
    """
    return RandAugment(num_ops, magnitude, num_magnitude_bins)


@register(
    "augmentation",
    stage="uint8",
    requires={"channels == 1 or channels == 3": "some of its operations need gray or RGB images; leave it out"},
)
def trivialaugment(*, num_magnitude_bins: Bins = 31) -> TrivialAugment:
    """One operation drawn from 14, of random strength over a wide range (Müller & Hutter 2021, arXiv 2103.10158).

    Args:
        num_magnitude_bins: steps from no to full strength
    """
    return TrivialAugment(num_magnitude_bins)
