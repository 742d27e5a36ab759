from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, relu

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count


class PyramidBlock(nn.Module):
    """Normalizations around two 3x3 convolutions, and a shortcut that pools and adds channels of zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, outputs - inputs
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn3(self.conv2(relu(self.bn2(self.conv1(self.bn1(x))))))
        # ceil_mode: a map of odd side has as many pixels as after the convolution
        shortcut = avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        return out + pad(shortcut, (0, 0, 0, 0, 0, self.added))


class PyramidNet(nn.Module):
    def __init__(self, num_classes: int, in_channels: int, blocks: int, alpha: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        widths = [round(16 + alpha * number / (3 * blocks)) for number in range(3 * blocks + 1)]
        self.blocks = nn.Sequential(
            *(
                PyramidBlock(widths[number], widths[number + 1], stride=2 if number in (blocks, 2 * blocks) else 1)
                for number in range(3 * blocks)
            )
        )
        self.norm = nn.BatchNorm2d(widths[-1])
        self.classifier = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.norm(self.blocks(self.stem(x))))
        return self.classifier(x.mean((2, 3)))


@register(
    "model",
    requires={"depth >= 8 and depth % 6 == 2": "depth is 6n + 2 with n blocks a stage (8, 14, ... 110), not {depth}"},
    depths={"depth": (20, 38, 56, 74, 110)},
    presets={"pyramidnet110_a48": {"depth": 110, "alpha": 48}},
    novelty=("residual connections", "widths that grow block by block", "global pooling"),
)
def pyramidnet(
    num_classes: int, image_size: int, in_channels: int = 3, *, depth: Count = 110, alpha: Count = 48
) -> PyramidNet:
    """PyramidNet of basic blocks (Han et al. 2017, arXiv 1610.02915), whose width grows in every block.

    Three stages, of which the second and the third halve the resolution; takes images of any size.

    Args:
        depth: layers with weights, 6n + 2 with n blocks a stage
        alpha: channels added to the 16 of the stem, in equal steps
    """
    refuse("pyramidnet", image_size, depth=depth)
    blocks = (depth - 2) // 6
    model = PyramidNet(num_classes, in_channels, blocks, alpha)
    # Zero channels have fixed places: whatever is added to them must keep its width.
    added = ("stem.0", *(f"blocks.{block}.conv2" for block in range(3 * blocks)))
    return declare(model, Facts(classifier="classifier", first="stem.0", unprunable=added))
