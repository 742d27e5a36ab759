"""Every setting of a grid of widths as one file, from which each can be put into the network again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from espalier.errors import ArtifactError, Damaged
from espalier.quantization.batchnorm import Moments, restore
from espalier.quantization.qparams import QParams, Quantized
from espalier.quantization.quantized import Quantization, install, pack, to, unpack
from espalier.runs.checkpoint import read, write
from espalier.runs.record import mend


class Cell(NamedTuple):
    """One setting, and the network at it."""

    weight_bits: int
    activation_bits: int
    quantization: Quantization
    statistics: list[Moments]
    """of batch normalization, in the order of the network"""


class Cells:
    """Settings on the CPU; those of one width of weights share the levels."""

    def __init__(self) -> None:
        self._weights: dict[int, dict[str, Quantized]] = {}
        self._rest: list[tuple[int, int, dict[str, QParams], dict[str, int], list[Moments]]] = []

    def add(self, cell: Cell) -> None:
        found = to(cell.quantization, "cpu")
        self._weights.setdefault(cell.weight_bits, found.weights)
        statistics = [Moments(each.mean.cpu(), each.variance.cpu()) for each in cell.statistics]
        self._rest.append((cell.weight_bits, cell.activation_bits, found.activations, found.dynamic, statistics))

    def __iter__(self) -> Iterator[Cell]:
        for weight_bits, activation_bits, activations, dynamic, statistics in self._rest:
            quantization = Quantization(self._weights[weight_bits], activations, dynamic)
            yield Cell(weight_bits, activation_bits, quantization, statistics)

    def of(self, weight_bits: int, activation_bits: int) -> Cell:
        """The setting of these widths.

        Raises:
            KeyError: there is none.
        """
        for cell in self:
            if (cell.weight_bits, cell.activation_bits) == (weight_bits, activation_bits):
                return cell
        raise KeyError(f"no setting of {weight_bits}-bit weights and {activation_bits}-bit activations")

    def state_dict(self) -> dict[str, Any]:
        """Plain data and tensors."""
        weights = {bits: {path: pack(one) for path, one in each.items()} for bits, each in self._weights.items()}
        rest = [
            [*widths, {path: list(each) for path, each in activations.items()}, dynamic, [list(m) for m in statistics]]
            for *widths, activations, dynamic, statistics in self._rest
        ]
        return {"weights": weights, "cells": rest}

    @classmethod
    def load(cls, state: dict[str, Any]) -> "Cells":
        made = cls()
        made._weights = {
            bits: {path: unpack(one) for path, one in each.items()} for bits, each in state["weights"].items()
        }
        for weight_bits, activation_bits, activations, dynamic, statistics in state["cells"]:
            found = {path: QParams(*each) for path, each in activations.items()}
            made._rest.append((weight_bits, activation_bits, found, dynamic, [Moments(*m) for m in statistics]))
        return made

    def write(self, path: Path) -> None:
        """Write all settings in one rename."""
        write(path, self.state_dict())

    @classmethod
    def read(cls, path: Path) -> "Cells":
        """The settings in a file.

        Raises:
            ArtifactError: the file is missing or damaged.
        """
        try:
            return cls.load(read(path))
        except (Damaged, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path}: {error}. {mend(path.parent)}") from error


@torch.no_grad()
def at(model: nn.Module, cell: Cell) -> nn.Module:
    """Put a float network, in place, to a setting; on a copy, for others to follow.

    Raises:
        ValueError: the setting is another network's.
        KeyError: likewise.
    """
    device = next(model.parameters()).device
    install(model, to(cell.quantization, device))
    restore(model, [Moments(each.mean.to(device), each.variance.to(device)) for each in cell.statistics])
    return model
