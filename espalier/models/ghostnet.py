import timm
from torch import nn

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Fraction, Literal


# The last stage's attention works on maps of half the side, and finds none where they are 1×1.
@register(
    "model",
    smallest=17,
    presets={"ghostnetv2_x1_0": {"version": "v2"}, "ghostnetv3_x1_0": {"version": "v3"}},
    pretrained={"timm/ghostnetv2_100.in1k": "version == 'v2'", "timm/ghostnetv3_100.in1k": "version == 'v3'"},
    novelty=("cheap maps from other maps", "depthwise convolutions", "squeeze-and-excitation", "global pooling"),
)
def ghostnet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    version: Literal["v2", "v3"] = "v2",
    dropout: Fraction = 0.2,
) -> nn.Module:
    """GhostNetV2 1.0x (Tang et al. 2022, arXiv 2211.12905) or GhostNetV3 1.0x (Liu et al. 2024, arXiv 2404.11202).

    The stem has stride 1 for small images. V3 is the form with training-time branches, not yet merged.

    Args:
        version: GhostNetV2 or GhostNetV3
        dropout: probability that a feature is dropped before the classifier
    """
    refuse("ghostnet", image_size)
    model = timm.create_model(
        f"ghostnet{version}_100", num_classes=num_classes, in_chans=in_channels, drop_rate=dropout
    )
    model.conv_stem.stride = (1, 1)  # stride 2 → 1: 32×32 input
    return declare(model, Facts(classifier="classifier", first="conv_stem"))
