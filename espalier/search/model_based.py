"""A model of the results so far says where in a space to look next.

Sources: Watanabe 2023 (arXiv 2304.11127) for the tree-structured Parzen estimator; Ament et al. 2023 (arXiv 2310.20708)
for the expected improvement of a Gaussian process. Both are Optuna's, with its own defaults.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from espalier.search.space import Distribution, Draw, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


def proposals(
    space: Space, results: Sequence[tuple[Draw, float | None]], method: str, seed: int, number: int
) -> Iterator[Draw]:
    """Yield points that a model of the results proposes, without end, rounded as all draws are.

    Each proposal counts as running for those after it, so that they lie elsewhere. Two may be equal after rounding.

    Args:
        space: axes of the points
        results: points evaluated so far with their scores, larger is better; None for a point without a score, which
            counts as the worst
        method: `tpe` or `gp`
        seed: of the search
        number: of the round, which changes the seed
    """
    import optuna

    # A study is told of as a plan, not as one of Optuna's.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {path: _axis(axis) for path, axis in space.items()}
    study = optuna.create_study(direction="maximize", sampler=_sampler(method, _seed(seed, number)))
    worst = min((score for _, score in results if score is not None), default=0.0)
    for draw, score in results:
        value = worst if score is None else score
        study.add_trial(optuna.create_trial(params=dict(draw), distributions=axes, value=value))
    while True:
        asked = study.ask(axes).params
        yield {path: _rounded(axis, asked[path]) for path, axis in space.items()}


def _sampler(method: str, seed: int) -> "BaseSampler":
    from optuna.samplers import GPSampler, TPESampler

    # The first round has been drawn already.
    return (GPSampler if method == "gp" else TPESampler)(seed=seed, n_startup_trials=0)


def _seed(seed: int, number: int) -> int:
    """A seed of a round, in the 32 bits that numpy takes."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")


def _axis(axis: Distribution | Mapping[str, Any]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Distribution):
        return (IntDistribution if axis.whole else FloatDistribution)(axis.low, axis.high, log=axis.log)
    return CategoricalDistribution(range(len(axis)))


def _rounded(axis: Distribution | Mapping[str, Any], value: float | int) -> float | int:
    return axis.rounded(value) if isinstance(axis, Distribution) else value
