from torch import nn
from torchvision.models import SqueezeNet

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.models.stem import of_channels
from espalier.settings.registry import register
from espalier.settings.types import Count, Fraction, Literal, Natural


def _widen(model: SqueezeNet, channels: int) -> None:
    """Another number of channels out of the first convolution, new weights for it and for the layer that reads them."""
    first, fire = model.features[0], model.features[3]
    model.features[0] = nn.Conv2d(first.in_channels, channels, first.kernel_size, first.stride)
    fire.squeeze = nn.Conv2d(channels, fire.squeeze.out_channels, 1)
    for layer in (model.features[0], fire.squeeze):
        nn.init.kaiming_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


# In smaller images the last max-pooling finds no window.
@register(
    "model",
    smallest="8 * window if stem == 'small' else 16 * window + (5 if version == '1.0' else 1)",
    standard="alexnet",
    presets={
        "squeezenet1_0": {"version": "1.0", "stem": "imagenet"},
        "squeezenet1_1": {"version": "1.1", "stem": "imagenet"},
        "squeezenet1_0_cifar": {"version": "1.0", "stem": "small"},
        "squeezenet1_1_cifar": {"version": "1.1", "stem": "small"},
    },
    pretrained={
        "torchvision/SqueezeNet1_0_Weights.IMAGENET1K_V1": "version == '1.0' and stem_channels == 0",
        "torchvision/SqueezeNet1_1_Weights.IMAGENET1K_V1": "version == '1.1' and stem_channels == 0",
    },
    novelty=("Fire modules", "1x1 bottlenecks", "no fully connected layer", "global pooling"),
)
def squeezenet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    version: Literal["1.0", "1.1"] = "1.0",
    stem: Literal["small", "imagenet"] = "small",
    dropout: Fraction = 0.5,
    window: Count = 1,
    stem_channels: Natural = 0,
) -> nn.Module:
    """SqueezeNet (Iandola et al. 2016, arXiv 1602.07360); version 1.1 pools earlier and costs less.

    The classifier is a 1x1 convolution, whose maps are averaged after a ReLU: logits are never negative.

    Args:
        version: 1.0 is the paper's network, 1.1 its authors' later one
        stem: small is a 3x3 convolution of stride 1; imagenet is the original, 7x7 (1.0) or 3x3 (1.1) of stride 2
            without padding, for images of 21x21 (1.0) or 17x17 (1.1) and more
        dropout: probability that a value is dropped before the classifier
        window: side of the windows of one more max-pooling, before the classifier; 1 for none
        stem_channels: channels of the first convolution; 0 for those of the version, 96 (1.0) or 64 (1.1)
    """
    refuse("squeezenet", image_size, version=version, stem=stem, window=window)
    model = SqueezeNet(version.replace(".", "_"), num_classes, dropout)
    if stem_channels:
        _widen(model, stem_channels)
    if window > 1:
        model.features.append(nn.MaxPool2d(window))
    if stem == "small":
        # stride 2 without padding → 3x3 stride 1: 32×32 input
        first = nn.Conv2d(in_channels, model.features[0].out_channels, 3, padding=1)
        nn.init.kaiming_uniform_(first.weight)
        nn.init.zeros_(first.bias)
        model.features[0] = first
    model.features[0] = of_channels(model.features[0], in_channels, nn.init.kaiming_uniform_)
    return declare(model, Facts(classifier="classifier.1", first="features.0"))
