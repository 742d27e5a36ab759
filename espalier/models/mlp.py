from itertools import pairwise

from torch import Tensor, nn

from espalier.models.facts import Facts, declare
from espalier.settings.registry import register
from espalier.settings.types import Counts, Fraction


class MLP(nn.Module):
    def __init__(self, num_classes: int, inputs: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.hidden = nn.Sequential(
            *(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU(), nn.Dropout(dropout)))
        )
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(x.flatten(1)))


@register(
    "model",
    depths={"hidden": ((64,), (64, 64), (64, 64, 64), (64, 64, 64, 64))},
    presets={"lenet_300_100": {"hidden": (300, 100)}},
)
def mlp(
    num_classes: int, image_size: int, in_channels: int = 3, *, hidden: Counts = (64,), dropout: Fraction = 0.0
) -> MLP:
    """Multi-layer perceptron with ReLU on the pixels of an image of any size.

    With hidden layers of 300 and 100 it is LeNet-300-100 (LeCun et al. 1998), 266,610 parameters on MNIST.

    Args:
        hidden: width of each hidden layer
        dropout: probability that a hidden feature is dropped
    """
    model = MLP(num_classes, in_channels * image_size**2, hidden, dropout)
    return declare(model, Facts(classifier="classifier", first="hidden.0" if hidden else "classifier"))
