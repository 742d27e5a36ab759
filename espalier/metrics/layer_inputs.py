"""The activations of a network, in bytes of one image in fp32."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from espalier.metrics.cost import shapes_only, weighted


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return attend(query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale)[0]


class FusedAttention(TorchFunctionMode):
    """Attention keeps its inputs, its output and one number a query, as the fused kernels do, not the weights.

    Torch's MultiheadAttention is not reached, and counts with its weights.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return (_fused if func is scaled_dot_product_attention else func)(*args, **(kwargs or {}))


@torch.no_grad()
def input_elements(model: nn.Module, image_size: int, channels: int = 3) -> dict[str, int]:
    """Path of each convolution and linear layer → numbers that it reads of one image, over all its calls."""
    model = shapes_only(model).eval()
    found: dict[str, int] = {}

    def look(path: str) -> Callable:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            found[path] = found.get(path, 0) + inputs[0].numel()

        return add

    for path, layer in weighted(model).items():
        layer.register_forward_pre_hook(look(path))
    model(torch.zeros(1, channels, image_size, image_size, device="meta"))
    return found


def input_bytes(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Inputs of all convolutions and linear layers, which is what quantization of activations rounds.

    Each layer's input counts, also where two layers read the same.
    """
    return 4 * sum(input_elements(model, image_size, channels).values())


def saved_bytes(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """What training keeps of an image between its forward and its backward pass, each storage once.

    The difference between a batch of three and one of two, so that parameters and batch statistics drop out.
    """
    model = shapes_only(model).train()
    return _saved(model, 3, image_size, channels) - _saved(model, 2, image_size, channels)


@torch.enable_grad()
def _saved(model: nn.Module, images: int, image_size: int, channels: int) -> int:
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage
        return tensor

    batch = torch.zeros(images, channels, image_size, image_size, device="meta")
    with FusedAttention(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(batch)
    return sum(storage.nbytes() for storage in storages.values())
