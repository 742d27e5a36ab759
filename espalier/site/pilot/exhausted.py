"""A run that a GPU's memory did not suffice for beside others: noted, so that its next attempt has the GPU alone."""

import os
import sys

from espalier.site.pilot.board import VARIABLE, note

_WORDS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""How libraries below torch say it, in an error of no class of its own."""


def ended(code: int, error: BaseException | None) -> None:
    """Note how a pilot's run has ended: with an exit code, and by `error` where there was one."""
    if VARIABLE not in os.environ:
        return
    if code == 0:
        note().unlink(missing_ok=True)
    elif out_of_memory(error):
        note().touch()


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a GPU's memory is used up."""
    torch = sys.modules.get("torch")
    while torch is not None and error is not None:
        known = isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
        if known or isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False
