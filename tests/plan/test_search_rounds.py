"""Searches in rounds: what is asked of a model, what it answers, and the points that a study has then."""

import json
import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from espalier.errors import Mistake
from espalier.plan import manifest as manifests
from espalier.plan.manifest import manifest
from espalier.results.page import search_rounds, status_table
from espalier.results.page.leaderboard import leaderboard
from espalier.results.read import tidy
from espalier.results.study_folder import make
from support import ended_runs
from support.written_studies import planner

BASE = "title: t\ndataset: digits\nmodel: {name: resnet, blocks: [1], channels: [4]}\ntrain: {epochs: 4}\n"
SPACE = """space:
  train.optimizer.lr: {log_uniform: [1e-4, 10]}
  train.batch_size: {integer: [8, 64]}
"""
STUDY = BASE + SPACE + "repeats: 2\nsample: {points: 4, rounds: 3, method: tpe}\n"
SMALL = BASE + "space: {train.batch_size: [8, 16, 24, 32, 40, 48]}\nsample: {points: 2, rounds: 3, method: tpe}\n"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return planner(tmp_path, STUDY)


def settle(plan, text=STUDY, measured=None):
    return ended_runs.settle(lambda: plan(text).studies["s"], measured or by_rate)


def by_rate(run):
    """Best at a rate of 0.1."""
    away = math.log10(run.spec.train.optimizer.lr) + 1
    return {"validation_top1": 90 - 10 * away**2, "validation_loss": 0.1 + away**2}


def drawn(study):
    """The labels of every configuration, in the order of the plan."""
    return list(dict.fromkeys(tuple(point.labels.values()) for point in study.points))


def test_the_first_round_is_drawn_and_the_plan_says_what_it_waits_for(plan):
    summary, study = plan().summary(), plan().studies["s"]
    assert drawn(study) == drawn(plan(STUDY.replace(", rounds: 3, method: tpe", "")).studies["s"])
    assert "4 configurations (4 of 12 of a space of 2 axes, tpe, round 1 of 3, seed 0)" in summary
    asks = "when 8 runs of s have ended, tpe is asked for the 4 points of round 2"
    assert f"  planned so far; {asks}" in summary
    assert f"  next: {asks}; 0 of 8 have" in status_table.text(json.loads(json.dumps(manifest(study)))).splitlines()
    assert {path.parts[2] for path in study.pending.files()} == {"train"}


def test_a_plan_imports_no_model(plan, monkeypatch):
    settle(plan)
    for library in ("optuna", "scipy", "torch"):
        monkeypatch.setitem(sys.modules, library, None)
    assert len(drawn(plan().studies["s"])) == 12
    assert plan(STUDY.replace("rounds: 3", "rounds: 4")).studies["s"].pending.name == "round-4"


def test_later_rounds_lie_where_the_earlier_were_good_and_nothing_is_asked_anew(plan):
    study = settle(plan)
    assert len(list(Path("results/studies/s/answers").glob("round-*.json"))) == 2
    assert len(set(drawn(study))) == 12 and len(study.points) == 24
    assert list(study.rounds.values()) == [1] * 4 + [2] * 4 + [3] * 4
    assert plan().studies["s"].pending is None and drawn(plan().studies["s"]) == drawn(study)
    assert "12 of 12 of a space of 2 axes, tpe, round 3 of 3, seed 0" in plan().summary()


def test_a_round_more_keeps_the_rounds_before(plan):
    before = drawn(settle(plan))
    study = plan(STUDY.replace("rounds: 3", "rounds: 4")).studies["s"]
    assert study.pending.name == "round-4" and drawn(study) == before
    more = settle(plan, STUDY.replace("rounds: 3", "rounds: 4"))
    assert drawn(more)[:12] == before and len(drawn(more)) == 16


def test_the_same_results_ask_for_the_same_points_and_others_for_others(plan, tmp_path, monkeypatch):
    found = {}
    for name, text, measured in (
        ("one", STUDY, by_rate),
        ("again", STUDY, by_rate),
        ("other results", STUDY, lambda run: {"validation_top1": 100 - by_rate(run)["validation_top1"]}),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found[name] = drawn(settle(plan, text, measured))
    assert found["one"] == found["again"] and found["one"][:4] == found["other results"][:4]
    assert found["one"] != found["other results"]


@pytest.mark.parametrize(
    "change",
    [
        ("method: tpe", "method: tpe, seed: 1"),
        ("method: tpe", "method: gp"),
        ("points: 4", "points: 5"),
        ("[1e-4, 10]", "[1e-4, 1]"),
        ("repeats: 2", "repeats: 3"),
        ("epochs: 4", "epochs: 5"),
        ("sample:", "constraints: [train.batch_size < 1000]\nsample:"),
        ("sample:", "grid: {exclude: [{train.batch_size: 8}]}\nsample:"),
    ],
)
def test_another_question_finds_no_answer_of_this_one(plan, change):
    settle(plan)
    assert plan(STUDY.replace(*change)).studies["s"].pending.name == "round-2"


@pytest.mark.parametrize(
    ("around", "allowed"),
    [
        ("constraints: [train.batch_size < 20]\n", lambda run: run.spec.train.batch_size < 20),
        (
            "grid: {when: [{if: {model: resnet}, then: {train.batch_size: [8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}}]}\n",
            lambda run: run.spec.train.batch_size < 18,
        ),
    ],
)
def test_proposals_that_conditions_take_away_are_replaced(plan, around, allowed):
    study = settle(plan, STUDY.replace("repeats: 2\n", around))
    assert len(drawn(study)) == 12 and all(allowed(point.runs["train"]) for point in study.points)


def test_a_space_is_used_up_to_its_last_point(plan):
    study = settle(plan, SMALL, lambda run: {"validation_top1": run.spec.train.batch_size})
    assert sorted(drawn(study)) == [("16",), ("24",), ("32",), ("40",), ("48",), ("8",)]


def test_proposals_that_name_no_new_point_are_replaced_by_drawn_ones(plan):
    step = plan(SMALL).studies["s"].pending
    same = step.parameters["draws"][0]["draw"]
    answer = step.choose(same for _ in iter(int, 1))
    assert answer["asks"] == 20 and answer["proposed"] == 0 and len(answer["drawn"]) == 2


def test_a_space_with_too_few_points_is_told_before_the_first_training(plan):
    with pytest.raises(Mistake) as caught:
        plan(SMALL.replace("rounds: 3", "rounds: 4"))
    assert "s.yaml:6: sample.points: 8 are asked for, and 800 draws of the space leave 6; ask for fewer" in str(
        caught.value
    )


def scores(step):
    """What each draw is told to be worth."""
    return json.loads(step.path.read_text())["means"]


def answered(plan, text, measured):
    step = plan(text).studies["s"].pending
    for run, _ in step.needs:
        ended_runs.end(run, **measured(run))
    step.write(step.path)
    return step


def test_a_draw_is_worth_the_mean_of_its_configurations_and_seeds(plan):
    text = STUDY.replace(
        "repeats: 2", "repeats: 2\ngrid: {product: {augment: [[], [pad_crop]], prune: [null, magnitude]}}"
    )
    step = answered(plan, text, lambda run: {"validation_top1": 50 + 10 * run.spec.seed + 4 * (run.stage == "prune")})
    assert [len(each["runs"]) for each in step.parameters["draws"]] == [8] * 4
    assert scores(step) == [57.0] * 4, "of two seeds, pruned and not"


def test_a_search_in_what_follows_training_is_by_the_end_of_the_chain(plan):
    text = (
        BASE
        + "prune: magnitude\nspace: {prune.ratio: {uniform: [0.1, 0.9]}}\nsample: {points: 2, rounds: 2, method: tpe}"
    )
    step = answered(plan, text + "\n", lambda run: {"validation_top1": 90 - 20 * run.spec.prune.ratio})
    assert {run.stage for run, _ in step.needs} == {"prune"} and len(set(scores(step))) == 2


def test_a_draw_that_diverged_has_no_score_and_a_loss_is_the_better_the_less(plan):
    text = STUDY.replace("epochs: 4", "epochs: 4, select: loss")
    worst = max(run.spec.train.optimizer.lr for run, _ in plan(text).studies["s"].pending.needs)
    step = answered(plan, text, lambda run: by_rate(run) if run.spec.train.optimizer.lr < worst else {})
    found = dict(
        zip([each["draw"]["train.optimizer.lr"] for each in step.parameters["draws"]], scores(step), strict=True)
    )
    assert found.pop(worst) is None and step.parameters["by"] == "validation_loss"
    assert found == {lr: pytest.approx(-0.1 - (math.log10(lr) + 1) ** 2) for lr in found}


def test_a_smoke_run_draws_all_its_points(plan):
    planned = plan(scale="smoke")
    study = planned.studies["s-smoke"]
    assert study.pending is None and len(drawn(study)) == 12
    assert "12 of a space of 2 axes, sobol in place of tpe, seed 0" in planned.summary()


def test_results_tell_the_round(plan):
    settle(plan)
    for point in plan().studies["s"].points:
        ended_runs.end(point.runs["train"], **by_rate(point.runs["train"]))
    content = json.loads(json.dumps(manifest(plan().studies["s"])))
    frame = tidy.runs(content)
    assert frame["round"].tolist() == [1] * 8 + [2] * 8 + [3] * 8
    board = leaderboard(frame, content)
    (place,) = [place for place, column in enumerate(board.columns) if column.head == "Round"]
    assert sorted(row.cells[place].text for row in board.rows) == ["1"] * 4 + ["2"] * 4 + ["3"] * 4
    folder = Path("results/studies/s")
    manifests.write(folder / "plan.json", content)
    _, failures = make(folder, folder / "plan.json")
    best = frame.groupby("round")["validation_top1"].max()
    text = (
        "A search in 3 rounds: 4 points drawn by Sobol, then 4 more a round, asked of tpe by the validation top1 of all"
    )
    assert not failures
    page = (folder / "index.html").read_text()
    assert text in page and ", ".join(f"{value:.2f}" for value in best) in page


def test_of_losses_the_least_is_the_best_of_a_round():
    losses = {
        "round": [1, 1, 1, 2, 2],
        "configuration": [0, 0, 1, 2, 3],
        "validation_loss": [0.2, 0.3, 0.4, None, 0.12345],
    }
    search = {"method": "tpe", "points": 2, "of": 2, "by": "validation_loss"}
    (text,) = search_rounds.lines(pd.DataFrame(losses), {"rounds": search})
    assert text.endswith(
        "by the validation loss of all before. The best configuration of each round so far: 0.2500, 0.1235."
    )
    assert search_rounds.lines(pd.DataFrame(losses), {}) == []


def test_who_builds_on_a_search_waits_for_its_rounds(plan):
    plan()
    study = plan(BASE + "grid: [{select: {study: s, best: 6}}]\n", "o").studies["o"]
    assert study.pending.key == plan().studies["s"].pending.key, "six of four are no mistake while more are to come"
    with pytest.raises(Mistake, match="the study 's' has points still to come, so that its best is not known"):
        plan(BASE + "checkpoint: {study: s, best: true}\n", "o")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STUDY.replace("rounds: 3, ", ""), "9: sample.rounds: tpe learns from the rounds before; say how many"),
        (
            STUDY.replace("method: tpe", "method: sobol"),
            "9: sample.rounds: sobol draws all points at once; leave rounds",
        ),
        (STUDY.replace("points: 4", "points: 0"), "9: sample.points: found 0"),
        (STUDY.replace("rounds: 3", "rounds: 0"), "9: sample.rounds: found 0"),
        (STUDY.replace("tpe", "tree"), "9: sample.method: found 'tree'"),
        (
            BASE + "grid: {product: {train.batch_size: [8, 16]}}\nsample: {points: 1, rounds: 2, method: tpe}\n",
            "6: sample.method: needs a space",
        ),
        (STUDY + "halving: {epochs: [1, 4]}\n", "10: halving: what it ends is no result that tpe could learn from"),
        (STUDY + "median_stopping: {}\n", "10: median_stopping: what it ends is no result that tpe could learn from"),
        (STUDY + "grid: [{}, {select: {}}]\n", "10: grid.1.select: would be drawn over"),
        (
            STUDY + "grid: {product: {train.select: [top1, loss]}}\n",
            "9: sample: points are compared by train.select, which must be one for all",
        ),
        (STUDY.replace("rounds: 3", "rounds: 30000"), "9: sample: 120,000 points × 2 repeats are more than"),
    ],
)
def test_rounds_that_have_no_clear_meaning_are_told_with_their_line(plan, text, said):
    with pytest.raises(Mistake) as caught:
        plan(text)
    assert f"s.yaml:{said}" in str(caught.value)
