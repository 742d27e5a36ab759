from timm.layers import BatchNormAct2d, create_conv2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from espalier.models.facts import Facts, declare
from espalier.settings.registry import register
from espalier.settings.types import Literal


class Head(nn.Module):
    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


@register(
    "model",
    depths={"depth": (18, 34)},
    presets={
        "preact_resnet18": {"depth": 18},
        "preact_resnet34": {"depth": 34},
        "preact_resnet18_no_final_norm": {"depth": 18, "final_norm": False},
    },
    pretrained={
        "timm/resnetv2_18.ra4_e3600_r224_in1k": "depth == 18",
        "timm/resnetv2_34.ra4_e3600_r224_in1k": "depth == 34",
    },
    novelty=("residual connections", "global pooling"),
)
def preact_resnet(
    num_classes: int, image_size: int, in_channels: int = 3, *, depth: Literal[18, 34] = 18, final_norm: bool = True
) -> nn.Module:
    """PreAct ResNet (He et al. 2016, arXiv 1603.05027) for small images: 3x3 stem without pooling.

    Every stage after the first halves the resolution; takes images of any size.

    Args:
        depth: layers with weights
        final_norm: batch normalization and ReLU after the last block, as in the paper
    """
    blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}[depth]
    model = ResNetV2(
        list(blocks),
        channels=(64, 128, 256, 512),
        basic=True,
        bottle_ratio=1.0,
        conv_layer=create_conv2d,
        norm_layer=BatchNormAct2d,
        num_classes=0,
    )
    # 7x7 stride 2, max-pool → 3x3 stride 1: 32×32 input
    model.stem = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.stem.weight, mode="fan_out", nonlinearity="relu")
    # 1x1 convolution on the pooled map → the same as a linear layer
    model.head = Head(512, num_classes)
    if not final_norm:
        model.norm = nn.Identity()
    return declare(model, Facts(classifier="head.fc", first="stem"))
