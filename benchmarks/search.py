"""Compares what halving, random search and Optuna's pruners find for a part of the epochs of a whole grid.

    python benchmarks/search.py [--seeds 10] [--draws 20]

The trainings are recorded: `record_search.py` has trained each of 256 settings for each of ten seeds. A paused training
continues with the same bits, so what a search would have found can be looked up. A score is the best validation top-1
so far of one training, as a rung compares it. Regret is the difference in points, after 24 epochs, between the best of
all 256 settings of the same seed and the setting that a search ends with.

- halving: `espalier.search.halving`, the rule of the product, on ladders chosen before the table was looked at. In 2,
  16, 24 the second rung is the first epoch after all cuts of the rate, which come at 6, 9, 12 or 15 epochs: only after
  a cut can gamma and milestones be told apart. Its first rung uses what a quarter of the epochs leaves. 3, 8, 24 spaces
  the rungs evenly, 2, 6, 24 is the geometric ladder of the literature, and 2, 16, 24 with an eighth is a cheap one.
- halving with another order: candidates in a random order, and among equal ones that of the lower validation loss.
- random: as many settings trained to the end as the epochs of the first ladder allow, none drawn twice.
- Optuna: its ASHA (SuccessiveHalvingPruner) and Hyperband, with random and with TPE sampling, with the epochs of the
  first ladder and stopped there, from rungs at 2 epochs on. An epoch that was trained for an earlier trial is not
  counted again. It runs in an environment of its own, which `uv` makes; it is left out where that fails.

Printed are median and quartiles over the seeds; for what is drawn, over all draws of all seeds.
"""

import argparse
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from demo import ROOT
from recorded_grid import AXES, EPOCHS, IMAGES, SEEDS, TABLE, Recorded, read, settings

sys.path.insert(0, str(ROOT))

from espalier.search.halving import count, kept

UV = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
OPTUNA = [UV, "run", "--no-project", "--python", sys.executable, "--with", "optuna==5.0.0", "python"]
NEAR = 0.3
"""Points of validation that are no difference."""


@dataclass(frozen=True)
class Ladder:
    """Rungs, and the part that goes on at each."""

    epochs: tuple[int, ...]
    keep: Fraction

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.epochs))}, {self.keep} each"


LADDERS = (
    Ladder((2, 16, EPOCHS), Fraction(1, 4)),
    Ladder((3, 8, EPOCHS), Fraction(1, 4)),
    Ladder((2, 6, EPOCHS), Fraction(1, 4)),
    Ladder((2, 16, EPOCHS), Fraction(1, 8)),
)


@dataclass(frozen=True)
class Found:
    """What a search ended with."""

    regret: float
    """points below the best of the grid with the same seed"""
    elsewhere: float
    """points below the setting of the best mean, in the mean of the other seeds; NaN where there are none"""
    epochs: int


class Grid:
    """The recorded trainings of one seed, and those of the others."""

    def __init__(self, table: dict[int, list[Recorded]], seed: int) -> None:
        self.runs = table[seed]
        self.final = [run.score(EPOCHS) for run in self.runs]
        others = [[run.score(EPOCHS) for run in runs] for other, runs in table.items() if other != seed]
        self._means = [statistics.fmean(scores) for scores in zip(*others, strict=True)]

    def found(self, place: int, epochs: int) -> Found:
        elsewhere = max(self._means) - self._means[place] if self._means else math.nan
        return Found(max(self.final) - self.final[place], elsewhere, epochs)


def halved(grid: Grid, ladder: Ladder, order: Sequence[int], loss: bool = False) -> tuple[int, int, list[tuple]]:
    """Run halving on recorded scores.

    Args:
        order: the candidates, in the order of the study
        loss: whether the lower loss decides between equal scores

    Returns:
        the place of the candidate it ends with; the epochs spent; and for each rung, among those with the score of the
        last one kept, how many go on and how many there are
    """
    left, spent, before, edges = list(order), 0, 0, []
    for epochs in ladder.epochs:
        spent, before = spent + len(left) * (epochs - before), epochs
        scores = [grid.runs[place].score(epochs) for place in left]
        # A loss is below ten, and two scores differ by a tenth of a point at least.
        told = [score - least(grid.runs[place], epochs) / 1000 for score, place in zip(scores, left, strict=True)]
        most = 1 if epochs == EPOCHS else count(len(left), ladder.keep)
        goes_on = kept([[score] for score in (told if loss else scores)], most)
        edge = min(score for score, stays in zip(scores, goes_on, strict=True) if stays)
        equal = [stays for score, stays in zip(scores, goes_on, strict=True) if score == edge]
        edges.append((sum(equal), len(equal)))
        left = [place for place, stays in zip(left, goes_on, strict=True) if stays]
    return left[0], spent, edges


def least(run: Recorded, epochs: int) -> float:
    """The loss of the best epoch so far, which among equally right ones is that of the lowest loss."""
    most = max(run.right[:epochs])
    return min(loss for loss, right in zip(run.loss[:epochs], run.right[:epochs], strict=True) if right == most)


def quartiles(values: Sequence[float], digits: int = 2) -> str:
    if len(values) < 2:
        return ", ".join(f"{value:.{digits}f}" for value in values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def line(name: str, found: Sequence[Found]) -> None:
    regrets = [each.regret for each in found]
    near = sum(regret <= NEAR + 1e-9 for regret in regrets) / len(regrets)
    shares = [100 * each.epochs / (len(settings()) * EPOCHS) for each in found]
    elsewhere = quartiles([each.elsewhere for each in found])
    row(name, f"{statistics.median(shares):.1f}", quartiles(regrets), f"{100 * near:.0f}", elsewhere)


def grids_told(table: dict[int, list[Recorded]], grids: dict[int, Grid]) -> None:
    """What there is to find, and how much of it is chance."""
    best = [max(grid.final) for grid in grids.values()]
    near = [sum(score >= max(grid.final) - NEAR - 1e-9 for score in grid.final) for grid in grids.values()]
    equal = [grid.final.count(max(grid.final)) for grid in grids.values()]
    columns = list(zip(*(grid.final for grid in grids.values()), strict=True))
    means = [statistics.fmean(scores) for scores in columns]
    good = sorted(range(len(means)), key=lambda place: -means[place])[:64]
    spread = (
        statistics.fmean(statistics.variance(columns[place]) for place in good) ** 0.5 if len(grids) > 1 else math.nan
    )
    apart = [abs(one - other) for place in good for one, other in zip(columns[place], columns[place][1:], strict=False)]
    print(f"{len(table)} seeds; an image of {IMAGES} is worth {100 / IMAGES:.2f} points")
    print(f"best of all settings, a seed: {quartiles(best)} %")
    print(f"settings within {NEAR} points of it: {quartiles(near, 0)}; equal to it: {quartiles(equal, 0)}")
    print(f"means over the seeds: best {max(means):.2f}, median {statistics.median(means):.2f}, worst {min(means):.2f}")
    print(f"of the 64 settings of the best means: sd of a setting's seeds {spread:.2f} points;", end=" ")
    print(f"two seeds are {quartiles(apart)} apart; sd of the means {statistics.stdev(means[i] for i in good):.2f}\n")
    row("axis", "value", "mean top-1")
    row("---", "---", "---:")
    for number, (axis, values) in enumerate(AXES.items()):
        for value in values:
            own = [mean for mean, chosen in zip(means, settings(), strict=True) if chosen[number] == value]
            row(axis, value, f"{statistics.fmean(own):.2f}")
    print()


def searches(grids: dict[int, Grid], draws: int) -> Iterator[tuple[str, list[Found]]]:
    """Name → what it ended with, by each search."""
    whole = [grid.found(grid.final.index(max(grid.final)), len(grid.final) * EPOCHS) for grid in grids.values()]
    yield "the whole grid", whole
    for ladder in LADDERS:
        yield f"halving {ladder}", [ended(grid, ladder, range(len(grid.runs))) for grid in grids.values()]
    first = LADDERS[0]
    orders = [(grid, order) for grid in grids.values() for order in orders_of(grid, draws)]
    yield f"halving {first}, in a random order", [ended(grid, first, order) for grid, order in orders]
    by_loss = [ended(grid, first, range(len(grid.runs)), loss=True) for grid in grids.values()]
    yield f"halving {first}, equal ones by loss", by_loss
    for ladder in (first, LADDERS[-1]):
        many = budget(grids, ladder) // EPOCHS
        yield (
            f"random, {many} settings",
            [grid.found(best(grid, order[:many]), many * EPOCHS) for grid, order in orders],
        )


def orders_of(grid: Grid, draws: int) -> list[list[int]]:
    """Random orders of the settings; other ones for other seeds."""
    draw = random.Random(str(grid.final))
    return [draw.sample(range(len(grid.runs)), len(grid.runs)) for _ in range(draws)]


def budget(grids: dict[int, Grid], ladder: Ladder) -> int:
    """Epochs of halving, which are the same for every seed."""
    grid = grids[0]
    return halved(grid, ladder, range(len(grid.runs)))[1]


def ended(grid: Grid, ladder: Ladder, order: Sequence[int], loss: bool = False) -> Found:
    place, epochs, _ = halved(grid, ladder, order, loss)
    return grid.found(place, epochs)


def best(grid: Grid, places: Sequence[int]) -> int:
    return max(places, key=lambda place: grid.final[place])


def of_optuna(grids: dict[int, Grid], draws: int) -> Iterator[tuple[str, list[Found]]]:
    """The same of Optuna's, which runs in an environment of its own."""
    tried = subprocess.run([*OPTUNA, "-c", "import optuna"], capture_output=True, text=True, check=False)
    if tried.returncode:
        print(f"optuna left out: {(tried.stderr.strip().splitlines() or ['no reason'])[-1]}", file=sys.stderr)
        return
    rival = Path(__file__).parent / "rivals/optuna_search.py"
    asked = {"table": TABLE, "budget": budget(grids, LADDERS[0]), "seeds": len(grids), "draws": draws}
    asked |= {"first": LADDERS[0].epochs[0]}
    words = [word for key, value in asked.items() for word in (f"--{key}", str(value))]
    told = subprocess.run([*OPTUNA, rival, *words], capture_output=True, text=True, check=True).stdout
    arms: dict[str, list[Found]] = {}
    for each in map(json.loads, told.splitlines()):
        arms.setdefault(each["arm"], []).append(grids[each["seed"]].found(each["place"], each["epochs"]))
    yield from arms.items()


def edges_told(grids: dict[int, Grid]) -> None:
    """How often the order of the study decides at the edge of a rung, and which values it lets go on."""
    row("ladder", "after epoch", "distinct scores", "seeds where equal ones were cut apart", "of how many equal ones")
    row("---", "---:", "---:", "---:", "---:")
    for ladder in LADDERS:
        edges = [halved(grid, ladder, range(len(grid.runs)))[2] for grid in grids.values()]
        for number, epochs in enumerate(ladder.epochs[:-1]):
            cut = [edge[number] for edge in edges if edge[number][0] < edge[number][1]]
            of = quartiles([equal for _, equal in cut], 0)
            distinct = [len({run.score(epochs) for run in grid.runs}) for grid in grids.values()]
            row(ladder, epochs, quartiles(distinct, 0), f"{len(cut)} of {len(edges)}", of)
    print()
    chosen = [halved(grid, LADDERS[0], range(len(grid.runs)))[0] for grid in grids.values()]
    print(f"What halving {LADDERS[0]} ends with:")
    for number, axis in enumerate(AXES):
        told = Counter(str(settings()[place][number]) for place in chosen)
        print(f"- {axis}: {', '.join(f'{value} {times}×' for value, times in told.most_common())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--draws", type=int, default=20, help="of what is random, a seed")
    args = parser.parse_args()
    table = {seed: runs for seed, runs in read().items() if seed < args.seeds}
    grids = {seed: Grid(table, seed) for seed in table}
    grids_told(table, grids)
    row("search", "epochs, % of the grid's", "regret, points", f"within {NEAR}, %", "regret in the other seeds, points")
    row("---", *["---:"] * 4)
    for arms in (searches(grids, args.draws), of_optuna(grids, args.draws)):
        for name, found in arms:
            line(name, found)
    print()
    edges_told(grids)


if __name__ == "__main__":
    main()
