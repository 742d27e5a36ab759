"""A bound on the memory of a network that is built as a file says, which nobody vouches for."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from espalier.errors import Damaged

_MAKES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.tensor}


class Bounded(TorchFunctionMode):
    """Counts the bytes of new tensors, before anything is written into them.

    Args:
        limit: bytes of all of them together

    Raises:
        Damaged: they take more.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit, self._bytes = limit, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _MAKES and isinstance(result, Tensor):
            self._bytes += result.nbytes
            if self._bytes > self._limit:
                raise Damaged(f"its network would take more than {self._limit} bytes, the limit here")
        return result
