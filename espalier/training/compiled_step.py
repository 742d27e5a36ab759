"""Whether the steps of a training are compiled, and how."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from espalier.metrics.cost import training_macs
from espalier.settings.sections import Training

log = logging.getLogger("espalier")


@dataclass(frozen=True)
class Measured:
    """What compiling was worth on a kind of device."""

    macs_per_s: float
    """multiply-accumulates a second of a step that is not compiled"""
    gain: float
    """its time ÷ that of a compiled one"""
    compile_s: float
    """what compiling takes"""

    def saved_s(self, macs: float) -> float:
        """Seconds that compiled steps of so many multiply-accumulates take less."""
        return macs / self.macs_per_s * (1 - 1 / self.gain)


MEASURED = {"cpu": Measured(macs_per_s=37e9, gain=1.09, compile_s=56.0)}
"""Device → the figures of ResNet-20 on a busy machine; on a quieter one `benchmarks/compiling.py` gave 34e9, 1.12 and
33, so that these compile rather too seldom. They are constants, since a decision by the clock would give two runs of
the same settings other bits. `auto` compiles on no device that has not been measured."""


def wanted(model: nn.Module, train: Training, images: int, image_size: int, where: torch.device) -> bool:
    """Whether to compile the steps: as told, or by `auto` where it saves more time than it takes.

    Args:
        images: of the training split
        image_size: their side in pixels
    """
    if train.compile != "auto":
        return train.compile
    known = MEASURED.get(where.type)
    if known is None or train.processes > 1:
        return False
    if where.type == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        return False
    saved = known.saved_s(training_macs(model, image_size) * images * train.epochs)
    log.info("compiled steps would save %.0f s, compiling takes %.0f s", saved, known.compile_s)
    return saved > known.compile_s


def compiled(model: nn.Module) -> Callable:
    """The forward pass of batches of one shape, compiled with its backward pass at the first of them."""
    return torch.compile(model, dynamic=False)
