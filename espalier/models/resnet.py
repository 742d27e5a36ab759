from torch import Tensor, nn
from torch.nn.functional import pad, relu

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Counts, Fraction, Literal, Natural


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, with channels of zeros on both sides (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def squeeze_excitation(channels: int, reduction: int) -> nn.Module:
    """Channel weights from the block's mean response (Hu et al. 2018, arXiv 1709.01507); nothing at reduction 0."""
    if not reduction:
        return nn.Identity()
    from torchvision.ops import SqueezeExcitation

    return SqueezeExcitation(channels, max(1, channels // reduction))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut that, where the shape changes, pads (A) or projects by 1x1 (B)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = squeeze_excitation(outputs, reduction)
        self.shortcut = nn.Identity()
        if stride == 1 and inputs == outputs:
            return
        if shortcut == "A":
            self.shortcut = PaddedShortcut(inputs, outputs, stride)
        else:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.se(self.bn2(self.conv2(out))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        blocks: tuple[int, ...],
        channels: tuple[int, ...],
        dropout: float,
        shortcut: str,
        reduction: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        stages, width = [], channels[0]
        for stage, (count, outputs) in enumerate(zip(blocks, channels, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                stages.append(BasicBlock(width, outputs, stride, shortcut, reduction))
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


@register(
    "model",
    same_length=("blocks", "channels"),
    requires={
        "shortcut == 'B' or list(channels) == sorted(channels)": "shortcut A adds channels of zeros; "
        "channels {channels} must not shrink"
    },
    depths={"blocks": ((3, 3, 3), (5, 5, 5), (7, 7, 7), (9, 9, 9), (18, 18, 18))},
    presets={
        "resnet20": {"blocks": (3, 3, 3), "shortcut": "A"},
        "resnet32": {"blocks": (5, 5, 5), "shortcut": "A"},
        "resnet44": {"blocks": (7, 7, 7), "shortcut": "A"},
        "resnet56": {"blocks": (9, 9, 9), "shortcut": "A"},
        "resnet110": {"blocks": (18, 18, 18), "shortcut": "A"},
        "resnet44_5m": {"blocks": (7, 7, 7), "channels": (32, 64, 190), "dropout": 0.3},
        "resnet44_5m_first": {"blocks": (7, 7, 7), "channels": (32, 64, 128)},
        "resnet44_5m_second": {"blocks": (4, 4, 3), "channels": (64, 128, 256)},
        "res24_row1": {"blocks": (3, 3, 3, 3), "channels": (128, 100, 164, 200)},
        "res24_row2": {"blocks": (3, 3, 2, 3), "channels": (138, 100, 204, 190)},
        "res24_row4": {"blocks": (3, 3, 2, 3), "channels": (94, 192, 120, 200)},
        "res34_row5": {"blocks": (3, 4, 6, 3), "channels": (32, 64, 128, 256)},
        "res22_row6": {"blocks": (3, 4, 3), "channels": (64, 128, 256)},
        "res34_row7": {"blocks": (3, 4, 6, 3), "channels": (64, 128, 128, 256)},
        "res18_row8": {"blocks": (2, 2, 2, 2), "channels": (16, 32, 64, 128)},
        "res24_table3": {"blocks": (3, 3, 3, 3), "channels": (128, 100, 160, 200)},
    },
)
def resnet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    blocks: Counts = (1, 1, 1),
    channels: Counts = (16, 32, 64),
    dropout: Fraction = 0.0,
    shortcut: Literal["A", "B"] = "B",
    se_reduction: Natural = 0,
) -> ResNet:
    """Residual network for small images (He et al. 2016, arXiv 1512.03385): 3x3 stem without pooling.

    Every stage after the first halves the resolution; takes images of any size. With blocks [n, n, n] and
    the channels of the paper, its depth is 6n + 2: ResNet-20 has n = 3, ResNet-56 n = 9, ResNet-110 n = 18.

    Args:
        blocks: basic blocks of each stage
        channels: width of each stage; the stem has that of the first
        dropout: probability that a feature is dropped before the classifier
        shortcut: where the shape changes, A skips pixels and adds channels of zeros; B projects by a 1x1 convolution
        se_reduction: channels per hidden unit of each block's squeeze-and-excitation, e.g. 16; 0 for none
    """
    refuse("resnet", image_size, blocks=blocks, channels=channels, shortcut=shortcut)
    model = ResNet(num_classes, in_channels, blocks, channels, dropout, shortcut, se_reduction)
    # Zero channels have fixed places: with option A, whatever is added to them must keep its width.
    padded = ("stem.0", *(f"stages.{block}.conv2" for block in range(sum(blocks)))) if shortcut == "A" else ()
    return declare(model, Facts(classifier="classifier", first="stem.0", unprunable=padded))
