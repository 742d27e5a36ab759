from torch import Tensor, nn
from torch.nn.functional import relu

from espalier.plan.types import Counts, Fraction
from espalier.registry import register


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, which is a 1x1 projection where the shape changes (option B)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, num_classes: int, blocks: tuple[int, ...], channels: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        stages, width = [], channels[0]
        for stage, (count, outputs) in enumerate(zip(blocks, channels, strict=True)):
            for block in range(count):
                stages.append(BasicBlock(width, outputs, stride=2 if stage and not block else 1))
                width = outputs
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(self.stem(x))
        return self.classifier(self.dropout(x.mean((2, 3))))


@register("model", same_length=("blocks", "channels"))
def resnet(
    num_classes: int,
    image_size: int,
    *,
    blocks: Counts = (1, 1, 1),
    channels: Counts = (16, 32, 64),
    dropout: Fraction = 0.0,
) -> ResNet:
    """Residual network for small images (He et al. 2016, arXiv 1512.03385): 3x3 stem without pooling.

    Every stage after the first halves the resolution; takes images of any size.

    Args:
        blocks: basic blocks of each stage
        channels: width of each stage; the stem has that of the first
        dropout: probability that a feature is dropped before the classifier
    """
    if len(blocks) != len(channels):
        raise ValueError(f"resnet: blocks has {len(blocks)} stages and channels {len(channels)}; give one each a stage")
    return ResNet(num_classes, blocks, channels, dropout)
