"""The recorded grid of the benchmark of searches: its trainings are whole ones, and halving keeps its word on them."""

import statistics
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from espalier.data.resident import Resident
from support.digits_runs import same, timeless

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WORDS = ["model={name: mlp, hidden: [16], dropout: 0.2}", "augment=[pad_crop]", "train.batch_size=128", "seed=3"]
WORDS += ["train.epochs=4", "train.optimizer.lr=0.1"]


@pytest.fixture
def benchmarks(monkeypatch):
    """Imports a program of the folder, and forgets what it brought."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield __import__
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def test_a_training_from_a_copy_of_another_is_the_one_that_began_with_nothing(benchmarks, digits):
    module = benchmarks("record_search")
    family = []
    for milestones in ([2, 3], [3, 4]):
        cuts = [f"train.scheduler={{name: multi_step, milestones: {milestones}, gamma: 0.{milestones[0]}}}"]
        family.append(({"train.scheduler.milestones": milestones}, SimpleNamespace(words=[*WORDS, *cuts])))
    train = module.Trainer(Resident.load(digits))
    for _, run, state in module.trained(train, family):
        whole = train(run.words, module.Copies())
        assert timeless(state.history) == timeless(whole.history) and same(state.best, whole.best)
        assert state.schedule.learning_rate == whole.schedule.learning_rate


def test_halving_ends_near_the_best_of_the_recorded_grid_for_a_quarter_of_its_epochs(benchmarks):
    module = benchmarks("search")
    table = module.read()
    grids = [module.Grid(table, seed) for seed in table]
    assert grids and {len(grid.runs) for grid in grids} == {256}
    found = [module.ended(grid, module.LADDERS[0], range(256)) for grid in grids]
    assert {each.epochs for each in found} == {256 * 2 + 64 * 14 + 16 * 8}
    assert found[0].epochs <= 256 * module.EPOCHS / 4
    assert statistics.median(each.regret for each in found) <= module.NEAR
