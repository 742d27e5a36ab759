"""An accuracy's place and colour where some settings are nearly right and others fail altogether."""

from collections.abc import Iterable
from math import log

_FACTOR = 5.0
"""Errors further apart than this are shown on a logarithmic scale."""
_LEAST = 0.1
"""Percent; smaller errors are shown as this."""
_TICKS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 98.5, 99, 99.5, 99.9)
_PALE = 0.86
"""Part of the colour map that stands out from white paper;"""
_DIM = 0.3
"""the part from here on stands out from dark paper."""
_CLOSEST = 0.08


class ErrorScale:
    """Top-1 in percent → 0 (the worst) to 1 (the best): linear, or by the logarithm of the error."""

    def __init__(self, values: Iterable[float]) -> None:
        found = sorted(values)
        errors = [max(_LEAST, 100 - value) for value in found]
        self.logarithmic = errors[0] > _FACTOR * errors[-1]
        self._low = self._bent(found[0])
        self._range = self._bent(found[-1]) - self._low
        self.ticks: list[float] = []
        inside = _TICKS if self.logarithmic else self._even(found[0], found[-1])
        for value in inside:
            near = self.ticks and self(value) - self(self.ticks[-1]) < _CLOSEST
            if not near and found[0] <= value <= found[-1]:
                self.ticks.append(value)
        self.ticks = self.ticks or [round(found[-1], 2)]

    @property
    def spans(self) -> bool:
        """Whether there is more than one value."""
        return self._range > 0

    def __call__(self, value: float) -> float:
        return (self._bent(value) - self._low) / self._range if self._range else 0.5

    def colour(self, value: float) -> tuple[float, float, float, float]:
        """Dark for the best, pale for the worst, in steps that stay even in grey."""
        return self.shade(min(1.0, max(0.0, self(value))))

    def shade(self, place: float) -> tuple[float, float, float, float]:
        """The colour at a place of the scale, 0 to 1."""
        from matplotlib import colormaps

        return colormaps["viridis"](_PALE * (1 - place))

    def on_dark(self, value: float) -> tuple[float, float, float, float]:
        """Bright for the best, dim for the worst: a colour on dark paper."""
        from matplotlib import colormaps

        return colormaps["viridis"](_DIM + (1 - _DIM) * min(1.0, max(0.0, self(value))))

    def ink(self, value: float) -> str:
        """Black or white, whichever can be read on that colour."""
        red, green, blue, _ = self.colour(value)
        return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"

    def _bent(self, value: float) -> float:
        return -log(max(_LEAST, 100 - value)) if self.logarithmic else value

    def _even(self, low: float, high: float) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        return [float(f"{value:.6g}") for value in MaxNLocator(6).tick_values(low, high)]
