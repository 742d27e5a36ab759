from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad

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


def activated(name: str) -> nn.Module:
    """The activation of this name."""
    return nn.GELU() if name == "gelu" else nn.ReLU()


class BasicBlock(nn.Module):
    """Two convolutions around a shortcut that, where the shape changes, pads (A) or projects (B).

    Normalization and activation follow each convolution, the second activation the sum; or, with `preactivation`, they
    stand before each convolution, and nothing follows the sum.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        shortcut: str,
        reduction: int,
        *,
        kernel: int = 3,
        shortcut_kernel: int = 1,
        preactivation: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        side = {"kernel_size": kernel, "padding": kernel // 2, "bias": False}
        self.conv1 = nn.Conv2d(inputs, outputs, stride=stride, **side)
        self.bn1 = nn.BatchNorm2d(inputs if preactivation else outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, **side)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se = squeeze_excitation(outputs, reduction)
        self.preactivation = preactivation
        self.active = activated(activation)
        self.shortcut = nn.Identity()
        if stride == 1 and inputs == outputs:
            return
        if shortcut == "A":
            self.shortcut = PaddedShortcut(inputs, outputs, stride)
        else:
            projection = nn.Conv2d(inputs, outputs, shortcut_kernel, stride, padding=shortcut_kernel // 2, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.preactivation:
            out = self.conv1(self.active(self.bn1(x)))
            return self.se(self.conv2(self.active(self.bn2(out)))) + self.shortcut(x)
        out = self.active(self.bn1(self.conv1(x)))
        return self.active(self.se(self.bn2(self.conv2(out))) + self.shortcut(x))


class Pooling(nn.Module):
    """The mean or the maximum of each map, or of each window of it, all in one row: (n, c, h, w) → (n, features)."""

    def __init__(self, kind: str, window: int) -> None:
        super().__init__()
        self.kind = kind
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        if self.window:
            pooled = max_pool2d(x, self.window) if self.kind == "max" else avg_pool2d(x, self.window)
            return pooled.flatten(1)
        return x.amax((2, 3)) if self.kind == "max" else x.mean((2, 3))


class ResNet(nn.Module):
    """A stem, residual stages, pooling and a linear classifier.

    `settings` are those of every block; `kernels` and `shortcut_kernels` hold one number a stage, `features` is how
    many numbers the pooling leaves.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        blocks: tuple[int, ...],
        channels: tuple[int, ...],
        dropout: float,
        shortcut: str,
        reduction: int,
        *,
        kernels: tuple[int, ...],
        shortcut_kernels: tuple[int, ...],
        pool: Pooling,
        features: int,
        **settings: bool | str,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        stages, width = [], channels[0]
        for stage, (count, outputs) in enumerate(zip(blocks, channels, strict=True)):
            sides = {"kernel": kernels[stage], "shortcut_kernel": shortcut_kernels[stage]}
            for block in range(count):
                stride = 2 if stage and not block else 1
                stages.append(BasicBlock(width, outputs, stride, shortcut, reduction, **sides, **settings))
                width = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = pool
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(self.stages(self.stem(x)))))


@register(
    "model",
    same_length=("blocks", "channels"),
    smallest="max(window - 1, 0) * 2 ** (len(blocks) - 1) + 1",
    requires={
        "len(kernels) == 1 or len(kernels) == len(blocks)": "kernels {kernels}: give one for all stages, or one each",
        "len(shortcut_kernels) == 1 or len(shortcut_kernels) == len(blocks)": "shortcut_kernels {shortcut_kernels}: "
        "give one for all stages, or one each",
        "all(kernel % 2 == 1 for kernel in kernels)": "kernels {kernels} must be odd, so that each has a middle",
        "all(kernel % 2 == 1 for kernel in shortcut_kernels)": "shortcut_kernels {shortcut_kernels} must be odd, so "
        "that each has a middle",
        "shortcut == 'B' or max(shortcut_kernels) == 1": "shortcut A has no convolution; leave shortcut_kernels out",
        "shortcut == 'B' or list(channels) == sorted(channels)": "shortcut A adds channels of zeros; "
        "channels {channels} must not shrink",
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
        "res34_row7_notebook": {
            "blocks": (3, 4, 6, 3),
            "channels": (64, 128, 256, 256),
            "preactivation": True,
            "activation": "gelu",
        },
        "res18_row8": {"blocks": (2, 2, 2, 2), "channels": (16, 32, 64, 128)},
        "res24_table3": {"blocks": (3, 3, 3, 3), "channels": (128, 100, 160, 200)},
    },
    novelty=("residual connections", "global pooling"),
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
    kernels: Counts = (3,),
    shortcut_kernels: Counts = (1,),
    pool: Literal["average", "max"] = "average",
    window: Natural = 0,
    preactivation: bool = False,
    activation: Literal["relu", "gelu"] = "relu",
) -> ResNet:
    """Residual network for small images (He et al. 2016, arXiv 1512.03385): 3x3 stem without pooling.

    Every stage after the first halves the resolution; takes images of any size. With blocks [n, n, n] and
    the channels of the paper, its depth is 6n + 2: ResNet-20 has n = 3, ResNet-56 n = 9, ResNet-110 n = 18.

    Args:
        blocks: basic blocks of each stage
        channels: width of each stage; the stem has that of the first
        dropout: probability that a feature is dropped before the classifier
        shortcut: where the shape changes, A skips pixels and adds channels of zeros; B projects by a convolution
        se_reduction: channels per hidden unit of each block's squeeze-and-excitation, e.g. 16; 0 for none
        kernels: side of the convolutions of the blocks, an odd number for all stages or one each
        shortcut_kernels: side of the convolutions of shortcut B, an odd number for all stages or one each
        pool: what the classifier reads of each map, the average or the maximum
        window: side of the windows that are pooled, each of which makes features of its own; 0 pools the whole map
        preactivation: normalize and activate before each convolution of a block instead of after it, as in arXiv
            1603.05027; after the last block there is neither, and the classifier reads its plain sum
        activation: activation of the blocks; the stem has ReLU
    """
    shape = {"blocks": blocks, "channels": channels, "shortcut": shortcut, "window": window}
    refuse("resnet", image_size, kernels=kernels, shortcut_kernels=shortcut_kernels, **shape)
    stages = len(blocks)
    side = -(-image_size // 2 ** (stages - 1))
    model = ResNet(
        num_classes,
        in_channels,
        blocks,
        channels,
        dropout,
        shortcut,
        se_reduction,
        kernels=kernels if len(kernels) == stages else kernels * stages,
        shortcut_kernels=shortcut_kernels if len(shortcut_kernels) == stages else shortcut_kernels * stages,
        pool=Pooling(pool, window),
        features=channels[-1] * ((side // window) ** 2 if window else 1),
        preactivation=preactivation,
        activation=activation,
    )
    # Zero channels have fixed places: with option A, whatever is added to them must keep its width.
    padded = ("stem.0", *(f"stages.{block}.conv2" for block in range(sum(blocks)))) if shortcut == "A" else ()
    return declare(model, Facts(classifier="classifier", first="stem.0", unprunable=padded))
