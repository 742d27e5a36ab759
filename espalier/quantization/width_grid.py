"""All settings of a grid of widths, scored on the validation split in one process, from wherever it was left."""

import itertools
import logging
import time
from typing import Any

from torch import nn

from espalier.data.resident import Resident
from espalier.errors import Interrupted
from espalier.metrics.accuracy import score
from espalier.quantization.batchnorm import statistics
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.cells import Cell, Cells
from espalier.quantization.quantized import Quantization
from espalier.quantization.quantizer import Quantizer
from espalier.quantization.sizes import Sizes
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.interruption import Interruption
from espalier.runs.progress import Heartbeat
from espalier.settings.sections import Quantization as Settings

EVALUATION_BATCH = 256
"""Images of a batch that is scored; a scheme with dynamic activations depends on it."""

log = logging.getLogger("espalier")


class BitGrid:
    """A grid under way: rows of grid.csv, and what each setting made of the network."""

    def __init__(self, settings: Settings, checkpoints: Checkpoints, every_s: float) -> None:
        self.settings, self.cells = settings, Cells()
        self.rows: list[dict[str, Any]] = []
        self.resumed = 0
        self._checkpoints, self._every_s = checkpoints, every_s

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on from what was saved."""
        self.rows, self.cells, self.resumed = saved["rows"], Cells.load(saved["cells"]), saved["resumed"] + 1

    def run(
        self, model: nn.Module, data: Resident, seed: int, interruption: Interruption, heartbeat: Heartbeat
    ) -> None:
        """Score every setting that is not scored yet; the network is left as it was.

        Raises:
            Interrupted: the run was asked to stop; the settings done are saved.
        """
        scheme = self.settings.scheme.build()
        images = self.settings.calibration_images if scheme.calibrates else 0
        batches = calibration_batches(data, images, seed) if images else []
        widths = list(itertools.product(self.settings.weight_bits, self.settings.activation_bits))
        quantizer, sizes = Quantizer(model, scheme, batches), Sizes(model, data.image_size, data.channels)
        heartbeat.beat(now=True, epoch=len(self.rows), epochs=len(widths))
        saved = time.monotonic()
        try:
            for weight_bits, activation_bits in widths[len(self.rows) :]:
                quantizer.set(weight_bits, activation_bits)
                self._add(model, quantizer, sizes, data, weight_bits, activation_bits)
                heartbeat.beat(epoch=len(self.rows), top1=self.rows[-1]["validation_top1"])
                reason = interruption.reason()
                if reason or time.monotonic() - saved >= self._every_s:
                    self._checkpoints.save(self.state_dict())
                    saved = time.monotonic()
                if reason:
                    raise Interrupted(f"{reason}: stopped after {len(self.rows)} of {len(widths)} settings")
        finally:
            quantizer.close()

    def state_dict(self) -> dict[str, Any]:
        """What `resume` needs."""
        return {"rows": self.rows, "cells": self.cells.state_dict(), "resumed": self.resumed}

    def _add(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        sizes: Sizes,
        data: Resident,
        weight_bits: int,
        activation_bits: int,
    ) -> None:
        found = score(model, data.batches("validation", EVALUATION_BATCH))
        made = Quantization(dict(quantizer.weights), dict(quantizer.activations), dict(quantizer.dynamic))
        self.cells.add(Cell(weight_bits, activation_bits, made, statistics(model)))
        kept = self.settings.kept()
        self.rows.append(
            {
                "weight_bits": weight_bits,
                "activation_bits": activation_bits,
                "kept": int((weight_bits, activation_bits) == (kept.weight_bits, kept.activation_bits)),
                **sizes.row(made),
                **{f"validation_{name}": value for name, value in found.items()},
            }
        )
        log.info(
            "%d-bit weights, %d-bit activations: validation top-1 %.2f %%",
            *(weight_bits, activation_bits, found["top1"]),
        )
