"""How often each value occurs in a stream of tensors."""

import math

import torch
from torch import Tensor

BINS = 2048
"""Bins on either side of zero."""
_PIECE = 1 << 16
"""Numbers that stay in a processor's cache from one operation to the next."""


def in_memory_order(x: Tensor) -> Tensor:
    """The numbers of a tensor, (n,), as they lie in memory; a view where they lie without gaps."""
    return x.as_strided((x.numel(),), (1,)) if torch.empty_like(x).stride() == x.stride() else x.reshape(-1)


def pieces(flat: Tensor) -> tuple[Tensor, ...]:
    """A flat tensor, cut into what several operations in a row are best given at once."""
    return flat.split(_PIECE * torch.get_num_threads()) if flat.device.type == "cpu" else (flat,)


class Histogram:
    """Counts of values between -reach and reach, where the reach is the least power of two that holds them all.

    When the reach doubles, bins merge in pairs, so the counts are exact and do not depend on how the stream was cut
    into batches or ordered. It reads from the device at every tensor: for calibration, not for a forward pass.
    """

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.counts: Tensor | None = None
        """int64 (2 * BINS,)"""
        self._exponent: int | None = None

    def add(self, x: Tensor) -> None:
        """Count the values of a tensor.

        Raises:
            ValueError: a value is not finite.
        """
        flat = in_memory_order(x.detach())
        low, high = torch.stack(torch.aminmax(flat)).tolist()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("calibration met a value that is not finite")
        self.low, self.high = min(self.low, low), max(self.high, high)
        greatest = max(-low, high)
        self._reach(math.frexp(greatest)[1] if greatest else None, x.device)
        if self._exponent is None:
            self.counts[BINS] += x.numel()
            return
        for piece in pieces(flat):
            places = (piece.float() * (BINS / 2.0**self._exponent)).floor_().int().add_(BINS)
            self.counts += torch.bincount(places, minlength=2 * BINS)

    @property
    def centres(self) -> Tensor:
        """Middle of each bin, float32 (2 * BINS,)."""
        width = 2.0 ** (self._exponent or 0) / BINS
        return (torch.arange(-BINS, BINS, device=self.counts.device) + 0.5) * width

    def _reach(self, exponent: int | None, device: torch.device) -> None:
        if self.counts is None:
            self.counts = torch.zeros(2 * BINS, dtype=torch.int64, device=device)
        if exponent is None:
            return
        if self._exponent is None:
            self._exponent = exponent
        while self._exponent < exponent:
            merged = self.counts.view(BINS, 2).sum(1)
            self.counts = torch.nn.functional.pad(merged, (BINS // 2, BINS // 2))
            self._exponent += 1
