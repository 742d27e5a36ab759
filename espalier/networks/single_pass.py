"""What `cost` and `memory` measure of a network in several forward passes, in one: for hundreds of networks."""

from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from espalier.metrics.cost import weighted
from espalier.metrics.layer_inputs import FusedAttention


@dataclass(frozen=True)
class Counts:
    """Of one image; what `cost.macs`, `cost.training_macs`, `memory.input_bytes` and `memory.saved_bytes` say."""

    macs: int
    training_macs: int
    input_bytes: int
    saved_bytes: int


def _attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


_FUSED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


@torch.enable_grad()
def counts(model: nn.Module, image_size: int, channels: int = 3) -> Counts:
    """Count a network that is on the meta device and made for this alone: it is left in another mode."""
    first = read = 0
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    storages: dict[int, torch.UntypedStorage] = {}

    def see(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal first, read
        read += inputs[0].numel() * inputs[0].element_size()
        if not inputs[0].requires_grad:
            first += output.numel() * layer.weight[0].numel()

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # One number a channel is the model's too, be it in another form.
        if tensor.dim() > 1 and storage._cdata not in own:
            storages[storage._cdata] = storage
        return tensor

    model.train()
    for module in model.modules():
        # In evaluation mode BatchNorm keeps as much of an image for the backward pass, and no batch statistics besides.
        if isinstance(module, _BatchNorm):
            module.eval()
    with ExitStack() as stack:
        for layer in weighted(model).values():
            stack.callback(layer.register_forward_hook(see).remove)
        counter = stack.enter_context(FlopCounterMode(display=False, custom_mapping=_FUSED))
        stack.enter_context(FusedAttention())
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor))
        model(torch.zeros(1, channels, image_size, image_size, device="meta"))
    macs = counter.get_total_flops() // 2
    return Counts(macs, 3 * macs - first, read, sum(storage.nbytes() for storage in storages.values()))
