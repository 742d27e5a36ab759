import torch
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle
from torchvision.models import ShuffleNetV2
from torchvision.models.shufflenetv2 import InvertedResidual

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Count, Counts


class ShuffledUnit(InvertedResidual):
    """Torchvision's unit, cut and shuffled by operations that dependency tracing understands."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        kept, read = (x[:, :half], x[:, half:]) if self.stride == 1 else (self.branch1(x), x)
        return channel_shuffle(torch.cat((kept, self.branch2(read)), 1), 2)


@register(
    "model",
    same_length=("blocks", "channels"),
    requires={
        "len(blocks) == 3": "three stages are needed, not {blocks}",
        "all(width % 2 == 0 for width in channels)": "channels are split in halves; {channels} are not all even",
    },
    depths={"blocks": ((2, 4, 2), (4, 8, 4), (8, 16, 8))},
    presets={"shufflenetv2_x1_0": {"blocks": (4, 8, 4), "channels": (116, 232, 464)}},
    pretrained={
        "torchvision/ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1": "blocks == (4, 8, 4) and channels == (48, 96, 192)",
        "torchvision/ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1": "blocks == (4, 8, 4) and channels == (116, 232, 464)",
        "torchvision/ShuffleNet_V2_X1_5_Weights.IMAGENET1K_V1": "blocks == (4, 8, 4) and channels == (176, 352, 704)",
        "torchvision/ShuffleNet_V2_X2_0_Weights.IMAGENET1K_V1": "blocks == (4, 8, 4) and channels == (244, 488, 976)",
    },
    novelty=("depthwise convolutions", "channel split and shuffle", "global pooling"),
)
def shufflenetv2(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
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
    refuse("shufflenetv2", image_size, blocks=blocks, channels=channels)
    model = ShuffleNetV2(list(blocks), [stem, *channels, head], num_classes, inverted_residual=ShuffledUnit)
    model.conv1[0] = of_channels(model.conv1[0], in_channels)
    model.conv1[0].stride = (1, 1)  # stride 2 → 1: 32×32 input
    model.maxpool = nn.Identity()  # 3x3 stride 2 → none: 32×32 input
    # Halves are cut and shuffled at fixed channels: what is shuffled must keep its width.
    units = {path: unit for path, unit in model.named_modules() if isinstance(unit, ShuffledUnit)}
    shuffled = [f"{path}.branch2.5" for path in units]
    shuffled += [f"{path}.branch1.2" for path, unit in units.items() if unit.stride > 1]
    return declare(model, Facts(classifier="fc", first="conv1.0", unprunable=tuple(shuffled)))
