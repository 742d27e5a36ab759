from torch import nn
from torchvision.models import DenseNet

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count, Counts, Fraction


@register(
    "model",
    smallest="2 ** (len(blocks) - 1)",
    depths={"blocks": ((6, 12, 24, 16), (6, 12, 32, 32), (6, 12, 48, 32), (6, 12, 64, 48))},
    standard={
        "blocks": {(6, 12, 24, 16): "densenet121", (6, 12, 32, 32): "densenet169", (6, 12, 48, 32): "densenet201"}
    },
    presets={"densenet121_cifar": {"growth_rate": 12, "blocks": (6, 12, 24, 16)}},
    pretrained={
        "timm/densenet121.tv_in1k": "growth_rate == 32 and blocks == (6, 12, 24, 16) and bottleneck == 4",
        "timm/densenet169.tv_in1k": "growth_rate == 32 and blocks == (6, 12, 32, 32) and bottleneck == 4",
        "timm/densenet201.tv_in1k": "growth_rate == 32 and blocks == (6, 12, 48, 32) and bottleneck == 4",
    },
    novelty=("dense connections", "1x1 bottlenecks", "global pooling"),
)
def densenet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    growth_rate: Count = 12,
    blocks: Counts = (6, 12, 24, 16),
    bottleneck: Count = 4,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """DenseNet-BC (Huang et al. 2017, arXiv 1608.06993) for small images: 3x3 stem without pooling.

    A transition between blocks halves channels (compression 0.5) and resolution.

    Args:
        growth_rate: channels that each layer adds; the stem has twice as many
        blocks: layers of each dense block
        bottleneck: width of a layer's 1x1 convolution, in growth rates
        dropout: probability that a layer's output is dropped
    """
    refuse("densenet", image_size, blocks=blocks)
    stem = 2 * growth_rate
    model = DenseNet(growth_rate, blocks, stem, bn_size=bottleneck, drop_rate=dropout, num_classes=num_classes)
    # 7x7 stride 2, normalization, ReLU, max-pool → 3x3 stride 1: 32×32 input
    model.features.conv0 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.features.conv0.weight)
    del model.features.norm0, model.features.relu0, model.features.pool0
    return declare(model, Facts(classifier="classifier", first="features.conv0"))
