from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu
from torchvision.models.vgg import cfgs, make_layers

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Count, Counts, Fraction, Literal, Positive


class SpinalHead(nn.Module):
    """A chain of small layers, each fed its predecessor and one part of the features; the classifier reads all.

    `cut` splits the features into parts of the given `widths`, which the layers read in turn.
    """

    def __init__(
        self, cut: Callable, widths: tuple[int, ...], hidden: int, layers: int, num_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.cut = cut
        inputs = [widths[layer % len(widths)] + (hidden if layer else 0) for layer in range(layers)]
        self.spine = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(width, hidden), nn.ReLU()) for width in inputs
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(layers * hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.cut(x)
        outputs: list[Tensor] = []
        for number, layer in enumerate(self.spine):
            outputs.append(layer(torch.cat((parts[number % len(parts)], *outputs[-1:]), 1)))
        return self.classifier(self.dropout(torch.cat(outputs, 1)))


def halves(x: Tensor) -> tuple[Tensor, ...]:
    """Both halves of the flattened features, none dropped at any image size."""
    x = x.flatten(1)
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]


def positions(x: Tensor) -> tuple[Tensor, ...]:
    """The channels at each position of a map."""
    return x.flatten(2).unbind(2)


def start(features: nn.Module) -> None:
    """Kaiming variance for every convolution."""
    for module in features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def pooled(window: int) -> list[nn.Module]:
    """A max-pooling by windows of this side; nothing for 1."""
    return [nn.MaxPool2d(window)] if window > 1 else []


def on_halves(
    features: nn.Sequential, size: int, hidden: int, layers: int, num_classes: int, dropout: float, last: str
) -> nn.Module:
    """A network of convolutional `features`, `size` numbers an image, and a spinal head on their two halves."""
    head = SpinalHead(halves, (size // 2, size - size // 2), hidden, layers, num_classes, dropout)
    model = nn.Sequential(OrderedDict(features=features, head=head))
    # The halves are cut at a fixed channel, so that the last convolution keeps its width.
    return declare(model, Facts(classifier="head.classifier", first="features.0", unprunable=(f"features.{last}",)))


@register(
    "model",
    smallest="2 ** (len(channels) // 2) * window",
    requires={
        "len(channels) % 2 == 0 and layers >= 2": "needs pairs of channels and 2 layers, not {channels} and {layers}"
    },
    novelty=("gradual input",),
)
def spinal_cnn(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    channels: Counts = (32, 64, 128, 128, 256, 256),
    hidden: Count = 128,
    layers: Count = 4,
    dropout: Fraction = 0.1,
    window: Count = 1,
) -> nn.Module:
    """Spinal CNN (Kabir et al. 2020, arXiv 2007.03347): pairs of convolutions, max-pooling, a spinal head.

    Without the dropout of channels (0.05) that the authors' code has between its convolutions.

    Args:
        channels: width of each 3x3 convolution; every second one ends a stage with a 2x2 max-pooling
        hidden: width of each spinal layer
        layers: spinal layers, which read the two halves of the features in turn; at least 2
        dropout: probability that an input of a spinal layer or of the classifier is dropped
        window: side of the windows of one more max-pooling, before the spinal head; 1 for none
    """
    refuse("spinal_cnn", image_size, channels=channels, layers=layers, window=window)
    stages = len(channels) // 2
    modules: list[nn.Module] = []
    for before, inner, outputs in zip((in_channels, *channels[1::2]), channels[::2], channels[1::2], strict=False):
        modules += [nn.Conv2d(before, inner, 3, padding=1), nn.BatchNorm2d(inner), nn.ReLU()]
        modules += [nn.Conv2d(inner, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    size = channels[-1] * (image_size // 2**stages // window) ** 2
    last = str(len(modules) - 3)
    modules += pooled(window)
    return on_halves(nn.Sequential(*modules), size, hidden, layers, num_classes, dropout, last)


@register(
    "model",
    smallest="32 * window",
    requires={"layers >= 2": "{layers} layers read one half of the features; give at least 2"},
    depths={"depth": (11, 13, 16, 19)},
    standard={"depth": {11: "vgg11_bn", 13: "vgg13_bn", 16: "vgg16_bn", 19: "vgg19_bn"}},
    presets={
        "spinal_vgg11": {"depth": 11},
        "spinal_vgg13": {"depth": 13},
        "spinal_vgg16": {"depth": 16},
        "spinal_vgg19": {"depth": 19},
    },
    pretrained={
        "torchvision/VGG11_BN_Weights.IMAGENET1K_V1": "depth == 11 and early_width == 1",
        "torchvision/VGG13_BN_Weights.IMAGENET1K_V1": "depth == 13 and early_width == 1",
        "torchvision/VGG16_BN_Weights.IMAGENET1K_V1": "depth == 16 and early_width == 1",
        "torchvision/VGG19_BN_Weights.IMAGENET1K_V1": "depth == 19 and early_width == 1",
    },
    novelty=("gradual input",),
)
def spinal_vgg(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    depth: Literal[11, 13, 16, 19] = 11,
    hidden: Count = 512,
    layers: Count = 4,
    dropout: Fraction = 0.5,
    window: Count = 1,
    early_width: Positive = 1.0,
) -> nn.Module:
    """SpinalVGG (Kabir et al. 2020, arXiv 2007.03347): VGG convolutions with normalization, a spinal head.

    Args:
        depth: layers of the VGG network whose convolutions are taken
        hidden: width of each spinal layer
        layers: spinal layers, which read the two halves of the features in turn; at least 2
        dropout: probability that an input of a spinal layer or of the classifier is dropped
        window: side of the windows of one more max-pooling, before the spinal head; 1 for none
        early_width: factor of the widths of the convolutions before the second max-pooling, 64 and 128, rounded
    """
    refuse("spinal_vgg", image_size, layers=layers, window=window)
    features = make_layers(widened({11: "A", 13: "B", 16: "D", 19: "E"}[depth], early_width), batch_norm=True)
    features[0] = of_channels(features[0], in_channels)
    start(features)
    # 224×224 input and three layers of 4096 → 32×32 input and the spinal head
    last = str(max(index for index, module in enumerate(features) if isinstance(module, nn.Conv2d)))
    features = nn.Sequential(*features, *pooled(window))
    return on_halves(features, 512 * (image_size // 32 // window) ** 2, hidden, layers, num_classes, dropout, last)


def widened(name: str, factor: float) -> list[int | str]:
    """Widths of a VGG network's convolutions, "M" for a max-pooling; those before the second one times the factor."""
    layers = cfgs[name]
    second = [place for place, layer in enumerate(layers) if layer == "M"][1]
    early = [layer if layer == "M" else max(1, round(factor * layer)) for layer in layers[:second]]
    return early + layers[second:]


class LinearBlock(nn.Module):
    """A residual block without a ReLU after the sum, projecting by a 3x3 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + self.shortcut(x)


class QuarterMaxima(nn.Module):
    """The greatest values of a square map's quarters, (n, C, 2, 2); those of an odd side share its middle line.

    `nn.AdaptiveMaxPool2d(2)` to the bit, whose gradient CUDA sums in no fixed order.
    """

    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[-1]
        return max_pool2d(x, -(-side // 2), side // 2) if side > 1 else x.expand(-1, -1, 2, 2)


@register(
    "model",
    same_length=("blocks", "channels"),
    depths={"blocks": ((1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3))},
    standard={"blocks": {(2, 2, 2, 2): "resnet18", (3, 4, 6, 3): "resnet34"}},
    presets={"spinal_resnet18": {"blocks": (2, 2, 2, 2)}, "spinal_resnet34": {"blocks": (3, 4, 6, 3)}},
    novelty=("gradual input", "residual connections"),
)
def spinal_resnet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    blocks: Counts = (2, 2, 2, 2),
    channels: Counts = (32, 64, 128, 256),
    hidden: Count = 256,
    dropout: Fraction = 0.0,
) -> nn.Module:
    """SpinalResNet (Kabir et al. 2020, arXiv 2007.03347): residual stages, pooled to a map of 2x2, and a spinal layer
    for each of its four positions.

    Every stage after the first halves the resolution; takes images of any size. Blocks [2, 2, 2, 2] make
    SpinalResNet-18, [3, 4, 6, 3] SpinalResNet-34. Without the dropout of channels (0.02) of the authors' stem.

    Args:
        blocks: residual blocks of each stage
        channels: width of each stage; the stem has that of the first
        hidden: width of each of the four spinal layers
        dropout: probability that an input of a spinal layer or of the classifier is dropped
    """
    refuse("spinal_resnet", image_size, blocks=blocks, channels=channels)
    width = channels[0]
    modules: list[nn.Module] = [
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for stage, (count, outputs) in enumerate(zip(blocks, channels, strict=True)):
        last_stage = len(modules)
        for block in range(count):
            modules.append(LinearBlock(width, outputs, stride=2 if stage and not block else 1))
            width = outputs
    # max-pooling by 2 → to 2×2: the same at 32×32 input, and four positions at any other
    modules.append(QuarterMaxima())
    head = SpinalHead(positions, (width,), hidden, 4, num_classes, dropout)
    model = nn.Sequential(OrderedDict(features=nn.Sequential(*modules), head=head))
    start(model.features)
    # Layers whose output is added to the final map keep their width, since the head cuts positions from it; with a
    # single stage the stem is one of them.
    places = range(last_stage, len(modules) - 1)
    paths = [f"features.{place}.{part}" for place in places for part in ("conv2", "shortcut.0")]
    known = dict(model.named_modules())
    summed = (*(["features.0"] if len(blocks) == 1 else []), *(path for path in paths if path in known))
    return declare(model, Facts(classifier="head.classifier", first="features.0", unprunable=summed))
