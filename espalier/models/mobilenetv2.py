from functools import partial

from torch import Tensor, nn
from torch.nn.init import kaiming_normal_
from torchvision.models.mobilenetv2 import InvertedResidual, MobileNetV2
from torchvision.ops.misc import Conv2dNormActivation

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Count, Counts, Fraction, Literal, Positive


class ProjectedResidual(InvertedResidual):
    """Inverted residual whose shortcut is never absent at stride 1: where the width changes it is a 1x1 projection.

    It expands by a 1x1 convolution at expansion 1 as well.
    """

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: int, norm_layer: type[nn.Module]) -> None:
        super().__init__(inp, oup, stride, expand_ratio, norm_layer)
        if expand_ratio == 1:
            expand = Conv2dNormActivation(inp, inp, 1, norm_layer=norm_layer, activation_layer=nn.ReLU6)
            self.conv.insert(0, expand)
        self.shortcut = None
        if stride == 1 and inp != oup:
            self.shortcut = Conv2dNormActivation(inp, oup, 1, norm_layer=norm_layer, activation_layer=None)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.shortcut is None else self.conv(x) + self.shortcut(x)


@register(
    "model",
    same_length=("strides", "expansions", "channels", "blocks"),
    requires={"max(strides) <= 2": "strides are each 1 or 2, not {strides}"},
    presets={
        "mobilenetv2_imagenet": {"stem_stride": 2, "strides": (1, 2, 2, 2, 1, 2, 1)},
        "mobilenetv2_cifar": {"stem_stride": 1, "strides": (1, 1, 1, 2, 1, 2, 1)},
        "mobilenetv2_projected": {"shortcut": "projection", "strides": (1, 1, 2, 2, 1, 2, 1)},
    },
    pretrained={
        "torchvision/MobileNet_V2_Weights.IMAGENET1K_V2": "width == 1 and shortcut == 'identity' and "
        "expansions == (1, 6, 6, 6, 6, 6, 6) and channels == (16, 24, 32, 64, 96, 160, 320) and "
        "blocks == (1, 2, 3, 4, 3, 3, 1)"
    },
    novelty=("depthwise convolutions", "inverted residuals", "global pooling"),
)
def mobilenetv2(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    width: Positive = 1.0,
    stem_stride: Literal[1, 2] = 1,
    strides: Counts = (1, 1, 1, 2, 1, 2, 1),
    shortcut: Literal["identity", "projection"] = "identity",
    dropout: Fraction = 0.2,
    expansions: Counts = (1, 6, 6, 6, 6, 6, 6),
    channels: Counts = (16, 24, 32, 64, 96, 160, 320),
    blocks: Counts = (1, 2, 3, 4, 3, 3, 1),
    round_to: Count = 8,
) -> nn.Module:
    """MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), with strides for small images.

    Takes images of any size. The paper's strides are 2 in the stem and 1, 2, 2, 2, 1, 2, 1 in the stages.

    Args:
        width: factor of all channels, rounded to multiples of `round_to`
        stem_stride: stride of the first convolution
        strides: stride, 1 or 2, of each stage
        shortcut: identity: a shortcut where stride and width allow it (the paper). projection: also a 1x1 convolution
            as shortcut where only the width changes, and an expansion in the first block too, as in a widely copied
            code for CIFAR
        dropout: probability that a feature is dropped before the classifier
        expansions: factor by which the blocks of each stage widen what comes in
        channels: width of each stage, before it is multiplied by `width`
        blocks: blocks of each stage
        round_to: all channels are multiples of this
    """
    stages = {"strides": strides, "expansions": expansions, "channels": channels, "blocks": blocks}
    refuse("mobilenetv2", image_size, **stages)
    model = MobileNetV2(
        num_classes,
        width,
        # strides 1, 2, 2, 2, 1, 2, 1 → 1, 1, 1, 2, 1, 2, 1: 32×32 input
        list(map(list, zip(expansions, channels, blocks, strides, strict=True))),
        round_nearest=round_to,
        block=ProjectedResidual if shortcut == "projection" else InvertedResidual,
        dropout=dropout,
    )
    model.features[0][0] = of_channels(model.features[0][0], in_channels, partial(kaiming_normal_, mode="fan_out"))
    model.features[0][0].stride = (stem_stride, stem_stride)  # stride 2 → 1: 32×32 input
    return declare(model, Facts(classifier="classifier.1", first="features.0.0"))
