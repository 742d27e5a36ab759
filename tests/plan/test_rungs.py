"""Rungs in a plan: what is asked, what is answered, and what a study is then."""

import json
from pathlib import Path

import pytest

from espalier.errors import ArtifactError, Mistake
from espalier.plan import manifest as manifests
from espalier.plan.best_chain import unended
from espalier.plan.manifest import manifest
from espalier.results.page import status_table
from espalier.results.read import tidy
from espalier.results.study_folder import make
from espalier.search import rung_file
from support.made_results import made
from support.rungs_on_disk import pause, settle
from support.written_studies import planner

STUDY = """title: rungs
dataset: digits
model: {name: resnet, blocks: [1], channels: [4]}
train: {epochs: 9}
repeats: 2
grid:
  product:
    train.optimizer.lr: [0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    prune: {"no": null, "yes": magnitude}
halving: {epochs: [1, 3, 9], keep: 1/3}
tables: [summary, halving]
figures: [halving]
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return planner(tmp_path, STUDY)


def by_rate(plan):
    """A score that rises with the learning rate, whichever the seed."""
    rates = {
        point.runs["train"].name: point.runs["train"].spec.train.optimizer.lr for point in plan().studies["s"].points
    }
    return lambda name, epochs: 50 + 40 * rates[name] + epochs


def rates(points):
    return sorted({point.runs["train"].spec.train.optimizer.lr for point in points})


def test_a_rung_asks_each_training_once(plan):
    study = plan().studies["s"]
    step = study.pending
    # 9 rates of 2 seeds; pruned or not, the training is one.
    assert len(step.needs) == 18 and {epochs for _, epochs in step.needs} == {1}
    halving = "halving: configurations 9 to epoch 1, 3 to epoch 3, 1 to epoch 9, the best by validation"
    assert f"{halving}, the mean of 2 seeds" in plan().summary() and "plan: at most " in plan().summary()
    asks = "when 18 trainings of s have reached epoch 1, the best 3 of 9 configurations go on"
    assert f"planned so far; {asks}" in plan().summary()
    assert f"  next: {asks}; 0 of 18 have" in status_table.text(json.loads(json.dumps(manifest(study)))).splitlines()
    assert step.key.startswith("rung-1-") and not step.path.exists() and study.kept == study.points


def test_the_best_third_goes_on_from_rung_to_rung(plan):
    study = settle(plan, "s", by_rate(plan))
    assert rates(study.kept) == [0.7] and len(study.kept) == 4 and len(study.points) == 36
    first, second = study.answers
    assert sum(each["kept"] for each in first["candidates"]) == 3
    assert len(second["candidates"]) == 3 and sum(each["kept"] for each in second["candidates"]) == 1


def test_planned_again_it_asks_nothing_anew(plan):
    settle(plan, "s", by_rate(plan))
    answers = sorted(Path("results/studies/s/answers").glob("*.json"))
    assert len(answers) == 2
    study = plan().studies["s"]
    assert study.pending is None and len(study.answers) == 2


def test_new_points_ask_anew_and_what_was_paused_stands(plan):
    settle(plan, "s", by_rate(plan))
    wider = STUDY.replace("0.7]", "0.7, 0.9]")
    study = plan(wider).studies["s"]
    missing = [run.name for run, epochs in study.pending.needs if not rung_file.path(run.name, epochs).exists()]
    assert study.pending.name == "rung-1" and len(study.pending.needs) == 20 and len(missing) == 2
    # The answers of before are there for the study of before.
    assert plan(STUDY).studies["s"].pending is None


@pytest.mark.parametrize(
    "change", [("keep: 1/3", "keep: 2/3"), ("[1, 3, 9]", "[2, 3, 9]"), ("repeats: 2", "repeats: 1")]
)
def test_another_question_finds_no_answer_of_this_one(plan, change):
    settle(plan, "s", by_rate(plan))
    assert plan(STUDY.replace(*change)).studies["s"].pending.name.startswith("rung-")


def test_a_seed_that_diverges_takes_its_configuration_with_it(plan):
    score = by_rate(plan)
    worst = next(
        p.runs["train"].name for p in plan().studies["s"].points if p.runs["train"].spec.train.optimizer.lr == 0.7
    )
    study = settle(plan, "s", lambda name, epochs: None if name == worst else score(name, epochs))
    assert rates(study.kept) == [0.6]


def test_a_damaged_answer_or_rung_is_told_with_its_file(plan):
    study = plan().studies["s"]
    with pytest.raises(Mistake, match=r"results/rungs/.*1\.json: there is no such file"):
        study.pending.answer()
    pause(study, by_rate(plan))
    study.pending.write(study.pending.path)
    text = study.pending.path.read_text()
    study.pending.path.write_text(text.replace('"kept": false', '"kept": true', 1))
    with pytest.raises(ArtifactError, match=r"answers/rung-1-.*json: is no answer to what s asks; remove it"):
        plan()


def test_what_is_stopped_is_told_and_is_in_no_mean(plan):
    study = settle(plan, "s", by_rate(plan))
    told_ = json.loads(json.dumps(manifest(study)))
    frame = tidy.runs(told_)
    assert frame["state"].value_counts()["stopped"] == 32 and (frame["state"] == "waiting").sum() == 4
    stopped = frame[frame["state"] == "stopped"]
    assert set(stopped["stopped_at"]) == {1, 3} and stopped["validation_top1"].isna().all()
    assert "stopped" in status_table.text(told_).splitlines()[0]
    folder = Path("results/studies/s")
    manifests.write(folder / "plan.json", told_)
    _, failures = make(folder, folder / "plan.json")
    assert not failures
    page = (folder / "index.html").read_text()
    assert "stopped at 1 of 9" in page and "stopped at 3 of 9" in page
    assert "Stopped after" in (folder / "tables/halving.md").read_text()
    (panel,) = made("figure", "halving", told_).axes
    ends = [len(line.get_xdata()) for line in panel.lines if line.get_gid() == "configuration"]
    # Of 9 rates, pruned or not: 6 end at the first rung, 2 at the second, and the last has not ended.
    assert sorted(ends) == [1] * 12 + [2] * 6


def test_the_runs_that_are_left_are_those_of_the_kept(plan):
    study = settle(plan, "s", by_rate(plan))
    assert unended(study) == len({run for point in study.kept for run in point.all_runs if run.parent})


def test_a_smoke_run_has_no_rungs(plan):
    study = plan(scale="smoke").studies["s-smoke"]
    assert study.pending is None and study.study.halving is None


@pytest.mark.parametrize(
    ("halving", "said"),
    [
        ("{epochs: [3, 1, 9]}", "halving.epochs: rungs rise, and 3, 1, 9 do not"),
        ("{epochs: [1, 3]}", "halving.epochs: the last rung is the whole training: 3 is not train.epochs 9"),
        ("{epochs: [9]}", "halving.epochs: found [9], expected at least 2"),
        ("{epochs: [1, 9], keep: 1/10}", "halving.keep: of 9 configurations none goes on after epoch 1; keep more"),
        (
            "{epochs: [1, 2, 3, 9], keep: 0.3}",
            "halving.keep: of 9 configurations none goes on after epoch 2; keep more",
        ),
        ("{epochs: [1, 9], keep: 1}", "halving.keep: found 1, expected a fraction between 0 and 1"),
        ("{epochs: [1, 9], keep: third}", "halving.keep: found 'third', expected a fraction as 1/3 or 0.33"),
        ("{epochs: [1, 9], kept: 1/3}", "halving.kept: unknown key 'kept'"),
    ],
)
def test_rungs_that_do_not_fit_are_told_with_their_line(plan, halving, said):
    with pytest.raises(Mistake) as caught:
        plan(STUDY.replace("{epochs: [1, 3, 9], keep: 1/3}", halving))
    assert f"s.yaml:10: {said}" in str(caught.value)


def test_early_stopping_before_the_first_rung_and_tables_without_rungs_are_told(plan):
    with pytest.raises(Mistake, match="early stopping with patience 2 may end a training before the first rung at 3"):
        plan(STUDY.replace("epochs: 9}", "epochs: 9, early_stopping: {patience: 2}}").replace("[1, 3, 9]", "[3, 9]"))
    with pytest.raises(Mistake, match="halving shows rungs, and the study has none; set halving"):
        plan(STUDY.replace("halving: {", "# halving: {"))
