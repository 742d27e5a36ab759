from itertools import pairwise

from torch import Tensor, nn

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Counts


class LeNet(nn.Module):
    def __init__(
        self, num_classes: int, image_size: int, in_channels: int, filters: tuple[int, int], hidden: tuple[int, ...]
    ) -> None:
        super().__init__()
        side = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            *(
                layer
                for pair in pairwise((in_channels, *filters))
                for layer in (nn.Conv2d(*pair, 5), nn.ReLU(), nn.MaxPool2d(2))
            )
        )
        widths = (filters[-1] * side * side, *hidden)
        self.hidden = nn.Sequential(*(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())))
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.features(x).flatten(1)))


@register(
    "model",
    smallest=16,
    requires={"len(filters) == 2": "filters are those of two convolutions, not {filters}"},
    presets={"lenet5_caffe": {"filters": (20, 50), "hidden": (500,)}},
)
def lenet(
    num_classes: int, image_size: int, in_channels: int = 3, *, filters: Counts = (6, 16), hidden: Counts = (120, 84)
) -> LeNet:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling, on images of 16x16 and more.

    Every filter of the second convolution reads all maps: 61,706 parameters on gray images of 32x32 with 10 classes.
    Caffe's LeNet-5, of 431,080 on the 28x28 of MNIST, has filters [20, 50] and hidden [500]; there only the hidden
    layer has a ReLU.

    Args:
        filters: filters of the first and of the second convolution, 5x5 both
        hidden: width of each hidden layer
    """
    refuse("lenet", image_size, filters=filters)
    model = LeNet(num_classes, image_size, in_channels, filters, hidden)
    return declare(model, Facts(classifier="classifier", first="features.0"))
