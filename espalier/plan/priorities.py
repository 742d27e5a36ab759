"""Which runs go first: the longest, so that none is left to end alone when all others have.

The longest of the jobs that are ready, given to whoever is free, ends at most a third later than the best order
(Graham 1969, doi:10.1137/0117039).
"""

from espalier.data import stated
from espalier.plan import model_counts
from espalier.plan.build import Plan
from espalier.plan.runs import Run
from espalier.stages import STAGES
from espalier.stages.frame.stage_run import section
from espalier.stages.prune import PruneStage
from espalier.stages.train import TrainStage

_CLASSES, _IMAGE_SIZE = 10, 32
"""For data sets that tell theirs only once they are prepared; a study's runs share them."""


def priorities(plan: Plan) -> dict[str, float]:
    """Run's name → priority from -1 to 0: training on the longest line of runs from it on, as part of the longest.

    Training is epochs × MACs of the network before it is pruned; sizes of data sets are known only later. What does
    not train has 0 and so goes first: it is short, and its results are waited for.
    """
    trained = [run for runs in plan.runs.values() for run in runs.values() if epochs(run)]
    macs = [row.get("macs", 0) for row in model_counts.counts(map(network, trained))]
    ahead: dict[str, float] = {}
    for run, each in reversed(list(zip(trained, macs, strict=True))):
        # Later runs of a chain come later in the plan, so that in this order they are added already.
        ahead[run.name] = epochs(run) * each + ahead.get(run.name, 0)
        for before in filter(None, (run.parent, run.teacher)):
            ahead[before.name] = max(ahead.get(before.name, 0), ahead[run.name])
    most = max(ahead.values(), default=0)
    return {run.name: ahead[run.name] / most - 1 for run in trained if most}


def epochs(run: Run) -> int:
    """Passes over the training split; those of pruning in rounds are counted once a round."""
    if isinstance(run.spec, PruneStage):
        if run.spec.control_epochs:
            return run.spec.control_epochs
        rounds = run.spec.prune.settings().get("rounds", 1)
        scratch = sum(map(epochs, run.networks)) if run.spec.control == "scratch" else 0
        return scratch + rounds * run.spec.fine_tune.epochs
    train = section(STAGES[run.stage], run.spec)
    return train.epochs if train else 0


def network(run: Run) -> model_counts.Network:
    """The network that a run trains, as it is before it is pruned."""
    dataset = run.data.spec.dataset
    trained = run if isinstance(run.spec, TrainStage) else run.networks[0]
    size, classes = stated.image_size(dataset) or _IMAGE_SIZE, dataset.entry().facts.get("classes", _CLASSES)
    return model_counts.Network(trained.spec.model, classes, size, stated.channels(dataset))
