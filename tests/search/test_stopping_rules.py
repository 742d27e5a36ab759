"""Whom a training is compared with while it runs, and when that ends it."""

from fractions import Fraction

import pytest

from espalier.errors import Mistake
from espalier.runs import seal
from espalier.search import stopping_rules, trial_file
from espalier.search.stopping_rules import AsynchronousHalving, Median
from espalier.search.trial_file import Look, Question, Trial


def trial(*scores, outcome="running", looks=()):
    return Trial("00000000a1", 9, outcome, scores, looks)


HALF = AsynchronousHalving((1, 3), Fraction(1, 2))
THIRD = AsynchronousHalving((1, 3), Fraction(1, 3))


@pytest.mark.parametrize(
    ("rule", "own", "others", "told"),
    [
        (HALF, 50.0, [None, None], (1, 50.0, True)),
        (HALF, 50.0, [trial(40.0), None], (2, 50.0, True)),
        (HALF, 50.0, [trial(60.0), None], (2, 60.0, False)),
        (HALF, 50.0, [trial(60.0), trial(40.0), trial(30.0)], (4, 50.0, True)),
        # One in three goes on, and of two the best.
        (THIRD, 50.0, [trial(60.0), trial(40.0)], (3, 60.0, False)),
        (THIRD, 50.0, [trial(60.0)], (2, 60.0, False)),
        # Of equals the earlier one of the study goes on: this one stands first.
        (HALF, 50.0, [trial(50.0)], (2, 50.0, True)),
        # One that diverged was compared and lost; one that ended early is what it was at its end.
        (HALF, 50.0, [trial(outcome="diverged")], (2, 50.0, True)),
        (HALF, 50.0, [trial(outcome="not run"), trial(60.0), trial(70.0)], (4, 60.0, False)),
    ],
)
def test_at_a_rung_the_best_of_those_that_have_come_go_on(rule, own, others, told):
    look = rule.look(1, 0, [trial(own), *others])
    assert look == Look(1, own, told[0], told[1], told[2])


def test_of_equals_the_later_one_of_the_study_is_ended():
    assert not HALF.look(1, 1, [trial(50.0), trial(50.0)]).goes_on


def test_at_a_later_rung_only_those_that_came_there_count():
    others = [trial(60.0, outcome="stopped", looks=[Look(1, 60.0, 2, 70.0, False)]), trial(40.0, 55.0, 58.0)]
    assert HALF.look(3, 0, [trial(50.0, 52.0, 57.0), *others]) == Look(3, 57.0, 2, 58.0, False)
    early = trial(58.0, 59.0, outcome="done")
    assert HALF.look(3, 0, [trial(50.0, 52.0, 57.0), early]) == Look(3, 57.0, 2, 59.0, False)


@pytest.mark.parametrize(
    ("own", "others", "told"),
    [
        ((10.0, 20.0), [trial(50.0, 60.0, outcome="done")], (2, None, True)),
        ((10.0, 20.0), [trial(5.0, 19.0, outcome="done"), trial(5.0, 25.0, outcome="done")], (3, 22.0, False)),
        ((10.0, 22.0), [trial(5.0, 19.0, outcome="done"), trial(5.0, 25.0, outcome="done")], (3, 22.0, True)),
        # Those that run, were stopped or diverged have not finished.
        (
            (10.0, 20.0),
            [trial(50.0, 60.0), trial(50.0, 60.0, outcome="stopped"), trial(50.0, outcome="diverged")],
            (1, None, True),
        ),
    ],
)
def test_below_the_median_of_those_that_finished_a_training_ends(own, others, told):
    assert Median(1, 1, 2).look(2, 0, [trial(*own), *others]) == Look(2, own[1], *told)


def test_when_trainings_are_compared():
    assert HALF.due(9) == [1, 3] and HALF.due(3) == [1]
    assert Median(2, 3, 5).due(9) == [2, 5, 8] and Median(9, 1, 5).due(9) == []
    asked = {"name": "asynchronous halving", "epochs": [1, 3], "keep": "1/3"}
    assert stopping_rules.of(asked) == THIRD
    assert stopping_rules.of({"name": "median", "first": 2, "every": 3, "finished": 5}) == Median(2, 3, 5)


def test_a_trial_and_a_question_are_read_as_they_were_written_or_refused(tmp_path):
    file, told = tmp_path / "t.json", trial(1.0, 2.5, outcome="stopped", looks=[Look(2, 2.5, 3, None, False)])
    trial_file.write(file, told)
    found = trial_file.read(file)
    assert (found.scores, found.looks, found.score, found.ended_at) == ([1.0, 2.5], list(told.looks), 2.5, 2)
    file.write_text(file.read_text().replace("2.5", "9.5"))
    with pytest.raises(Mistake, match=r"t\.json: it is damaged.*Remove it and call snakemake again"):
        trial_file.read(file)
    file.write_text(seal.sealed({"trial": 0}))
    with pytest.raises(Mistake, match=r"t\.json: it is no trial of version 1"):
        trial_file.read(file)
    with pytest.raises(Mistake, match="there is no such file"):
        trial_file.read(tmp_path / "none.json")
    question = Question("trial-0123456789", {"name": "median", "first": 1, "every": 1, "finished": 5}, ["a", "b"])
    question.write(tmp_path / "q")
    assert Question.read(tmp_path / "q") == question


@pytest.mark.parametrize(
    ("one", "score", "at"),
    [
        (trial(1.0, 3.0), 3.0, [1.0, 3.0, None]),
        (trial(1.0, 3.0, outcome="done"), 3.0, [1.0, 3.0, 3.0]),
        (trial(1.0, 3.0, outcome="diverged"), None, [1.0, 3.0, None]),
        (trial(outcome="not run"), None, [None, None, None]),
    ],
)
def test_what_a_training_has_reached(one, score, at):
    assert one.score == score
    assert [one.at(epoch) if one.scores or epoch else None for epoch in (1, 2, 3)] == at
