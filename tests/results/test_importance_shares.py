"""What is made of a forest's loss of R², and what a forest is fitted to."""

import math

import numpy as np
import pandas as pd
import pytest

from espalier.results.compare import forest, importance

NAN = float("nan")


def sampled(rates, words, scores):
    """A frame of two axes, two repeats a configuration that differ by a point each way, and its study."""
    rows = [
        (number, f"{rate:g}" if rate == rate else "–", word, score + apart, score)
        for number, (rate, word, score) in enumerate(zip(rates, words, scores, strict=True))
        for apart in (-1, 1)
    ]
    columns = ["configuration", "label.train.rate", "label.word", "validation_top1", "test_top1"]
    return pd.DataFrame(rows, columns=columns), {"axes": ["train.rate", "word"]}


RATES = [1e-4, 1e-3, NAN, *np.linspace(0.01, 0.1, 9)]
WORDS = ["a", "b", "c"] * 4
SCORES = [*np.linspace(50, 90, 12)]


def test_shares_are_half_of_what_is_lost_and_the_most_important_comes_first(monkeypatch):
    asked = []
    lost = np.array([np.linspace(0, 0.4, 41), np.linspace(1, 1.8, 41)])

    def fitted(columns, scores):
        asked.append((columns, scores))
        return np.array([0.5, 0.8, 0.2]), lost

    monkeypatch.setattr(forest, "fitted", fitted)
    frame, study = sampled(RATES, WORDS, SCORES)
    found = importance.importance(frame, study)
    assert [part.values.head for part in found.parts] == ["word", "rate"]
    # 2.5 % of 40 steps of 0.01 is one; of 0.02 likewise, halved.
    word, rate = found.parts
    assert rate[1:] == pytest.approx((0.1, 0.005, 0.195))
    assert word[1:] == pytest.approx((0.7, 0.51, 0.89))
    assert found.r2 == pytest.approx((0.5, 0.2, 0.8)) and found.readable
    assert (found.scored, found.planned, found.refused) == (12, 12, "")
    ((columns, scores),) = asked
    # A rate over decades is a logarithm, and none where it does not belong.
    assert columns[0] == pytest.approx([math.log(rate) for rate in RATES], nan_ok=True)
    assert columns[1] == tuple(WORDS) and scores == pytest.approx(SCORES)


@pytest.mark.parametrize(("r2", "readable"), [(0.3, True), (0.299, False)])
def test_a_forest_that_explains_less_than_three_tenths_is_not_read(r2, readable):
    assert importance.Importance([], (r2, 0.9, 0.9), 1, 1, "").readable == readable


@pytest.mark.parametrize(
    ("known", "scores", "said"),
    [
        (10, SCORES, ""),
        (9, SCORES, "Importance of 2 axes takes 10 configurations with a result; there are 9 of 12."),
        (0, SCORES, "No configuration has a result yet (12 planned)."),
        (12, [70.0] * 12, "All configurations have the same score: no setting explains a difference."),
    ],
)
def test_what_is_refused_has_its_reason_and_no_shares(monkeypatch, known, scores, said):
    monkeypatch.setattr(forest, "fitted", lambda columns, scores: (np.ones(2), np.ones((2, 2))))
    frame, study = sampled(RATES, WORDS, scores)
    frame.loc[frame["configuration"] >= known, "validation_top1"] = NAN
    found = importance.importance(frame, study)
    assert (found.refused, found.scored, found.planned) == (said, known, 12)
    assert len(found.parts) == (0 if said else 2)
    assert not said or (all(map(math.isnan, found.r2)) and not found.readable)


def test_four_axes_take_twelve_configurations(monkeypatch):
    monkeypatch.setattr(forest, "fitted", lambda columns, scores: (np.ones(2), np.ones((4, 2))))
    for count, refused in (
        (12, ""),
        (11, "Importance of 4 axes takes 12 configurations with a result; there are 11 of 11."),
    ):
        labels = {f"label.a{axis}": [str(number + axis) for number in range(count)] for axis in range(4)}
        frame = pd.DataFrame({"configuration": range(count), "validation_top1": map(float, range(count))} | labels)
        assert importance.importance(frame, {"axes": [f"a{axis}" for axis in range(4)]}).refused == refused


def test_each_score_is_foretold_by_a_forest_that_has_not_seen_it(monkeypatch):
    monkeypatch.setattr(forest, "_TREES", 5)
    table = np.array([[NAN if k == 3 else k / 20 for k in range(20)], [f"w{k % 4}" for k in range(20)]], dtype=object).T
    scores = np.arange(20.0)
    made = forest._Unseen(3).fit(table, scores)
    assert sorted(k for part, _ in made.parts for k in part) == [*range(20)] and len(made.parts) == 5
    inside = made._inside(table)
    assert inside.shape == (20, 5) and inside[:, 1:].sum(axis=1).tolist() == [1] * 20
    assert inside[:6, 1:].argmax(axis=1).tolist() == [0, 1, 2, 3, 0, 1]
    assert inside[:, 0] == pytest.approx(table[:, 0].astype(float), nan_ok=True)
    again = forest._Unseen(3).fit(table, scores)
    assert made.predict(table).tolist() == again.predict(table).tolist()
    # The score of one configuration is no part of what is foretold of it.
    changed = scores.copy()
    changed[7] = 1000
    other = forest._Unseen(3).fit(table, changed).predict(table)
    assert other[7] == made.predict(table)[7] and (other != made.predict(table)).any()


def test_captions_say_which_scores_are_compared():
    assert importance.compared_scores({"points": [], "runs": {}}) == "Scores are those at the end."
