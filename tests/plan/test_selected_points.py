"""Blocks that start from the best of others: what is asked, what is answered, and the points that there are then."""

import json
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.plan.build import build
from espalier.plan.manifest import manifest
from espalier.results.page.selections import selections
from espalier.results.read import tidy
from espalier.search import chance
from support import ended_runs
from support.rungs_on_disk import pause
from support.written_studies import planner

BASE = "title: t\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\ntrain: {epochs: 4}\nrepeats: 2\n"
STUDY = (
    BASE
    + """grid:
  - product: {train.optimizer.lr: [0.01, 0.1, 0.3]}
  - select: {best: 1}
    product: {prune: [magnitude], prune.ratio: [0.5, 0.7]}
"""
)
OTHER = (
    BASE
    + """grid:
  - select: {study: s, best: 2}
    product: {train.epochs: [8]}
"""
)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return planner(tmp_path, STUDY)


def settle(plan, score, name="s", text=STUDY):
    return ended_runs.settle(lambda: plan(text, name).studies[name], lambda run: {"validation_top1": score(run)})


def rate(run):
    while run.stage != "train":
        run = run.parent
    return run.spec.train.optimizer.lr


def by_rate(run):
    return 50 + 100 * rate(run) + run.spec.seed


def test_it_waits_for_the_blocks_before_and_knows_its_axes(plan):
    study = plan().studies["s"]
    assert study.axes == ("train.optimizer.lr", "prune", "prune.ratio")
    assert len(study.points) == 6 and study.pending.key.startswith("best-")
    asks = "when 6 runs have ended, the best 1 of 3 configurations of s by validation_top1, a mean over seeds"
    assert f"planned so far; {asks}" in plan().summary()
    assert [path.name for path in study.pending.files()] == ["run.json"] * 6


def test_points_follow_from_the_best_by_validation(plan):
    study = settle(plan, by_rate)
    follow = [point for point in study.points if "prune" in point.runs]
    assert {rate(point.runs["train"]) for point in follow} == {0.3} and len(follow) == 4
    assert len(study.points) == 10
    (told,) = selections(json.loads(json.dumps(manifest(study))))
    assert told.chosen == [("0.3", 80.5)] and (told.among, told.of) == (3, "s")
    assert told.optimism == pytest.approx(chance.highest(3) * 0.5**0.5 / 2**0.5)
    assert "Selected of 3 configurations of s by validation top1: 0.3 (80.50)." in told.text()
    assert tidy.runs(json.loads(json.dumps(manifest(study))))["configuration"].nunique() == 5


def test_the_mean_of_seeds_chooses_and_the_test_split_has_no_say(plan):
    lucky = settle(plan, lambda run: 99 if (rate(run), run.spec.seed) == (0.01, 0) else 60 + 20 * (rate(run) == 0.1))
    assert {rate(point.runs["train"]) for point in lucky.points if "prune" in point.runs} == {0.1}


def test_another_study_gives_what_it_found_on_its_axes(plan):
    plan()
    open_ = plan(OTHER, "o").studies["o"]
    # Its own question is the other's, which has one open.
    assert open_.pending.study == "s" and open_.points == ()
    settle(plan, by_rate)
    study = settle(plan, by_rate, "o", OTHER)
    found = {(rate(point.runs["train"]), point.runs["train"].spec.train.epochs) for point in study.points}
    assert found == {(0.3, 8)} and "prune" in study.points[-1].runs, "the two best of s are of one rate, one pruned"
    assert study.answers[-1]["asked"]["of"] == "s" and study.axes[0] == "train.optimizer.lr"


def test_a_plan_has_the_runs_that_it_asks_of(plan):
    plan()
    settle(plan, by_rate)
    asked = plan(OTHER, "o")
    names = {name for runs in asked.runs.values() for name in runs}
    assert {run.name for run, _ in asked.studies["o"].pending.needs} <= names
    assert asked.runs["prepare"], "and what these read"


def test_a_second_block_selects_among_all_before_it(plan):
    text = STUDY + "  - select: {best: 1}\n    product: {train.epochs: [8]}\ntables: [pruning]\n"
    assert plan(text).studies["s"].pending, "and a table of points that are still to come is no mistake"
    study = settle(plan, by_rate, text=text)
    assert len(list(Path("results/studies/s/answers").glob("best-*.json"))) == 2
    assert {point.runs["train"].spec.train.epochs for point in study.points} == {4, 8}


def test_what_follows_from_the_best_has_no_rungs(plan):
    text = (
        BASE
        + """halving: {epochs: [1, 4], keep: 1/3}
grid:
  - product: {train.optimizer.lr: [0.01, 0.1, 0.3]}
  - select: {best: 1}
    product: {train.epochs: [8]}
"""
    )
    assert len(plan(text).studies["s"].pending.needs) == 6
    pause(plan(text).studies["s"], lambda name, epochs: 50.0)
    plan(text).studies["s"].pending.write(plan(text).studies["s"].pending.path)
    study = settle(plan, by_rate, text=text)
    assert {point.runs["train"].spec.train.epochs for point in study.kept} == {4, 8} and len(study.answers) == 2


def test_a_smoke_run_takes_the_first(plan):
    study = plan(STUDY, scale="smoke").studies["s-smoke"]
    assert study.pending is None and any("prune" in point.runs for point in study.points)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("[{select: {}}]", "grid.0.select: there is no block before this one; name a study, or put one there"),
        ("[{product: {model: [lenet]}}, {select: {best: 2}}]", "grid.1.select: 2 are asked for, and there are 1"),
        ("[{product: {model: [lenet, mlp]}}, {select: {}}, {}]", "grid.2: stands behind one that selects"),
        ("[{product: {model: [lenet]}}, {select: {}}]\nsample: {points: 1}", "grid.1.select: would be drawn over"),
        (
            "[{select: {study: s}}]\nspace: {train.optimizer.lr: {uniform: [0.1, 1]}}\nsample: {points: 1}",
            "grid.0.select: would be drawn over; put it into a study of its own",
        ),
        ("[{select: {study: nothing}}]", "unknown study 'nothing'"),
        ("[{select: {study: s}}]", "studies start from one another: s → s"),
        ("[{product: {model: [lenet]}}, {select: {by: test_top1}}]", "grid.1.select.by: found 'test_top1'"),
        ("[{product: {model: [lenet]}}, {select: {best: 0}}]", "grid.1.select.best: found 0"),
    ],
)
def test_what_cannot_be_selected_is_told(plan, grid, said):
    with pytest.raises(Mistake) as caught:
        plan(BASE + f"grid: {grid}\n")
    assert said in str(caught.value)


def test_a_circle_of_selections_is_told(plan):
    (Path("a.yaml")).write_text(BASE + "grid: [{select: {study: b}}]\n")
    (Path("b.yaml")).write_text(BASE + "grid: [{select: {study: a}}]\n")
    with pytest.raises(Mistake, match="studies start from one another: a → b → a"):
        build(["a"], Path())


@pytest.mark.parametrize(("count", "expected"), [(1, 0.0), (2, 0.5642), (10, 1.5388), (100, 2.5076)])
def test_the_expected_highest_of_equals(count, expected):
    assert chance.highest(count) == pytest.approx(expected, abs=1e-4)


def test_without_two_seeds_nothing_is_said_of_chance():
    assert chance.optimism([[1.0], [2.0]]) is None
    assert chance.optimism([[1.0, 3.0], [2.0, 4.0]]) == pytest.approx(0.5642, abs=1e-4)
