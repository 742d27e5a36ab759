from torch import nn
from torchvision.models import SqueezeNet

from espalier.models.facts import Facts, declare
from espalier.plan.types import Fraction, Literal
from espalier.registry import register

# Side below which the last max-pooling finds no window.
SMALLEST = {("small", "1.0"): 8, ("small", "1.1"): 8, ("imagenet", "1.0"): 21, ("imagenet", "1.1"): 17}


@register("model", smallest=8)
def squeezenet(
    num_classes: int,
    image_size: int,
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
    smallest = SMALLEST[stem, version]
    if image_size < smallest:
        raise ValueError(
            f"squeezenet: images of {image_size}x{image_size} are too small; the smallest is {smallest}x{smallest}"
        )
    model = SqueezeNet(version.replace(".", "_"), num_classes, dropout)
    if stem == "small":
        # stride 2 without padding → 3x3 stride 1: 32×32 input
        first = nn.Conv2d(3, model.features[0].out_channels, 3, padding=1)
        nn.init.kaiming_uniform_(first.weight)
        nn.init.zeros_(first.bias)
        model.features[0] = first
    return declare(model, Facts(classifier="classifier.1", first="features.0"))
