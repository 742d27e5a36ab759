"""All settings of a grid of widths, scored on the validation split in one process, from wherever it was left."""

import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

from torch import nn

from espalier.data.resident import Resident
from espalier.errors import Interrupted
from espalier.metrics.accuracy import score
from espalier.quantization.batchnorm import statistics
from espalier.quantization.calibration_images import calibration_batches
from espalier.quantization.cells import Cell, Cells
from espalier.quantization.price import find_price
from espalier.quantization.qparams import FULL
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

    def __init__(
        self,
        settings: Settings,
        checkpoints: Checkpoints,
        every_s: float,
        coded_bytes: Callable[[nn.Module, Quantization], int],
    ) -> None:
        self.settings, self.cells = settings, Cells()
        self.rows: list[dict[str, Any]] = []
        self.prices: dict[int, float | None] = {}
        """width of weights → price of a bit, where the scheme has one"""
        self.resumed = 0
        self._checkpoints, self._every_s, self._coded_bytes = checkpoints, every_s, coded_bytes
        self._saved = time.monotonic()
        self._measured: dict[int, dict[float, float]] = {}

    def resume(self, saved: dict[str, Any]) -> None:
        """Go on from what was saved."""
        self.rows, self.cells, self.resumed = saved["rows"], Cells.load(saved["cells"]), saved["resumed"] + 1
        self.prices, self._measured = saved["prices"], saved["measured"]

    def run(
        self, model: nn.Module, data: Resident, seed: int, interruption: Interruption, heartbeat: Heartbeat
    ) -> None:
        """Score every setting that is not scored yet; the network is left as it was.

        Raises:
            Interrupted: the run was asked to stop; the settings done are saved.
        """
        widths = list(itertools.product(self.settings.weight_bits, self.settings.activation_bits))
        quantizer, sizes = self._quantizer(model, data, seed), Sizes(model, data.image_size, data.channels)
        heartbeat.beat(now=True, epoch=len(self.rows), epochs=len(widths))
        self._saved = time.monotonic()
        try:
            for weight_bits, activation_bits in widths[len(self.rows) :]:
                if weight_bits not in self.prices:
                    self._solve(quantizer, weight_bits, data, interruption, heartbeat)
                quantizer.set(weight_bits, activation_bits, self.prices[weight_bits])
                self._add(model, quantizer, sizes, data, weight_bits, activation_bits)
                heartbeat.beat(epoch=len(self.rows), top1=self.rows[-1]["validation_top1"])
                self._pause(interruption, f"{len(self.rows)} of {len(widths)} settings")
        finally:
            quantizer.close()

    def price(
        self, model: nn.Module, data: Resident, seed: int, interruption: Interruption, heartbeat: Heartbeat
    ) -> float | None:
        """The price of a bit at the kept widths, searched for where the scheme asks for it; None where there is none.

        The network is left as it was.

        Raises:
            Interrupted: the run was asked to stop.
            Mistake: no price meets what is asked for.
        """
        weight_bits = self.settings.kept().weight_bits
        scheme = self.settings.scheme.build()
        if weight_bits == FULL or not scheme.searches:
            self.prices[weight_bits] = None if weight_bits == FULL else scheme.price
        if weight_bits not in self.prices:
            quantizer = self._quantizer(model, data, seed)
            self._saved = time.monotonic()
            try:
                self._solve(quantizer, weight_bits, data, interruption, heartbeat)
            finally:
                quantizer.close()
            self._checkpoints.save(self.state_dict())
        return self.prices[weight_bits]

    def state_dict(self) -> dict[str, Any]:
        """What `resume` needs."""
        found = {"rows": self.rows, "cells": self.cells.state_dict(), "resumed": self.resumed}
        return found | {"prices": self.prices, "measured": self._measured}

    def _quantizer(self, model: nn.Module, data: Resident, seed: int) -> Quantizer:
        scheme = self.settings.scheme.build()
        images = self.settings.calibration_images if scheme.calibrates else 0
        return Quantizer(model, scheme, calibration_batches(data, images, seed) if images else [])

    def _solve(
        self, quantizer: Quantizer, weight_bits: int, data: Resident, interruption: Interruption, heartbeat: Heartbeat
    ) -> None:
        def after() -> None:
            heartbeat.beat()
            self._pause(interruption, "some of the prices of a bit")

        self.prices[weight_bits] = (
            None
            if weight_bits == FULL
            else find_price(
                quantizer,
                weight_bits,
                self.settings.kept().activation_bits,
                top1=lambda: score(quantizer.model, data.batches("validation", EVALUATION_BATCH))["top1"],
                coded_bytes=lambda made: self._coded_bytes(quantizer.model, made),
                measured=self._measured.setdefault(weight_bits, {}),
                after=after,
            )
        )

    def _pause(self, interruption: Interruption, done: str) -> None:
        """Save what is done where it is time to, and stop where that is asked for."""
        reason = interruption.reason()
        if reason or time.monotonic() - self._saved >= self._every_s:
            self._checkpoints.save(self.state_dict())
            self._saved = time.monotonic()
        if reason:
            raise Interrupted(f"{reason}: stopped after {done}")

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
        made = quantizer.quantization()
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
