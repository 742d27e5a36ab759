"""A training that is compared with others while it runs: ended or not, it tells the same when it is asked again."""

from pathlib import Path

import pytest

from espalier.errors import Mistake
from espalier.runs import record
from espalier.search import trial_file
from espalier.search.trial_file import Question, Trial
from espalier.stages.frame.trial import TrialStop
from support.digits_runs import made

WORDS = ["model={name: mlp, hidden: [16]}", "train.batch_size=64", "train.epochs=5", "train.optimizer.lr=0.05"]
RULE = {"name": "asynchronous halving", "epochs": [1, 3], "keep": "1/2"}
OWN, OTHER, THIRD = "net-00000000a1", "net-00000000a2", "net-00000000a3"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(rule=RULE, candidates=(OWN, OTHER, THIRD)):
    Question("trial-0123456789", rule, list(candidates)).write(Path("question"))


def others(*scores, outcome="running", name=OTHER, looks=()):
    file = trial_file.path(name, "trial-0123456789")
    trial = Trial(record.identifier(file.parent), 5, outcome, scores, looks)
    trial_file.write(trial_file.under_way(file) if outcome == "running" else file, trial)


def against(select="top1", epochs=5):
    return TrialStop(trial_file.path(OWN, "trial-0123456789"), Path("question"), OWN, select, epochs)


def told():
    return trial_file.read(trial_file.path(OWN, "trial-0123456789"))


def test_a_better_one_ends_a_training_whose_state_is_kept(digits, here):
    ask()
    others(99.0, 99.0, 99.0)
    run = made(here / OWN, digits, *WORDS, pausing=against())
    assert not (run / "run.json").exists() and (run / "checkpoint/latest.safetensors").exists()
    found = told()
    assert (found.outcome, found.ended_at, len(found.scores)) == ("stopped", 1, 1)
    assert [(look.epoch, look.among, look.bar, look.goes_on) for look in found.looks] == [(1, 2, 99.0, False)]
    # Whole in another study, it is as one that nothing has ended; asked again it tells the same.
    made(run, digits, *WORDS)
    assert record.read(run).outcome == "done"
    made(run, digits, *WORDS, pausing=against())
    assert told().looks == found.looks and told().outcome == "stopped"


def test_a_training_that_goes_on_is_the_same_as_one_alone(digits, here):
    ask()
    others(1.0, 1.0, 1.0)
    # Stopped after its first decision, when a better one comes there too.
    run = made(here / OWN, digits, *WORDS, pausing=against(), stop=30)
    decided = trial_file.read(trial_file.under_way(trial_file.path(OWN, "trial-0123456789")))
    assert [look.goes_on for look in decided.looks] == [True] and decided.outcome == "running"
    others(99.0, name=THIRD)
    made(run, digits, *WORDS, pausing=against())
    assert [(look.epoch, look.goes_on) for look in told().looks] == [(1, True), (3, True)]
    assert told().outcome == "done" and told().score == max(told().scores)
    assert not trial_file.under_way(trial_file.path(OWN, "trial-0123456789")).exists()
    alone = made(here / "net-00000000b1", digits, *WORDS)
    assert (run / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


def test_one_that_is_complete_is_compared_without_a_step(digits, here):
    run = made(here / OWN, digits, *WORDS)
    ask({"name": "median", "first": 2, "every": 2, "finished": 1})
    others(0.5, 0.6, 0.7, 99.0, 99.5, outcome="done")
    made(run, digits, *WORDS, pausing=against(), stop=1)
    assert [(look.epoch, look.goes_on) for look in told().looks] == [(2, True), (4, False)]
    assert (told().outcome, told().ended_at) == ("stopped", 4)


def test_one_that_diverges_is_told_as_such(digits, here):
    ask()
    words = [*WORDS[:3], "train.optimizer.lr=1e30"]
    made(here / OWN, digits, *words, pausing=against())
    assert (told().outcome, told().score, told().looks) == ("diverged", None, [])


def test_a_loss_is_the_better_the_lower(here):
    ask()
    others(-0.5)
    own = against("loss")
    assert "its best validation loss is 0.9, and 0.5 is asked for, among 2" in own.reason([{"validation_loss": 0.9}])
    ask()
    trial_file.under_way(trial_file.path(OWN, "trial-0123456789")).unlink()
    assert against("loss").reason([{"validation_loss": 0.4}]) == ""


def test_what_is_damaged_of_others_counts_as_not_there(here, caplog):
    ask()
    others(99.0)
    file = trial_file.under_way(trial_file.path(OTHER, "trial-0123456789"))
    file.write_text(file.read_text()[:40])
    assert against().reason([{"validation_top1": 1.0, "validation_loss": 1.0}]) == ""
    ask(candidates=[OTHER])
    with pytest.raises(Mistake, match=f"question: {OWN} is none of the trainings that are compared"):
        against()
