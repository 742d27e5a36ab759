from torch import nn
from torchvision.models import ShuffleNetV2

from espalier.models.facts import Facts, declare
from espalier.plan.types import Count, Counts
from espalier.registry import register


@register("model", same_length=("blocks", "channels"))
def shufflenetv2(
    num_classes: int,
    image_size: int,
    *,
    stem: Count = 24,
    blocks: Counts = (4, 8, 4),
    channels: Counts = (116, 232, 464),
    head: Count = 1024,
) -> nn.Module:
    """ShuffleNetV2 1.0x (Ma et al. 2018, arXiv 1807.11164) for small images: stem of stride 1 without pooling.

    Each of the three stages halves the resolution; takes images of any size. Other widths of the paper: channels
    48, 96, 192 (0.5x), 176, 352, 704 (1.5x), 244, 488, 976 with head 2048 (2x).

    Args:
        stem: channels of the first convolution
        blocks: blocks of each of the three stages
        channels: channels of each stage, even numbers
        head: channels of the last convolution
    """
    if len(blocks) != 3 or len(channels) != 3:
        raise ValueError(
            f"shufflenetv2: three stages are needed; blocks has {len(blocks)} and channels {len(channels)}"
        )
    if any(width % 2 for width in channels):
        raise ValueError(
            f"shufflenetv2: channels are split in halves; {', '.join(map(str, channels))} are not all even"
        )
    model = ShuffleNetV2(list(blocks), [stem, *channels, head], num_classes)
    model.conv1[0].stride = (1, 1)  # stride 2 → 1: 32×32 input
    model.maxpool = nn.Identity()  # 3x3 stride 2 → none: 32×32 input
    return declare(model, Facts(classifier="fc", first="conv1.0"))
