from torch import Tensor, nn

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register


class LeNet(nn.Module):
    def __init__(self, num_classes: int, image_size: int) -> None:
        super().__init__()
        side = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.hidden = nn.Sequential(nn.Linear(16 * side * side, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU())
        self.classifier = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.features(x).flatten(1)))


@register("model", smallest=16)
def lenet(num_classes: int, image_size: int) -> LeNet:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max-pooling, on colour images of 16x16 and more."""
    refuse("lenet", image_size)
    return declare(LeNet(num_classes, image_size), Facts(classifier="classifier", first="features.0"))
