"""Trainings that end themselves, in a plan: what is asked, what the answer drops, and what a study is then."""

import json
from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.plan.manifest import manifest
from espalier.results.page import status_table
from espalier.results.read import rungs
from espalier.runs import record as records
from espalier.search import trial_file
from espalier.search.trial_file import Look, Question, Trial
from espalier.settings.problems import StudyError
from support.written_studies import planner

STUDY = """title: trials
dataset: digits
model: {name: resnet, blocks: [1], channels: [4]}
train: {epochs: 9}
repeats: 2
grid:
  product:
    train.optimizer.lr: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    prune: {"no": null, "yes": magnitude}
halving: {epochs: [1, 3, 9], keep: 1/3, wait: false}
tables: [summary, halving]
"""
MEDIAN = STUDY.replace(", halving]", "]").replace(
    "halving: {epochs: [1, 3, 9], keep: 1/3, wait: false}", "median_stopping: {first: 2, finished: 3}"
)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return planner(tmp_path, STUDY)


def rate(run):
    return run.spec.train.optimizer.lr


def tried(step, ends):
    """Write the trial of each training: stopped at the epoch that its rate has, diverged at 0, or done."""
    for run, _ in step.needs:
        end = ends.get(rate(run), 9)
        outcome = {0: "diverged", 9: "done"}.get(end, "stopped")
        looks = [Look(epoch, 50.0 + epoch, 3, 50.0, epoch != end) for epoch in (1, 3) if epoch <= end]
        scores = [50.0 + epoch for epoch in range(1, end + 1)]
        told = Trial(records.identifier(Path(run.path)), 9, outcome, scores, looks)
        trial_file.write(trial_file.path(run.name, step.trial_key), told)
    step.write(step.path)


def test_the_first_seed_of_each_configuration_is_asked_for(plan):
    study = plan().studies["s"]
    step = study.pending
    assert [run.spec.seed for run, _ in step.needs] == [0] * 6 and step.key.startswith("trials-")
    assert [path.name for path in step.files()] == [f"{step.trial_key}.json"] * 6
    assert "halving: the best 1/3 by validation go on after epochs 1, 3, compared as they come" in plan().summary()
    asks = "when 6 trainings of s have ended, those that none has stopped go on"
    assert f"  next: {asks}; 0 of 6 have" in status_table.text(json.loads(json.dumps(manifest(study)))).splitlines()
    step.write_question(Path("question"))
    assert Question.read(Path("question")) == Question(
        step.trial_key, step.parameters["rule"], [r.name for r, _ in step.needs]
    )
    with pytest.raises(Mistake, match=r"trial-.*json: there is no such file"):
        step.answer()


def test_what_was_ended_goes_on_no_more_and_is_told_where(plan):
    step = plan().studies["s"].pending
    tried(step, {0.1: 1, 0.2: 1, 0.3: 3, 0.4: 0})
    study = plan().studies["s"]
    assert study.pending is None and sorted({rate(p.runs["train"]) for p in study.kept}) == [0.5, 0.6]
    assert len(study.kept) == 8, "of two seeds, pruned or not"
    stops = rungs.stops(json.loads(json.dumps(manifest(study))))
    ended = {rate(p.runs["train"]): stops.get(p.runs["train"].id) for p in study.points}
    assert {lr: stop and (stop.epochs, stop.of, stop.score) for lr, stop in ended.items()} == {
        **{0.1: (1, 9, 51.0), 0.2: (1, 9, 51.0), 0.3: (3, 9, 53.0), 0.4: (0, 9, None)},
        **{0.5: None, 0.6: None},
    }


def test_more_points_are_compared_with_what_is_there(plan):
    step = plan().studies["s"].pending
    tried(step, {})
    wider = plan(STUDY.replace("0.6]", "0.6, 0.7]")).studies["s"].pending
    assert wider.key != step.key and wider.trial_key == step.trial_key
    assert sum(path.exists() for path in wider.files()) == 6 and len(wider.files()) == 7
    # Another rule compares all of them anew.
    assert plan(STUDY.replace("1/3", "1/2")).studies["s"].pending.trial_key != step.trial_key


def test_by_the_median_only_those_that_end_are_told(plan):
    step = plan(MEDIAN).studies["s"].pending
    assert step.parameters["rule"] == {"name": "median", "first": 2, "every": 1, "finished": 3}
    assert "below the median of those that have finished, 3 at least" in plan(MEDIAN).summary()
    tried(step, {0.2: 3})
    study = plan(MEDIAN).studies["s"]
    (rung,) = manifest(study)["rungs"]
    assert (rung["epochs"], rung["of"], len(rung["candidates"])) == (3, 9, 1) and len(study.kept) == 20


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("first: 2", "first: 9", "median_stopping.first: 9 is no epoch before the last one, 9"),
        ("finished: 3", "finished: 6", "median_stopping.finished: of 6 configurations none is left when 6"),
        ("median_stopping:", "halving: {epochs: [1, 9]}\nmedian_stopping:", "halving ends trainings too; keep one"),
        ("first: 2", "fisrt: 2", "unknown"),
        ("finished: 3", "finished: 0", "found 0, expected a number of at least 1"),
    ],
)
def test_a_median_that_stops_nothing_is_a_mistake(plan, old, new, message):
    with pytest.raises(StudyError) as told:
        plan(MEDIAN.replace(old, new))
    assert message in str(told.value)
