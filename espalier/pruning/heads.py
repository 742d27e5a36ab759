"""Attention heads: how many a network has left, and whole ones removed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from espalier.errors import Mistake
from espalier.models.facts import around, heads_left, prunable
from espalier.pruning.graph import pruner

if TYPE_CHECKING:
    from torch_pruning.dependency import Group


def remove(
    model: nn.Module, image_size: int, ratio: float, score: "Callable[[Group], Tensor | None]", *, channels: int = 3
) -> None:
    """Remove whole heads in place, so that each attention keeps int(n · (1 - ratio)) of its n; used in `traceable`.

    A head's score is the mean of its dimensions' (Torch-Pruning, `prune_num_heads`). Heads that stay keep their
    dimensions. The module around the projection of queries, keys and values has its attribute `num_heads` lowered.

    Raises:
        Mistake: there are no heads, none of an attention's would be left, or they cannot be removed so.
    """
    name = type(model).__name__
    layers = prunable(model)
    heads = {path: count for path, count in heads_left(model).items() if path in layers}
    if not heads:
        raise Mistake(f"{name}: it has no attention heads for head_ratio {ratio} to remove; leave head_ratio out")
    going = {path: count - int(count * (1 - ratio)) for path, count in heads.items()}
    for path, count in heads.items():
        if going[path] == count:
            raise Mistake(f"{name}: head_ratio {ratio} would leave none of {path}'s {count} heads; give a lower one")
        if not hasattr(model.get_submodule(around(path)), "num_heads"):
            raise Mistake(
                f"{name}: heads cannot be removed from {path}; give the module around it an attribute num_heads, "
                "which its forward pass reads, or leave head_ratio out"
            )
    made = pruner(
        model,
        image_size,
        score,
        ratio,
        channels=channels,
        kept=layers.keys() - heads.keys(),
        prune_num_heads=True,
        prune_head_dims=False,
        # The library rounds ratio · n up; half a head less makes it the wanted number, whatever the rounding of floats.
        head_pruning_ratio_dict={
            model.get_submodule(path): (going[path] - 0.5) / count for path, count in heads.items()
        },
    )
    made.step()
    for path, count in heads.items():
        left = made.num_heads[model.get_submodule(path)]
        if left == count:
            raise Mistake(f"{name}: this importance ranks no heads of {path}; choose another, or leave head_ratio out")
        model.get_submodule(around(path)).num_heads = left
