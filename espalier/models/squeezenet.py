from torch import nn
from torchvision.models import SqueezeNet

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Fraction, Literal


# In smaller images the last max-pooling finds no window.
@register(
    "model",
    smallest="8 if stem == 'small' else 21 if version == '1.0' else 17",
    standard="alexnet",
    presets={
        "squeezenet1_0": {"version": "1.0", "stem": "imagenet"},
        "squeezenet1_1": {"version": "1.1", "stem": "imagenet"},
        "squeezenet1_0_cifar": {"version": "1.0", "stem": "small"},
        "squeezenet1_1_cifar": {"version": "1.1", "stem": "small"},
    },
    pretrained={
        "torchvision/SqueezeNet1_0_Weights.IMAGENET1K_V1": "version == '1.0'",
        "torchvision/SqueezeNet1_1_Weights.IMAGENET1K_V1": "version == '1.1'",
    },
)
def squeezenet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    version: Literal["1.0", "1.1"] = "1.0",
    stem: Literal["small", "imagenet"] = "small",
    dropout: Fraction = 0.5,
) -> nn.Module:
    """SqueezeNet (Iandola et al. 2016, arXiv 1602.07360); version 1.1 pools earlier and costs less.

    The classifier is a 1x1 convolution, whose maps are averaged after a ReLU: logits are never negative.

    Args:
        version: 1.0 is the paper's network, 1.1 its authors' later one
        stem: small is a 3x3 convolution of stride 1; imagenet is the original, 7x7 (1.0) or 3x3 (1.1) of stride 2
            without padding, for images of 21x21 (1.0) or 17x17 (1.1) and more
        dropout: probability that a value is dropped before the classifier
    """
    refuse("squeezenet", image_size, version=version, stem=stem)
    model = SqueezeNet(version.replace(".", "_"), num_classes, dropout)
    if stem == "small":
        # stride 2 without padding → 3x3 stride 1: 32×32 input
        first = nn.Conv2d(in_channels, model.features[0].out_channels, 3, padding=1)
        nn.init.kaiming_uniform_(first.weight)
        nn.init.zeros_(first.bias)
        model.features[0] = first
    model.features[0] = of_channels(model.features[0], in_channels, nn.init.kaiming_uniform_)
    return declare(model, Facts(classifier="classifier.1", first="features.0"))
