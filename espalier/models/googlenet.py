from torch import Tensor, nn
from torch.nn.functional import relu
from torchvision.models import GoogLeNet
from torchvision.models.googlenet import Inception, InceptionAux

from espalier.models.facts import Facts, declare
from espalier.settings.registry import register
from espalier.settings.types import Fraction


class BiasedConv(nn.Module):
    """Convolution with bias, normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


class TwiceInception(Inception):
    """Inception block whose 5x5 convolution is two of 3x3."""

    def __init__(
        self,
        inputs: int,
        ones: int,
        threes_in: int,
        threes: int,
        fives_in: int,
        fives: int,
        pooled: int,
    ) -> None:
        super().__init__(inputs, ones, threes_in, threes, fives_in, fives, pooled, conv_block=BiasedConv)
        self.branch3.append(BiasedConv(fives, fives, 3, padding=1))


@register(
    "model",
    novelty=("parallel branches", "1x1 bottlenecks", "global pooling"),
)
def googlenet(num_classes: int, image_size: int, in_channels: int = 3, *, dropout: Fraction = 0.0) -> nn.Module:
    """GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842) with batch normalization, for small images.

    One 3x3 stem convolution, no auxiliary classifiers; every convolution has a bias beside its normalization. Takes
    images of any size.

    Args:
        dropout: probability that a feature is dropped before the classifier, 0.4 in the paper
    """
    blocks = [BiasedConv, TwiceInception, InceptionAux]
    model = GoogLeNet(num_classes, aux_logits=False, init_weights=False, blocks=blocks, dropout=dropout)
    # 7x7 stride 2, pooling, 1x1, 3x3, pooling → one 3x3 to 192 channels: 32×32 input
    model.conv1 = BiasedConv(in_channels, 192, 3, padding=1)
    model.maxpool1 = model.conv2 = model.conv3 = model.maxpool2 = nn.Identity()
    # padding instead of a window that hangs over the edge: down to 1×1 maps
    model.maxpool3 = nn.MaxPool2d(3, stride=2, padding=1)
    model.maxpool4 = nn.MaxPool2d(3, stride=2, padding=1)
    return declare(model, Facts(classifier="fc", first="conv1.conv"))
