"""Studies whose truth is known: accuracies over seeds drawn from it, and what the statistics of results say of them.

`python -m support.simulated_studies` in tests/ prints the numbers of docs/statistics.md, in minutes.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np

from espalier.results.compare import dunnett
from espalier.results.compare.logits import logits, percents
from espalier.results.compare.significance import holm, statistic, welch_freedom
from espalier.results.compare.spread import ALPHA, Spread, each, means, spread
from espalier.results.compare.statistics import LEVEL, half_width

CONFIGURATIONS = 19


@dataclass(frozen=True)
class Setting:
    """How accuracies spread: `sd` in logits over seeds, of every configuration drawn between the two numbers."""

    images: int
    top1: float
    sd: tuple[float, float]
    shared: float = 0.0
    """part of the variance that a seed adds to all configurations alike"""


SETTINGS = {
    "digits": Setting(360, 97.0, (0.3, 0.3)),
    "digits, half of it the seed's own in all": Setting(360, 97.0, (0.3, 0.3), 0.5),
    "digits, 0.13 to 0.56": Setting(360, 97.0, (0.13, 0.56)),
    "CIFAR-10": Setting(10_000, 94.0, (0.045, 0.045)),
    "CIFAR-10, 0.02 to 0.08": Setting(10_000, 94.0, (0.02, 0.08)),
}
REPEATS = (3, 5, 10)


def drawn(setting: Setting, top1: np.ndarray, repeats: int, generator: np.random.Generator) -> np.ndarray:
    """Accuracies in percent (configurations, repeats), whole images each."""
    sd = generator.uniform(*setting.sd, (len(top1), 1))
    middle = np.log(top1 / (100 - top1))[:, None]
    apart = np.sqrt(1 - setting.shared) * generator.normal(0, 1, (len(top1), repeats))
    apart += np.sqrt(setting.shared) * generator.normal(0, 1, repeats)
    shares = 1 / (1 + np.exp(-middle - sd * apart))
    return 100 * np.round(setting.images * shares) / setting.images


def told_apart(values: np.ndarray, found: Spread) -> np.ndarray:
    """Whether each group of logits but the first, the control, differs significantly from it."""
    counts, own = each(values)
    error = (found.sd if found.equal else own) / np.sqrt(counts)
    t = statistic(means(values), error, 0)[1:]
    if found.equal:
        loads = np.sqrt(counts[1:] / (counts[1:] + counts[0]))
        return np.abs(t) > dunnett.critical(loads, found.freedom, LEVEL)
    from scipy.special import stdtr

    return holm(2 * stdtr(welch_freedom(error, counts, 0)[1:], -np.abs(t))) < ALPHA


def errors(
    setting: Setting, repeats: int, tables: int, seed: int = 0, groups: int = CONFIGURATIONS
) -> dict[str, float]:
    """Error rates over tables of configurations that are all equal.

    Returns:
        `family`, the share of tables with any verdict of a difference; `coverage`, how often the interval of an
        accuracy contains its true value; `refused`, how often one common spread was refused
    """
    generator = np.random.default_rng((seed, repeats))
    top1 = np.full(groups, setting.top1)
    wrong = refused = covered = 0
    for _ in range(tables):
        values = logits(drawn(setting, top1, repeats, generator), setting.images)
        found = spread(values)
        wrong += told_apart(values, found).any()
        refused += not found.equal
        counts, own = each(values)
        sd, freedom = (found.sd, found.freedom) if found.equal else (own, counts - 1)
        width, middle = half_width(sd, counts, LEVEL, freedom), means(values)
        low, high = (percents(middle + sign * width, setting.images) for sign in (-1, 1))
        covered += ((low <= top1) & (top1 <= high)).mean()
    return {"family": wrong / tables, "coverage": covered / tables, "refused": refused / tables}


def power(
    setting: Setting, points: float, repeats: int, tables: int, compared: int = CONFIGURATIONS - 1, seed: int = 0
) -> float:
    """The power of the test: how often a configuration `points` away from the baseline is found to differ.

    Args:
        points: true difference in points, of either sign
        compared: number of configurations that the table compares with the baseline
    """
    generator = np.random.default_rng((seed, repeats))
    top1 = np.full(CONFIGURATIONS, setting.top1)
    top1[1] += points
    right = 0
    for _ in range(tables):
        values = logits(drawn(setting, top1, repeats, generator), setting.images)
        right += told_apart(values[: compared + 1], spread(values))[0]
    return right / tables


def main(tables: int) -> None:
    print("| spread | repeats | family-wise error | coverage | equal spread refused |\n|---|--:|--:|--:|--:|")
    for name, setting in SETTINGS.items():
        for repeats in REPEATS:
            found = errors(setting, repeats, tables)
            shown = " | ".join(f"{100 * found[key]:.1f} %" for key in ("family", "coverage", "refused"))
            print(f"| {name} | {repeats} | {shown} |", flush=True)
    print("\n| baseline | 1 comparison | 3 | 18 |\n|--:|--:|--:|--:|")
    for top1 in (95.0, 96.0, 97.0, 98.0, 98.5):
        setting = replace(SETTINGS["digits"], top1=top1)
        found = (power(setting, -3.0, 3, tables, compared) for compared in (1, 3, 18))
        print(f"| {top1:g} % | {' | '.join(f'{share:.2f}' for share in found)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
