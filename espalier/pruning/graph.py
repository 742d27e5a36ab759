"""Torch-Pruning's view of a network: which layers lose what when a channel goes."""

import copy
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from espalier.errors import Mistake
from espalier.models.facts import facts_of, heads_left

if TYPE_CHECKING:
    from torch_pruning import BasePruner
    from torch_pruning.dependency import DependencyGraph, Group, Node

_MAPPED = "espalier_mapped"
"""Attribute of a concatenation: the widths of its inputs when channels were last mapped through it."""


def torch_pruning() -> ModuleType:
    """Torch-Pruning, imported when it is first wanted, and without what it would count with."""
    with _without("timm"):
        import torch_pruning
    return torch_pruning


@contextmanager
def _without(library: str) -> Iterator[None]:
    """Have what is imported meanwhile find this library missing, unless it is imported already."""
    if library in sys.modules:
        yield
        return
    # None in sys.modules makes an import of this name fail.
    sys.modules[library] = None
    try:
        yield
    finally:
        del sys.modules[library]


@contextmanager
def traceable(model: nn.Module) -> Iterator[None]:
    """A context in which a pruner of the network can be made and used; modes and buffers are restored afterwards.

    Torch-Pruning's tracing needs gradients, switches to evaluation mode and does not see buffers. Buffers that flow
    into the features, such as position embeddings, are therefore parameters inside the context.
    """
    modes = {module: module.training for module in model.modules()}
    buffers = [
        (module, name)
        for module in model.modules()
        if not isinstance(module, _BatchNorm)
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.is_floating_point()
    ]
    for module, name in buffers:
        setattr(module, name, nn.Parameter(module._buffers.pop(name)))
    try:
        with warnings.catch_warnings(), torch.enable_grad(), _mapped_when_changed():
            warnings.filterwarnings("ignore", message="Unwrapped parameters detected")
            yield
    finally:
        for module, name in buffers:
            tensor = module._parameters.pop(name).detach()
            module.register_buffer(name, tensor, persistent=name not in module._non_persistent_buffers_set)
        for module, training in modes.items():
            module.training = training


@contextmanager
def _mapped_when_changed() -> Iterator[None]:
    """In which channels are mapped through a concatenation anew only when one of its inputs has lost some.

    The library maps them through all concatenations for every group that it makes: most of its time on a DenseNet.
    """
    mapping = torch_pruning().dependency.index_mapping
    update = mapping.update_concat_index_mapping

    def update_changed(graph: "DependencyGraph", node: "Node") -> None:
        widths = node.module.concat_sizes
        if widths is None or getattr(node, _MAPPED, None) != widths:
            update(graph, node)
            # Pruning changes the list itself.
            setattr(node, _MAPPED, copy.copy(node.module.concat_sizes))

    mapping.update_concat_index_mapping = update_changed
    try:
        yield
    finally:
        mapping.update_concat_index_mapping = update


def pruner(
    model: nn.Module,
    image_size: int,
    importance: "Callable[[Group], Tensor]",
    ratio: float,
    *,
    channels: int = 3,
    kept: Collection[str] = (),
    **options: object,
) -> "BasePruner":
    """A pruner that keeps what the network's facts say is to be kept; used within `traceable`.

    Args:
        kept: paths of further layers whose outputs stay
        options: further ones of torch_pruning.BasePruner
    """
    tp = torch_pruning()
    facts = facts_of(model)
    image = torch.zeros(1, channels, image_size, image_size).to(next(model.parameters()))
    made = tp.pruner.BasePruner(
        model,
        image,
        importance,
        pruning_ratio=ratio,
        ignored_layers=[model.get_submodule(path) for path in (facts.classifier, *facts.unprunable, *kept)],
        num_heads={model.get_submodule(path): heads for path, heads in heads_left(model).items()},
        customized_pruners=_customized(),
        # Its defaults are dictionaries that it fills, so that one pruner would see the layers of another.
        in_channel_groups={},
        out_channel_groups={},
        channel_groups={},
        **options,
    )
    graph = made.DG
    # Among coupled layers the narrowest must come first. Where its maps are concatenated into a wider layer's, starting
    # from the wider one would remove both copies of a channel for each, and so up to twice the ratio.
    graph.module2node = dict(sorted(graph.module2node.items(), key=lambda pair: _width(pair[0])))
    unchecked = graph.check_pruning_group

    def check(group: "Group") -> bool:
        if not unchecked(group):
            path = graph._module2name[group[0].dep.target.module]
            raise Mistake(
                f"{type(model).__name__}: pruning would leave nothing of {path}, or of a layer coupled to it; "
                "give a lower ratio, a smaller round_to, or the scope local"
            )
        return True

    graph.check_pruning_group = check
    return made


def _width(module: object) -> int:
    return module.weight.shape[0] if isinstance(module, nn.Conv2d | nn.Linear) else 0


def _customized() -> dict:
    from espalier.models.cct import SeqPool

    tp = torch_pruning()

    class SeqPoolPruner(tp.pruner.BasePruningFunc):
        """Tokens keep their channels through the pooling; its linear layer reads them and has one output."""

        def prune_out_channels(self, layer: SeqPool, idxs: list[int]) -> nn.Module:
            tp.prune_linear_in_channels(layer.attention, idxs)
            return layer

        prune_in_channels = prune_out_channels

        def get_out_channels(self, layer: SeqPool) -> int:
            return layer.attention.in_features

        get_in_channels = get_out_channels

    return {SeqPool: SeqPoolPruner()}
