import numpy as np
import torch
from torch import Tensor

from espalier.data.box_masks import boxes
from espalier.data.operations import Mixing
from espalier.settings.registry import register
from espalier.settings.types import Literal, Positive, Probability


class Mixup(Mixing):
    def __init__(self, alpha: float, per: Literal["image", "batch"] = "image") -> None:
        self.alpha, self.per = alpha, per

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor]:
        """Weight of the image itself."""
        return (torch.from_numpy(rng.beta(self.alpha, self.alpha, count)).float(),)

    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        (weight,) = table
        own = weight.view(-1, 1, 1, 1)
        # Not lerp, whose rounding depends on how a kernel is vectorized, and so on the batch.
        return (inputs * own).add_(partners * (1 - own)), weight


@register("augmentation", stage="mixing")
def mixup(*, alpha: Positive = 1.0, per: Literal["image", "batch"] = "image") -> Mixup:
    """The weighted mean of two images and of their labels (Zhang et al. 2018, arXiv 1710.09412).

    Args:
        alpha: the weight is drawn from Beta(alpha, alpha)
        per: image: draw a weight for each image; batch: draw one for each batch, as torchvision does
    """
    return Mixup(alpha, per)


class Cutmix(Mixing):
    def __init__(self, alpha: float, per: Literal["image", "batch"] = "image") -> None:
        self.alpha, self.per = alpha, per

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """Edges of the pasted box (top, bottom, left, right), cut at the image's, and the area that stays."""
        # Half a side is cut to whole pixels, as the authors and torchvision do, which makes every side even.
        half = (0.5 * np.sqrt(1 - rng.beta(self.alpha, self.alpha, count)) * size).astype(np.int64)
        center = rng.integers(0, size, size=(2, count))
        (top, left), (bottom, right) = (center - half).clip(0, size), (center + half).clip(0, size)
        weight = 1 - (bottom - top) * (right - left) / size**2
        return (*map(torch.from_numpy, (top, bottom, left, right)), torch.from_numpy(weight).float())

    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        *edges, weight = table
        box = boxes(inputs.shape, *edges)
        return inputs.flatten(2).lerp(partners.flatten(2), box).view(inputs.shape), weight


@register("augmentation", stage="mixing")
def cutmix(*, alpha: Positive = 1.0, per: Literal["image", "batch"] = "image") -> Cutmix:
    """A box of another image pasted in, and labels weighted by area (Yun et al. 2019, arXiv 1905.04899).

    Args:
        alpha: the area that stays, before the box is cut at the edges, is drawn from Beta(alpha, alpha)
        per: image: draw a box for each image; batch: draw one for each batch, as torchvision does
    """
    return Cutmix(alpha, per)


class MixupOrCutmix(Mixing):
    def __init__(
        self, mixup_alpha: float, cutmix_alpha: float, cutmix_p: float, per: Literal["image", "batch"] = "image"
    ) -> None:
        self.per = per
        self._mixup = Mixup(mixup_alpha)
        self._cutmix = Cutmix(cutmix_alpha)
        self.cutmix_p = cutmix_p

    def draw(self, rng: np.random.Generator, count: int, size: int) -> tuple[Tensor, ...]:
        """Edges of a box, weight of the image itself inside it, and of its label; mixup's box is the whole image."""
        (weight,) = self._mixup.draw(rng, count, size)
        *edges, stays = self._cutmix.draw(rng, count, size)
        pasted = torch.from_numpy(rng.random(count) < self.cutmix_p)
        whole = (0, size, 0, size)
        edges = (torch.where(pasted, edge, side) for edge, side in zip(edges, whole, strict=True))
        return (*edges, weight.masked_fill(pasted, 0), torch.where(pasted, stays, weight))

    def mix(self, inputs: Tensor, partners: Tensor, *table: Tensor) -> tuple[Tensor, Tensor]:
        *edges, inside, weight = table
        box = boxes(inputs.shape, *edges)
        outside = 1 - box
        own = box.mul_(inside.view(-1, 1, 1)).add_(outside).view(inputs.shape)
        return (inputs * own).add_(partners * (1 - own)), weight


@register("augmentation", stage="mixing")
def mixup_or_cutmix(
    *,
    mixup_alpha: Positive = 1.0,
    cutmix_alpha: Positive = 1.0,
    cutmix_p: Probability = 0.5,
    per: Literal["image", "batch"] = "image",
) -> MixupOrCutmix:
    """Mixup or cutmix, chosen for each image, or for each batch.

    Args:
        mixup_alpha: mixup's weight is drawn from Beta(mixup_alpha, mixup_alpha)
        cutmix_alpha: the area that stays under cutmix is drawn from Beta(cutmix_alpha, cutmix_alpha)
        cutmix_p: probability of cutmix; mixup otherwise
        per: image: draw for each image; batch: draw once for each batch, as torchvision does
    """
    return MixupOrCutmix(mixup_alpha, cutmix_alpha, cutmix_p, per)
