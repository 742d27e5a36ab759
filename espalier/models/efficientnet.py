from functools import partial

from torch import nn
from torch.nn.init import kaiming_normal_
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from espalier.models.facts import Facts, declare
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Fraction, Natural, Positive

# Stages of B0, the paper's table 1: expansion, kernel, stride, channels in, channels out, blocks.
STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)


@register(
    "model",
    depths={"depth": (1.0, 1.1, 1.4, 1.8)},
    presets={"efficientnet_b0": {"width": 1.0, "depth": 1.0}},
    pretrained={"torchvision/EfficientNet_B0_Weights.IMAGENET1K_V1": "width == 1 and depth == 1"},
    novelty=("depthwise convolutions", "inverted residuals", "squeeze-and-excitation", "global pooling"),
)
def efficientnet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    width: Positive = 1.0,
    depth: Positive = 1.0,
    head: Natural = 0,
    dropout: Fraction = 0.2,
    stochastic_depth: Fraction = 0.2,
) -> nn.Module:
    """EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946) for small images: stem of stride 1 and no last convolution.

    Takes images of any size. 3,598,598 parameters at 10 classes; the 3,599,686 that a much-copied code for CIFAR
    counts include 1,088 of a layer that it declares and never uses.

    Args:
        width: factor of all channels, rounded to multiples of 8
        depth: factor of the blocks of each stage, rounded up
        head: channels of the last 1x1 convolution, 1280 in the paper; 0 leaves it out
        dropout: probability that a feature is dropped before the classifier
        stochastic_depth: probability that the last block is skipped for an image; it grows linearly from 0
    """
    stages = [MBConvConfig(*stage, width_mult=width, depth_mult=depth) for stage in STAGES]
    model = EfficientNet(stages, dropout, stochastic_depth, num_classes, last_channel=head or None)
    model.features[0][0] = of_channels(model.features[0][0], in_channels, partial(kaiming_normal_, mode="fan_out"))
    model.features[0][0].stride = (1, 1)  # stride 2 → 1: 32×32 input
    if not head:
        # 1x1 convolution to 1280 channels → none, as in the small-image form
        model.features[-1] = nn.Identity()
        model.classifier[1] = nn.Linear(stages[-1].out_channels, num_classes)
    return declare(model, Facts(classifier="classifier.1", first="features.0.0"))
