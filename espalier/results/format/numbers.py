"""Numbers as they are printed: fixed digits, one unit a column, a dash where there is nothing."""

from collections.abc import Iterable
from math import isnan

MISSING = "–"
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"))


def plain(value: float, digits: int = 2) -> str:
    """A number with fixed digits."""
    return MISSING if isnan(value) else f"{value:.{digits}f}"


def spread(mean: float, sd: float, digits: int = 2) -> str:
    """``98.61 ± 0.28``; without its spread where there is none."""
    return plain(mean, digits) if isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def between(low: float, high: float, digits: int = 2, signed: bool = False) -> str:
    """``97.91 to 99.31``; ``−0.20 to +1.20`` where `signed`."""
    if isnan(low) or isnan(high):
        return MISSING
    return " to ".join(_signed(end, digits) if signed else f"{end:.{digits}f}" for end in (low, high))


def signed(value: float, digits: int = 2) -> str:
    """``+0.42`` or ``−0.42``."""
    return MISSING if isnan(value) else _signed(value, digits)


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    # A zero has no sign.
    return text if not float(text) else f"{'+' if value > 0 else '−'}{text}"


def p_value(p: float) -> str:
    """``0.034``; ``< 0.001`` below that, since the tails of a t-distribution fit real spreads no better."""
    if isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count_unit(values: Iterable[float]) -> tuple[float, str]:
    """Divisor and SI prefix that suit the largest count of a column."""
    largest = max((value for value in values if not isnan(value)), default=0.0)
    return next(((size, prefix) for size, prefix in _COUNTS if largest >= size), (1.0, ""))


def time_unit(values: Iterable[float]) -> tuple[float, str]:
    """Divisor of seconds and unit that suit the longest time of a column."""
    longest = max((value for value in values if not isnan(value)), default=0.0)
    return next(((size, unit) for least, size, unit in _TIMES if longest >= least), (1.0, "s"))


def scaled(value: float, divisor: float, whole: bool = False) -> str:
    """A count or time in its column's unit; `whole` for counts, which have no fraction in units of one.

    One digit after the point, two significant ones where that would leave less.
    """
    if isnan(value):
        return MISSING
    if whole and divisor == 1:
        return f"{value:,.0f}"
    found = value / divisor
    return f"{found:.2g}" if 0 < found < 0.95 else f"{found:,.1f}"
