"""Search for the price of a bit with which rate-distortion rounding meets a file size or an accuracy."""

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


def find_price(
    quantizer: Quantizer,
    weight_bits: int,
    activation_bits: int,
    *,
    top1: Callable[[], float],
    coded_bytes: Callable[[Quantization], int],
    measured: dict[float, float],
    after: Callable[[], None] = lambda: None,
) -> float | None:
    """The price of a bit that meets the scheme's `file_bytes` or `drop`; the scheme's own price where it has one.

    The price is found by bisection on a logarithmic scale, in about a dozen steps. Each step sets the network to the
    widths at a price and measures it.

    Args:
        top1: measures the network as it is set, in percent, on images that choices are made on
        coded_bytes: measures the size of the network's file as it is set
        measured: price → earlier measurement; the key 0 is the float network. New measurements are added
        after: called after each new measurement; it may save it, or stop by an error

    Returns:
        the price; None for a scheme without one

    Raises:
        Mistake: no price meets the request.
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
        return _bisect(lambda price: value(price) <= scheme.file_bytes)[1]

    def falls(price: float) -> bool:
        return value(_FLOATS) - value(price) > scheme.drop + _ROUNDING

    if falls(_LEAST):
        least = (
            f"at {weight_bits} and {activation_bits} bits it falls by {value(_FLOATS) - value(_LEAST):.2f} at any price"
        )
        raise Mistake(
            f"quantize.scheme.drop: {scheme.drop} points cannot be kept to; {least}. Allow more bits, or more"
        )
    return _bisect(falls)[0]


def _bisect(true: Callable[[float], bool]) -> tuple[float, float]:
    """Bisect for the price at which `true` changes from False to True.

    Returns the highest price known to be False and the lowest known to be True, at most a factor of `_CLOSE` apart.
    `_LEAST` is taken to be False and `_MOST` to be True.
    """
    low, high = _LEAST, _MOST
    while high / low > _CLOSE:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if true(middle) else (middle, high)
    return low, high
