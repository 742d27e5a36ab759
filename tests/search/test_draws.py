"""Samples: the same points from a seed on any machine, within their bounds, the fewer among the more."""

import json
import os
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.plan import limits
from espalier.plan.build import build
from espalier.search import draws
from espalier.search.space import DISTRIBUTIONS, read
from support.published_files import folder
from support.written_studies import planner

PAGE = Path(__file__).parents[2] / "docs/search.md"
BASE = "title: a study\ndataset: digits\nmodel: resnet\n"
SPACE = (
    "space:\n  train.optimizer.lr: {log_uniform: [1e-3, 1]}\n"
    "  train.optimizer.weight_decay: {log_uniform: [1e-5, 1e-2]}\n  model: {ours: resnet, LeNet: lenet}\n"
)
GRID = "grid: {product: {train.batch_size: [8, 16, 32, 64], train.epochs: [1, 2, 3, 4, 5]}}\n"
SHARES = [*(index / 4096 for index in range(4096)), 1 - 2**-30]
FIRST = {
    "sobol": [
        ("0.01698", "0.007805", "LeNet"),
        ("0.2239", "3.322e-5", "ours"),
        ("0.1371", "0.0005716", "LeNet"),
        ("0.001818", "8.489e-5", "ours"),
    ],
    "random": [
        ("0.3414", "0.001879", "ours"),
        ("0.005981", "0.0003418", "ours"),
        ("0.2246", "8.127e-5", "ours"),
        ("0.05625", "0.005301", "LeNet"),
    ],
}
"""The first points of seed 0, on any machine and with any version of a library."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(draws, "CACHE", tmp_path / "sobol_points.json")
    return tmp_path / "sobol_points.json"


@pytest.fixture
def planned(tmp_path):
    return lambda text, **overrides: planner(tmp_path)(BASE + text, **overrides)


def labels(plan):
    """The labels of every configuration."""
    (study,) = plan.studies.values()
    return list(dict.fromkeys(tuple(point.labels.values()) for point in study.points))


def sample(points, method="random", seed=0):
    return f"sample: {{points: {points}, method: {method}, seed: {seed}}}\n"


@pytest.mark.parametrize("method", FIRST)
def test_the_first_points_of_a_seed_are_these(planned, method):
    assert labels(planned(SPACE + sample(4, method))) == FIRST[method]
    assert labels(planned(SPACE + sample(4, method, seed=1))) != FIRST[method]


def test_another_process_plans_the_same_points_and_imports_no_numpy_for_known_ones(planned, tmp_path):
    found = labels(planned(SPACE + sample(40, "sobol")))
    (tmp_path / "results").mkdir()
    draws.CACHE.rename(tmp_path / "results/sobol_points.json")
    code = "import sys; from pathlib import Path; from espalier.plan.build import build\n"
    code += "points = build(['s'], Path()).studies['s'].points\n"
    code += "print([tuple(point.labels.values()) for point in points] , 'numpy' in sys.modules)"
    paths = {"PYTHONPATH": str(Path(draws.__file__).parents[2]), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | paths,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{found} False\n"


CONDITIONS = "constraints: [train.optimizer.lr < 0.3]\ngrid: {exclude: [{model: LeNet}], when: [{if: {}, then: {}}]}\n"
CROSSED = "grid: {product: {train.epochs: [1, 2]}, exclude: [{model: LeNet, train.epochs: 2}]}\n"


@pytest.mark.parametrize("method", FIRST)
@pytest.mark.parametrize("around", ["", CONDITIONS, CROSSED])
def test_more_points_of_a_space_keep_the_fewer(planned, method, around):
    fewer, more = (labels(planned(SPACE + around + sample(points, method))) for points in (64, 96))
    assert more[: len(fewer)] == fewer
    assert len({row[:3] for row in fewer}) == 64 and len({row[:3] for row in more}) == 96


def test_more_points_of_a_grid_keep_the_fewer(planned):
    orders = {
        points: labels(planned(f"{GRID}sample: {{points: {points}, seed: {seed}}}\n"))
        for points, seed in ((5, 0), (20, 0), (19, 1))
    }
    assert orders[20][:5] == orders[5]
    assert len(set(orders[20])) == 20 and orders[20] != sorted(orders[20])
    assert orders[19] != orders[20][:19]


def test_a_part_of_a_grid_is_chosen_from_what_conditions_leave_and_changes_no_run(planned):
    conditions = "constraints: [train.epochs < 5]\n"
    whole = planned(GRID + conditions)
    part = planned(GRID + conditions + "sample: {points: 16}\n")
    assert part.runs["train"].keys() == whole.runs["train"].keys() and labels(part) != labels(whole)
    assert planned(GRID + conditions + "sample: {points: 3}\n").runs["train"].items() < whole.runs["train"].items()


@pytest.mark.parametrize(
    "distribution",
    [
        {"uniform": [-0.123456, 0.654321]},
        {"log_uniform": [1.23456e-5, 6.54321e-2]},
        {"integer": [-3, 3]},
        {"log_integer": [1, 99]},
    ],
    ids=DISTRIBUTIONS,
)
def test_a_number_lies_within_its_bounds_and_is_short(distribution):
    ((name, (low, high)),) = distribution.items()
    found = [read(distribution).at(share) for share in SHARES]
    assert found == sorted(found) and low <= found[0] and found[-1] <= high
    assert (found[0], found[-1]) == pytest.approx((low, high), rel=1e-3)
    whole = "integer" in name
    assert all(isinstance(one, int if whole else float) for one in found)
    assert whole or all(one == float(f"{one:.4g}") for one in found[1:-1] if low < one < high)


def test_half_of_a_distribution_lies_below_its_middle():
    assert read({"log_uniform": [1e-4, 1]}).at(0.5) == 0.01, "the geometric mean"
    assert read({"uniform": [2, 4]}).at(0.5) == 3.0
    drawn = [read({"log_uniform": [1e-4, 1]}).at(share) for (share,) in draws.shares(1, 512, 3, "sobol")]
    assert statistics.median(drawn) == pytest.approx(0.01, rel=0.02)


def test_whole_numbers_are_drawn_as_often_as_they_say():
    counts = Counter(read({"integer": [1, 8]}).at(share) for share in SHARES[:-1])
    assert counts == dict.fromkeys(range(1, 9), 512)
    below = sum(read({"log_integer": [1, 99]}).at(share) < 10 for share in SHARES[:-1])
    assert below == 2048, "as many from 1 to 9 as from 10 to 99"


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sobol_sequence_has_one_point_in_each_slice_of_each_axis(seed):
    points = draws.shares(5, 64, seed, "sobol")
    assert all({int(share * 64) for share in axis} == set(range(64)) for axis in zip(*points, strict=True))


def test_what_is_taken_away_is_drawn_again(planned):
    whole = labels(planned(SPACE + sample(200)))
    left = [row for row in whole if float(row[0]) < 0.3 and row[2] == "ours"]
    assert labels(planned(SPACE + CONDITIONS + sample(30))) == left[:30]


def test_two_draws_that_are_the_same_count_once(planned):
    found = labels(planned("space: {train.epochs: {integer: [1, 3]}, train.batch_size: [8, 16]}\n" + sample(6)))
    assert sorted(found) == [(epochs, size) for epochs in "123" for size in ("16", "8")]


def test_each_draw_is_run_with_every_point_of_the_grid(planned):
    text = SPACE + "grid:\n- product: {train.epochs: [1, 2]}\n- points: [{augment: [pad_crop]}]\nrepeats: 2\n"
    plan = planned(text + sample(5))
    found = [(point.labels["train.optimizer.lr"], point.labels["train.epochs"]) for point in plan.studies["s"].points]
    assert len(found) == 5 * 3 * 2 and [lr for lr, _ in found[::6]] == [
        row[0] for row in labels(planned(SPACE + sample(5)))
    ]
    assert plan.studies["s"].axes == (
        "train.optimizer.lr",
        "train.optimizer.weight_decay",
        "model",
        "train.epochs",
        "augment",
    )


def test_the_baseline_is_the_study_without_its_space(planned):
    assert tuple(planned(SPACE + sample(2)).studies["s"].baseline.values()) == ("0.1", "0.0005", "ours")


def test_folds_and_the_smoke_scale_go_with_samples(planned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "trees")
    own = {"dataset": {"name": "folder", "path": "trees"}}
    full = planned(SPACE + sample(3) + "folds: 4\n", **own)
    assert "3 configurations (3 of a space of 3 axes, random, seed 0) × 1 repeat × 4 folds = 12" in full.summary()
    smoke = planned(SPACE + sample(3), scale="smoke", **own)
    assert labels(smoke) == labels(full) and {run.spec.train.epochs for run in smoke.runs["train"].values()} == {1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SPACE + sample(6), "6 configurations (6 of a space of 3 axes, random, seed 0) ×"),
        ("space: {train.epochs: [1, 2]}\n" + sample(2), "2 configurations (2 of a space of 1 axis, random, seed 0) ×"),
        (
            SPACE + CROSSED + sample(3, seed=4),
            "(3 of a space of 3 axes, random, seed 4, each with a grid of 2 points) ×",
        ),
        (GRID + "sample: {points: 7}\n", "7 configurations (7 of a grid of 20 points, seed 0) ×"),
        (GRID, "study s: 20 configurations × 1 repeat"),
    ],
)
def test_the_plan_says_what_it_is_a_part_of(planned, text, said):
    assert said in planned(text).summary()


def test_the_study_of_the_page_is_planned_as_it_says(tmp_path):
    study, said, *_ = re.findall(r"```(?:yaml|text)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "rate.yaml").write_text(study)
    assert said in build(["rate"], tmp_path).summary()


@pytest.mark.parametrize(
    ("wanted", "beside", "first", "most"),
    [(4, 1, 16, 400), (64, 1, 64, 6400), (1000, 1, 1000, 10_000), (5000, 1, 5000, 50_000), (64, 1000, 64, 100)],
)
def test_draws_have_an_end(wanted, beside, first, most):
    assert limits.draws(wanted, beside) == (first, most)


def test_an_override_asks_for_more_points(planned):
    assert labels(planned(SPACE + sample(2), sample={"points": "4"})) == FIRST["random"]


def test_an_override_of_what_is_drawn_says_so(planned):
    (warning,) = planned(SPACE + sample(2), train={"optimizer": {"lr": 0.5}}).studies["s"].warnings
    assert "every point of the space sets train.optimizer.lr; change space" in warning.message


def test_points_that_were_drawn_are_kept_and_not_drawn_again(cache, monkeypatch):
    fewer = draws.shares(3, 5, 0, "sobol")
    more = draws.shares(3, 70, 0, "sobol")
    draws.shares(2, 5, 0, "sobol")
    monkeypatch.setitem(sys.modules, "scipy.stats.qmc", None)
    assert draws.shares(3, 128, 0, "sobol")[:70] == more and more[:5] == fewer
    with pytest.raises(ImportError):
        draws.shares(3, 129, 0, "sobol")


def changed(text):
    table = json.loads(text)
    (entry,) = table.values()
    entry["points"][0][0] += 1
    return json.dumps(table)


@pytest.mark.parametrize(
    "damage", [changed, lambda text: text[:-9], lambda _: "[]", lambda _: '{"3 dimensions, seed 0": 1}']
)
def test_a_damaged_file_of_points_is_drawn_anew(cache, damage):
    found = draws.shares(3, 8, 0, "sobol")
    whole = cache.read_text()
    cache.write_text(damage(whole))
    assert draws.shares(3, 8, 0, "sobol") == found and cache.read_text() == whole


def test_other_points_than_those_that_were_drawn_are_refused(cache, monkeypatch):
    draws.shares(3, 8, 1, "sobol")
    cache.write_text(cache.read_text().replace("seed 1", "seed 0"))
    with pytest.raises(Mistake, match=r"sobol_points\.json: this scipy draws other Sobol points"):
        draws.shares(3, 9, 0, "sobol")
