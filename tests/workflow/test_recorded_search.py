"""The recorded grid of the benchmark of searches: its trainings are whole ones, and what halving takes of them."""

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


def test_on_the_recorded_grid_halving_takes_a_quarter_of_its_epochs(benchmarks):
    module = benchmarks("search")
    table = module.read()
    for seed in table:
        grid = module.Grid(table, seed)
        assert len(grid.runs) == 256 and {len(run.right) for run in grid.runs} == {module.EPOCHS}
        place, epochs, _ = module.halved(grid, module.LADDERS[0], range(256))
        assert epochs == 256 * 2 + 64 * 14 + 16 * 8 == 256 * module.EPOCHS / 4
        # Before the first cut of the rate, batch size and decay alone tell settings apart.
        pairs = zip(module.settings(), grid.runs, strict=True)
        begun = {(batch, decay, run.right[:6], run.loss[:6]) for (batch, _, decay, _), run in pairs}
        assert len(begun) == 16
        assert 0 <= grid.found(place, epochs).regret < 5
