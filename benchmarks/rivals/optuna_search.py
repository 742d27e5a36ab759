"""Optuna on the recorded grid: ASHA and Hyperband, with random and TPE sampling, until the epochs are spent.

A line of JSON a search: arm, seed, the place of the setting that it ends with, and the epochs that it took.
"""

import argparse
import json
import sys
from pathlib import Path

import optuna

sys.path.insert(0, str(Path(__file__).parents[1]))

from recorded_grid import AXES, EPOCHS, Recorded, read, settings

SAMPLERS = {"random": optuna.samplers.RandomSampler, "TPE": optuna.samplers.TPESampler}


def pruners(first: int) -> dict[str, optuna.pruners.BasePruner]:
    """By name, with a first rung after so many epochs."""
    return {
        "ASHA": optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=4),
        "Hyperband": optuna.pruners.HyperbandPruner(min_resource=first, max_resource=EPOCHS, reduction_factor=3),
    }


class Search:
    """An objective that is looked up, and what was spent on it."""

    def __init__(self, runs: list[Recorded], budget: int) -> None:
        self._runs, self._budget = runs, budget
        self._places = {values: place for place, values in enumerate(settings())}
        self._known = [0] * len(runs)
        self.whole: dict[int, float] = {}
        """place → score of the settings that were trained to the end"""

    @property
    def spent(self) -> int:
        return sum(self._known)

    def __call__(self, trial: optuna.Trial) -> float:
        drawn = [values[trial.suggest_categorical(axis, range(len(values)))] for axis, values in AXES.items()]
        place = self._places[tuple(drawn)]
        for epoch in range(1, EPOCHS + 1):
            if epoch > self._known[place]:
                if self.spent == self._budget:
                    trial.study.stop()
                    raise optuna.TrialPruned
                self._known[place] = epoch
            trial.report(self._runs[place].score(epoch), epoch)
            if epoch < EPOCHS and trial.should_prune():
                raise optuna.TrialPruned
        self.whole[place] = self._runs[place].score(EPOCHS)
        return self.whole[place]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--budget", type=int, required=True, help="epochs")
    parser.add_argument("--seeds", type=int, required=True, help="of trainings")
    parser.add_argument("--draws", type=int, required=True, help="searches a seed")
    parser.add_argument("--first", type=int, required=True, help="epochs to the first rung")
    parser.add_argument("--trials", type=int, default=512, help="at most, a search")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for seed, runs in read(args.table).items():
        for sampler in SAMPLERS:
            for pruner in pruners(args.first):
                for draw in range(args.draws if seed < args.seeds else 0):
                    search = Search(runs, args.budget)
                    drawing = SAMPLERS[sampler](seed=1000 * seed + draw)
                    pruning = pruners(args.first)[pruner]
                    study = optuna.create_study(direction="maximize", sampler=drawing, pruner=pruning)
                    study.optimize(search, n_trials=args.trials)
                    place = max(search.whole, key=search.whole.get)
                    told = {"arm": f"Optuna {pruner}, {sampler} sampling", "seed": seed, "place": place}
                    print(json.dumps(told | {"epochs": search.spent, "trials": len(study.trials)}), flush=True)


if __name__ == "__main__":
    main()
