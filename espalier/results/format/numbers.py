"""Numbers as they are printed: fixed digits, one unit a column, a dash where there is nothing."""

from collections.abc import Iterable, Sequence
from math import isnan

MISSING = "–"
_COUNTS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"))


def plain(value: float, digits: int = 2) -> str:
    """A number with fixed digits."""
    return signed(value, digits).removeprefix("+")


def spread(mean: float, sd: float, digits: int = 2) -> str:
    """``98.61 ± 0.28``; without its spread where there is none."""
    return plain(mean, digits) if isnan(sd) else f"{plain(mean, digits)} ± {sd:.{digits}f}"


def change(mean: float, sd: float, digits: int = 2) -> str:
    """A difference: ``+0.42 ± 0.28`` or ``−0.42``."""
    return signed(mean, digits) if isnan(sd) else f"{signed(mean, digits)} ± {sd:.{digits}f}"


def between(low: float, high: float, digits: int = 2, signs: bool = False) -> str:
    """``97.91 to 99.31``; ``−0.20 to +1.20`` with `signs`."""
    if isnan(low) or isnan(high):
        return MISSING
    return " to ".join((signed if signs else plain)(end, digits) for end in (low, high))


def signed(value: float, digits: int = 2) -> str:
    """``+0.42`` or ``−0.42``."""
    if isnan(value):
        return MISSING
    text = f"{abs(value):,.{digits}f}"
    # A zero has no sign.
    return text if not float(text.replace(",", "")) else f"{'+' if value > 0 else '−'}{text}"


def p_value(p: float) -> str:
    """``0.034``; ``< 0.001`` below that, since the tails of a t-distribution fit real spreads no better."""
    if isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count_unit(values: Iterable[float]) -> tuple[float, str]:
    """Divisor and SI prefix that suit the largest count of a column."""
    largest = max((value for value in values if not isnan(value)), default=0.0)
    return next(((size, prefix) for size, prefix in _COUNTS if largest >= size), (1.0, ""))


def sizes(head: str, values: Sequence[float]) -> tuple[str, list[str]]:
    """Heading with its unit and cells of bytes: kB (1,000 bytes), or MB where none is under a megabyte."""
    divisor, unit = byte_unit(values)
    return f"{head} ({unit})", [scaled(value, divisor) for value in values]


def counts(head: str, values: Sequence[float]) -> tuple[str, list[str]]:
    """Heading with its SI prefix and cells of counts."""
    divisor, prefix = count_unit(values)
    return f"{head} ({prefix})" if prefix else head, [scaled(value, divisor, whole=True) for value in values]


def byte_unit(values: Iterable[float]) -> tuple[float, str]:
    """Divisor and unit of all sizes of a column or axis."""
    known = [value for value in values if not isnan(value)]
    return (1e6, "MB") if known and min(known) >= 1e6 else (1e3, "kB")


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
