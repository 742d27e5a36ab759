from functools import partial

from torch import nn
from torch.nn.init import kaiming_normal_
from torchvision.models import resnet18, resnet34

from espalier.models.facts import Facts, declare
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Literal, Natural


@register(
    "model",
    depths={"depth": (18, 34)},
    presets={
        "resnet18": {"depth": 18},
        "resnet34": {"depth": 34},
        "resnet18_cifar": {"depth": 18, "stem": "cifar"},
        "resnet34_cifar": {"depth": 34, "stem": "cifar"},
        "resnet18_224": {"depth": 18, "upsample": 224},
    },
    pretrained={
        "torchvision/ResNet18_Weights.IMAGENET1K_V1": "depth == 18",
        "torchvision/ResNet34_Weights.IMAGENET1K_V1": "depth == 34",
    },
    novelty=("residual connections", "global pooling"),
)
def resnet_imagenet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    depth: Literal[18, 34] = 18,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    upsample: Natural = 0,
) -> nn.Module:
    """ResNet-18 and ResNet-34 as for ImageNet (He et al. 2016, arXiv 1512.03385), on images of any size.

    Args:
        depth: layers with weights
        stem: imagenet, a 7x7 convolution of stride 2 and a max-pooling; or cifar, a 3x3 convolution of stride 1
        upsample: side to which the network first resizes its images bilinearly, e.g. 224; 0 to leave them
    """
    model = {18: resnet18, 34: resnet34}[depth](num_classes=num_classes)
    model.conv1 = of_channels(model.conv1, in_channels, partial(kaiming_normal_, mode="fan_out"))
    if stem == "cifar":
        # 7x7 stride 2, max-pool → 3x3 stride 1: 32×32 input
        model.conv1 = nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)
        kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    if not upsample:
        return declare(model, Facts(classifier="fc", first="conv1"))
    model.conv1 = nn.Sequential(nn.Upsample((upsample, upsample), mode="bilinear"), model.conv1)
    return declare(model, Facts(classifier="fc", first="conv1.1", published={"conv1.1": "conv1"}))
