from itertools import pairwise

from torch import Tensor, nn

from espalier.models.facts import Facts, declare
from espalier.settings.registry import register
from espalier.settings.types import Counts, Fraction


class MLP(nn.Module):
    def __init__(self, num_classes: int, image_size: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        widths = (3 * image_size**2, *hidden)
        self.hidden = nn.Sequential(
            *(layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU(), nn.Dropout(dropout)))
        )
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(x.flatten(1)))


@register("model", depths={"hidden": ((64,), (64, 64), (64, 64, 64), (64, 64, 64, 64))})
def mlp(num_classes: int, image_size: int, *, hidden: Counts = (64,), dropout: Fraction = 0.0) -> MLP:
    """Multi-layer perceptron with ReLU on the pixels of an image of any size.

    Args:
        hidden: width of each hidden layer
        dropout: probability that a hidden feature is dropped
    """
    model = MLP(num_classes, image_size, hidden, dropout)
    return declare(model, Facts(classifier="classifier", first="hidden.0" if hidden else "classifier"))
