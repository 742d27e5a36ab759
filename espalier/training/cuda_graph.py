"""Forward and backward pass of full batches as one CUDA graph: started at once, not kernel by kernel.

The optimizer's step stays outside. Its rate changes from step to step, and it starts few kernels.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from espalier.runs.log import log

if TYPE_CHECKING:
    from espalier.data.resident import Batch

Gradients = Callable[["Batch"], Tensor]
"""What makes the gradients of a batch, on a network that has none, and returns sums over its images, on the device."""
Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Records what a function starts; returns what starts it again, and where the function's result then lies."""


def cuda(once: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a function as a CUDA graph.

    Raises:
        RuntimeError: it waits for the device, or does what else no graph can hold.
    """
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        # Libraries make their workspaces, and autograd its nodes, before anything is recorded.
        for _ in range(2):
            once()
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph):
        sums = once()
    return graph.replay, sums


class Graphed:
    """Gradients by a graph, which the first full batch records, where they have the bits of those made without.

    A batch of another shape is done without. So is every batch where no graph can be made, or where it gives other
    bits; the log says why.

    Args:
        gradients: of a batch
        seed: sets the generators as they were before the batch, for draws of dropout
        capture: records a function
    """

    def __init__(self, gradients: Gradients, model: nn.Module, seed: Callable[[], None], capture: Capture = cuda):
        self._gradients, self._model, self._seed, self._capture = gradients, model, seed, capture
        self._static: Batch | None = None
        self._replay: Callable[[], None] | None = None
        self._refused = False

    def __call__(self, batch: "Batch") -> Tensor:
        """Make the gradients of a batch, and return sums over its images, which the next call overwrites."""
        if self._static is None and not self._refused:
            self._begin(batch)
        if self._replay is None or not self._fits(batch):
            return self._gradients(batch)
        for own, given in self._pairs(batch):
            own.copy_(given)
        self._start()
        return self._sums

    def _begin(self, batch: "Batch") -> None:
        """Record the graph, and compare what it gives with what is given without."""
        tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
        copies = {name: one.clone() for name, one in tensors.items() if isinstance(one, Tensor)}
        self._static = replace(batch, **copies)
        kept = [buffer.clone() for buffer in self._model.buffers()]

        def once() -> Tensor:
            self._model.zero_grad(set_to_none=True)
            return self._gradients(self._static)

        wanted = self._state(once())
        try:
            self._again(kept)
            replay, self._sums = self._capture(once)
            self._made = [(one, one.grad) for one in self._model.parameters()]
            self._again(kept)
            self._replay = replay
            self._start()
            if not all(map(torch.equal, wanted, self._state(self._sums))):
                raise RuntimeError("it gives other bits")
            log.info("full batches are one CUDA graph")
        except (RuntimeError, AssertionError) as error:
            self._replay, self._refused = None, True
            log.info("full batches are not one CUDA graph: %s", str(error).partition("\n")[0])
        self._model.zero_grad(set_to_none=True)
        self._again(kept)

    def _start(self) -> None:
        self._replay()
        # The optimizer may have let go of them, and a batch that was done without has its own.
        for parameter, gradient in self._made:
            parameter.grad = gradient

    def _state(self, sums: Tensor) -> list[Tensor]:
        """Copies of all that a batch makes."""
        gradients = [one.grad for one in self._model.parameters() if one.grad is not None]
        return [one.clone() for one in (sums, *gradients, *self._model.buffers())]

    @torch.no_grad()
    def _again(self, buffers: list[Tensor]) -> None:
        """Everything as it was before the batch."""
        for buffer, value in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(value)
        self._seed()

    def _pairs(self, batch: "Batch") -> list[tuple[Tensor, Tensor]]:
        both = [(getattr(self._static, field.name), getattr(batch, field.name)) for field in fields(batch)]
        return [(own, given) for own, given in both if isinstance(own, Tensor)]

    def _fits(self, batch: "Batch") -> bool:
        """Whether a batch has the parts and shapes of the one that was recorded."""
        own = self._static
        mixed = (batch.partner_labels is None) == (own.partner_labels is None)
        return (
            mixed and batch.global_size == self._static.global_size and batch.inputs.shape == self._static.inputs.shape
        )


def refusal(device: torch.device, processes: int, compiled: bool, scaled: bool) -> str:
    """Why batches are not done by a graph; empty where they may be."""
    if device.type != "cuda":
        return "there is no CUDA GPU"
    if processes > 1:
        return "several processes add up their gradients while they are made"
    if compiled:
        return "its steps are compiled"
    return "gradients of fp16 are scaled by what the device has found" if scaled else ""
