"""The price of a bit that brings a network to a size, or to an accuracy."""

import math
from collections.abc import Callable

from espalier.errors import Mistake
from espalier.quantization.qparams import FULL
from espalier.quantization.quantized import Quantization
from espalier.quantization.quantizer import Quantizer

_LEAST, _MOST = 1e-10, 1e2
_CLOSE = 1.03
"""Two prices so near each other, as a ratio, are one."""
_FLOATS = 0.0
"""In place of a price: the network of floats."""
_ROUNDING = 1e-9
"""Of a difference of two percentages."""


def solved(
    quantizer: Quantizer,
    weight_bits: int,
    activation_bits: int,
    *,
    top1: Callable[[], float],
    coded_bytes: Callable[[Quantization], int],
    measured: dict[float, float],
    after: Callable[[], None] = lambda: None,
) -> float | None:
    """The price with which the quantizer's scheme keeps to its `file_bytes` or `drop`; its own where it has one.

    The interval of prices is halved, on a logarithmic scale, about a dozen times. Each time the network is set to the
    widths at a price and measured.

    Args:
        top1: of the network as it is set, in percent, on images that choices are made on
        coded_bytes: size of the file of the network as it is set
        measured: price → what was measured before, 0 of the network of floats; what is measured is added
        after: called whenever something was added; it may save that, and stop by an error

    Raises:
        Mistake: no price keeps to it.
    """
    scheme = quantizer.scheme
    if not scheme.searches:
        return scheme.price

    def value(price: float) -> float:
        if price not in measured:
            widths = (weight_bits, activation_bits, price) if price else (FULL, FULL)
            quantizer.set(*widths)
            measured[price] = top1() if scheme.drop is not None else coded_bytes(quantizer.quantization())
            after()
        return measured[price]

    if scheme.file_bytes is not None:
        if value(_MOST) > scheme.file_bytes:
            least = f"the least is {value(_MOST):.0f}, most of it no weights"
            raise Mistake(f"quantize.scheme.bytes: no price makes a file of {scheme.file_bytes}; {least}. Allow more")
        return _found(lambda price: value(price) <= scheme.file_bytes)[1]

    def falls(price: float) -> bool:
        return value(_FLOATS) - value(price) > scheme.drop + _ROUNDING

    if falls(_LEAST):
        least = (
            f"at {weight_bits} and {activation_bits} bits it falls by {value(_FLOATS) - value(_LEAST):.2f} at any price"
        )
        raise Mistake(
            f"quantize.scheme.drop: {scheme.drop} points cannot be kept to; {least}. Allow more bits, or more"
        )
    return _found(falls)[0]


def _found(true: Callable[[float], bool]) -> tuple[float, float]:
    """Two prices close to each other, the lower of which is false and the greater true; so are `_LEAST` and `_MOST`
    taken to be."""
    low, high = _LEAST, _MOST
    while high / low > _CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if true(middle) else (middle, high)
    return low, high
