"""Points of a space or of a grid, drawn from a seed: the same on any machine, and more of them hold the fewer."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from espalier.errors import Mistake
from espalier.files import write_text

CACHE = Path("results/sobol_points.json")
"""Sobol points that were drawn: every job makes the plan anew, and the import of scipy costs it more than the plan."""
_BITS = 30
_Item = TypeVar("_Item")


def shares(dimensions: int, count: int, seed: int, method: str) -> list[tuple[float, ...]]:
    """The first `count` points of the unit cube that a seed gives, each number at least 0 and less than 1.

    Args:
        method: `random`, or `sobol`: a scrambled Sobol sequence (Owen 1998), which fills the cube evenly

    Raises:
        Mistake: this scipy draws other points than were drawn before.
    """
    if method == "sobol":
        points = _sobol(dimensions, count, seed)
        return [tuple(number / 2**_BITS for number in point) for point in points[:count]]
    # Of all that Python draws, `random()` alone is promised to stay the same in later versions.
    draw = Random(seed).random
    return [tuple(draw() for _ in range(dimensions)) for _ in range(count)]


def shuffled(items: Sequence[_Item], seed: int) -> list[_Item]:
    """All items in the order that a seed gives."""
    draw = Random(seed).random
    return [items[index] for index in sorted(range(len(items)), key=lambda _: draw())]


def _sobol(dimensions: int, count: int, seed: int) -> list[list[int]]:
    """At least `count` points in 2⁻³⁰, from the cache or drawn and kept there."""
    table = _table()
    key = f"{dimensions} dimensions, seed {seed}"
    known = table[key]["points"] if _whole(table.get(key)) else []
    if len(known) >= count:
        return known
    found = _drawn(dimensions, count, seed)
    if found[: len(known)] != known:
        raise Mistake(
            f"{CACHE}: this scipy draws other Sobol points than those kept there; install the version of uv.lock, "
            "or remove the file, and studies with such points have other ones"
        )
    write_text(CACHE, json.dumps(table | {key: {"points": found, "sha256": _digest(found)}}))
    return found


def _drawn(dimensions: int, count: int, seed: int) -> list[list[int]]:
    from scipy.stats.qmc import Sobol

    # The sequence is even where it ends at a power of two.
    power = (count - 1).bit_length()
    drawn = Sobol(dimensions, scramble=True, bits=_BITS, rng=seed).random_base2(power)
    return (drawn * 2**_BITS).astype(int).tolist()


def _table() -> dict[str, Any]:
    try:
        found = json.loads(CACHE.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _whole(entry: Any) -> bool:
    return isinstance(entry, dict) and _digest(entry.get("points")) == entry.get("sha256")


def _digest(points: Any) -> str:
    return hashlib.sha256(json.dumps(points).encode()).hexdigest()
