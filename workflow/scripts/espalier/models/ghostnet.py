import timm
from torch import nn

from espalier.models.facts import Facts, declare
from espalier.plan.types import Fraction, Literal
from espalier.registry import register

SMALLEST = 17


@register("model", smallest=17)
def ghostnet(
    num_classes: int,
    image_size: int,
    *,
    version: Literal["v2", "v3"] = "v2",
    dropout: Fraction = 0.2,
) -> nn.Module:
    """GhostNetV2 1.0x (Tang et al. 2022, arXiv 2211.12905) or GhostNetV3 1.0x (Liu et al. 2024, arXiv 2404.11202).

    The stem has stride 1 for small images. V3 is the form with training-time branches, not yet merged.

    Args:
        version: v2 or v3
        dropout: probability that a feature is dropped before the classifier
    """
    if image_size < SMALLEST:
        # the last stage's maps would be 1×1, and its attention works on maps of half the side
        raise ValueError(
            f"ghostnet: images of {image_size}x{image_size} are too small; the smallest is {SMALLEST}x{SMALLEST}"
        )
    model = timm.create_model(f"ghostnet{version}_100", num_classes=num_classes, drop_rate=dropout)
    model.conv_stem.stride = (1, 1)  # stride 2 → 1: 32×32 input
    return declare(model, Facts(classifier="classifier", first="conv_stem"))
