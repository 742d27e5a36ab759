import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad, relu

from espalier.models.facts import Facts, declare
from espalier.models.rules import refuse
from espalier.settings.registry import register
from espalier.settings.types import Count


class ThriftyNet(nn.Module):
    def __init__(self, num_classes: int, filters: int, steps: int, history: int, pool_every: int) -> None:
        super().__init__()
        self.filters, self.history, self.pool_every = filters, history, pool_every
        self.conv = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(steps))
        # Weight of the convolution at each step, then of the map that it saw and of those before.
        self.mix = nn.Parameter(torch.zeros(steps, 1 + history))
        self.classifier = nn.Linear(filters, num_classes)
        with torch.no_grad():
            self.mix[:, 0], self.mix[:, 1] = 0.1, 0.9
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        # Newest first; the pixels stand in the first channels.
        maps = [pad(x, (0, 0, 0, 0, 0, self.filters - x.shape[1]))]
        for step, (norm, mix) in enumerate(zip(self.norms, self.mix, strict=True), start=1):
            out = mix[0] * relu(self.conv(maps[0]))
            for weight, earlier in zip(mix[1:], maps, strict=False):
                out = out + weight * earlier
            maps = [norm(out), *maps[: self.history - 1]]
            if step % self.pool_every == 0 and step < len(self.norms):
                maps = [max_pool2d(one, 2) for one in maps]
        return self.classifier(maps[0].amax((2, 3)))


@register(
    "model",
    smallest="2 ** ((steps - 1) // pool_every)",
    requires={"filters >= in_channels": "{filters} filters cannot hold the {in_channels} channels of an image"},
    depths={"steps": (7, 11, 15, 19)},
    novelty=("one convolution used again", "global pooling"),
)
def thriftynet(
    num_classes: int,
    image_size: int,
    in_channels: int = 3,
    *,
    filters: Count = 64,
    steps: Count = 15,
    history: Count = 5,
    pool_every: Count = 4,
) -> ThriftyNet:
    """ThriftyNet (Coiffier et al. 2020, arXiv 2007.10106): one 3x3 convolution applied again and again.

    Every step has its own normalization and its own weights of the convolution and of the latest maps. The first steps
    have fewer maps than weights: 10 of the 39,524 parameters of the defaults at 10 classes never learn.

    Args:
        filters: channels of the convolution, at least those of an image
        steps: how often the convolution is applied
        history: how many of the latest maps a step mixes in
        pool_every: steps between 2x2 max-poolings
    """
    refuse("thriftynet", image_size, in_channels, filters=filters, steps=steps, pool_every=pool_every)
    model = ThriftyNet(num_classes, filters, steps, history, pool_every)
    # The convolution reads what it writes.
    return declare(model, Facts(classifier="classifier", first="conv", unprunable=("conv",)))
