"""What a network scores on a split."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from espalier.site import device


@torch.inference_mode()
def score(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    each: Callable[[Tensor, Tensor], object] | None = None,
    *,
    classes: int | None = None,
    total: Callable[[Tensor], Tensor] = lambda part: part,
) -> dict[str, float]:
    """Top-1 and top-5 in percent and mean cross-entropy in nats, over (inputs, labels); one read from the device.

    Where the number of classes is given, also balanced top-1: the mean of the classes' own top-1, of classes that have
    images, in percent.

    With fewer than five classes top-5 is 100. The model is left in evaluation mode.

    Args:
        each: is called with every batch's logits, float32 (b, classes), and predicted classes, int64 (b,)
        total: adds up the sums of processes that score a part of the batches each
    """
    model.eval()
    images = 0
    where = next((one.device for one in model.parameters()), torch.device("cpu"))
    sums = torch.zeros(4 + 2 * (classes or 0), dtype=device.exact(where), device=where)
    numbers = torch.arange(classes or 0, device=where)
    for inputs, labels in batches:
        outputs = model(inputs).float()
        likeliest = outputs.topk(min(5, outputs.shape[1])).indices
        hits = likeliest == labels[:, None]
        loss = functional.cross_entropy(outputs, labels, reduction="sum")
        sums[:3] += torch.stack((loss, hits[:, 0].sum(), hits.sum())).to(sums)
        if classes:
            own = labels[:, None] == numbers
            sums[4:] += torch.cat((own.sum(0), (own & hits[:, :1]).sum(0))).to(sums)
        images += len(labels)
        if each is not None:
            each(outputs, likeliest[:, 0])
    sums[3] = images
    sums = total(sums)
    loss, top1, top5, _, *by_class = (sums / sums[3]).tolist()
    found = {"loss": loss, "top1": 100 * top1, "top5": 100 * top5}
    if classes:
        shares = [right / own for own, right in zip(by_class[:classes], by_class[classes:], strict=True) if own]
        found["balanced_top1"] = 100 * sum(shares) / len(shares)
    return found
