"""Points that a model of the results asks for: better than drawn ones, within their axes, the same from a seed."""

import math
import statistics
from itertools import islice

import pytest

from espalier.search import draws, model_based
from espalier.search.space import at, read

SPACE = {
    "rate": read({"log_uniform": [1e-5, 10]}),
    "decay": read({"uniform": [0, 1]}),
    "epochs": read({"integer": [1, 60]}),
    "batch": read({"log_integer": [1, 512]}),
    "model": read(["a", "b", "c"]),
}
OF_MODEL = (1.0, 2.0, 0.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(draws, "CACHE", tmp_path / "sobol_points.json")


def score(draw):
    """0 at a rate of 0.03, a decay of 0.3, 40 epochs, batches of 32 and the last model; less elsewhere."""
    away = [(math.log10(draw["rate"]) + 1.5), 2 * (draw["decay"] - 0.3), (draw["epochs"] - 40) / 20]
    away += [(math.log2(draw["batch"]) - 5) / 4]
    return -sum(each**2 for each in away) - OF_MODEL[draw["model"]]


def drawn(count, seed, method):
    points = draws.shares(len(SPACE), count, seed, method)
    return [
        {path: at(axis, share) for (path, axis), share in zip(SPACE.items(), point, strict=True)} for point in points
    ]


def searched(method, seed, rounds, points=8, told=score):
    found = drawn(points, seed, "sobol")
    for number in range(2, rounds + 1):
        results = [(draw, told(draw)) for draw in found]
        found += islice(model_based.proposals(SPACE, results, method, seed, number), points)
    return found


def best(found):
    return max(map(score, found))


def test_a_model_finds_better_points_than_chance_and_better_is_more():
    seeds = range(8)
    chance = statistics.median(best(drawn(32, seed, "random")) for seed in seeds)
    found = statistics.median(best(searched("tpe", seed, 4)) for seed in seeds)
    upside_down = statistics.median(best(searched("tpe", seed, 4, told=lambda draw: -score(draw))) for seed in seeds)
    assert found > chance / 2 and upside_down < chance


@pytest.mark.slow
def test_a_gaussian_process_finds_better_points_than_chance():
    seeds = range(3)
    chance = statistics.median(best(drawn(32, seed, "random")) for seed in seeds)
    assert statistics.median(best(searched("gp", seed, 4)) for seed in seeds) > chance / 4


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_proposals_are_those_of_seed_round_and_results_and_are_rounded(method):
    results = [(draw, score(draw)) for draw in drawn(6, 0, "sobol")]

    def first(count=1, seed=0, number=2, results=results):
        return list(islice(model_based.proposals(SPACE, results, method, seed, number), count))

    found = first()
    assert found == first() and found != first(seed=1) and found != first(number=3)
    assert found != first(results=[(draw, -value) for draw, value in results])
    batch = first(count=2)
    assert batch[0] == found[0] != batch[1], "what is asked for already is under way"
    for draw in batch:
        assert list(draw) == list(SPACE) and draw["model"] in (0, 1, 2)
        assert all(axis.rounded(draw[path]) == draw[path] for path, axis in SPACE.items() if path != "model")
        assert isinstance(draw["epochs"], int) and isinstance(draw["batch"], int)


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_what_has_no_score_counts_as_the_worst(method):
    draws_ = drawn(6, 0, "sobol")
    worst = min(map(score, draws_[1:]))

    def first(of_first):
        results = [(draw, score(draw)) for draw in draws_]
        results[0] = (draws_[0], of_first)
        return next(model_based.proposals(SPACE, results, method, 0, 2))

    assert first(None) == first(worst) != first(5.0)
    nothing = [(draw, None) for draw in draws_]
    assert next(model_based.proposals(SPACE, nothing, method, 0, 2)).keys() == SPACE.keys()


def test_nothing_is_printed(capfd, recwarn):
    results = [(draw, score(draw)) for draw in drawn(3, 0, "sobol")]
    for method in ("tpe", "gp"):
        next(model_based.proposals(SPACE, results, method, 0, 2))
    assert capfd.readouterr() == ("", "") and not recwarn.list
