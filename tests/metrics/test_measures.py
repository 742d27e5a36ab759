"""Metrics of probabilities: by hand, and against scikit-learn on drawn ones."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from espalier.metrics import correct, measures
from espalier.settings.registry import entries
from support.sealed import seal

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4], [0.9, 0.05, 0.05]])
LABELS = np.array([0, 1, 1, 1])


@pytest.fixture(scope="module")
def drawn():
    """Probabilities of 500 images of six classes, of which the last one is of no image."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 500)
    logits = rng.normal(size=(500, 6)) + 1.5 * np.eye(6)[labels]
    odds = np.exp(logits)
    return odds / odds.sum(1, keepdims=True), labels


def test_top_k_counts_images_among_the_likeliest(drawn):
    assert measures.top_k(PROBABILITIES, LABELS, k=(1, 2, 3, 9)) == {"top1": 50, "top2": 75, "top3": 100, "top9": 100}
    assert measures.top_k(*drawn, k=(3,))["top3"] == pytest.approx(
        100 * sklearn.top_k_accuracy_score(drawn[1], drawn[0], k=3, labels=range(6))
    )


def test_likelihood_and_brier_score_are_those_of_the_definition(drawn):
    assert measures.nll(PROBABILITIES, LABELS)["nll"] == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.05]).mean())
    squares = [0.09 + 0.04 + 0.01, 0.01 + 0.16 + 0.09, 0.09 + 0.49 + 0.16, 0.81 + 0.9025 + 0.0025]
    assert measures.brier(PROBABILITIES, LABELS)["brier"] == pytest.approx(np.mean(squares))
    probabilities, labels = drawn
    assert measures.brier(*drawn)["brier"] == pytest.approx(((probabilities - np.eye(6)[labels]) ** 2).sum(1).mean())
    two = np.array([[1.0, 0.0], [0.25, 0.75]])
    assert measures.brier(two, np.array([1, 1])) == {"brier": pytest.approx((2 + 0.125) / 2)}
    assert np.isfinite(measures.nll(two, np.array([1, 1]))["nll"])


def test_calibration_by_hand():
    """Two bins: 0.4 below, wrong; 0.7 and 0.6, right, and 0.9, wrong, above."""
    below, above = measures.calibration(PROBABILITIES, LABELS, bins=2)
    assert below == {"low": 0, "high": 50, "images": 1, "confidence": pytest.approx(40), "top1": 0}
    assert above["images"] == 3 and above["top1"] == pytest.approx(200 / 3)
    assert above["confidence"] == pytest.approx(220 / 3)
    assert measures.ece(PROBABILITIES, LABELS, bins=2)["ece"] == pytest.approx((40 + 20) / 4)


def test_bins_hold_every_image_and_their_means_are_those_of_all(drawn):
    rows = measures.calibration(*drawn, bins=15)
    assert len(rows) == 15 and sum(row["images"] for row in rows) == 500
    top1 = sum(row["images"] * row["top1"] for row in rows if row["images"]) / 500
    assert top1 == pytest.approx(measures.top_k(*drawn, k=(1,))["top1"])
    sure, right = measures.calibration(np.eye(2), np.array([0, 1]), bins=10)[-1].values(), 100
    assert list(sure) == [90, 100, 2, 100, right]
    empty = measures.calibration(np.eye(2), np.array([0, 1]), bins=10)[0]
    assert (empty["images"], empty["confidence"], empty["top1"]) == (0, "", "")


def test_classes_are_scored_as_scikit_learn_scores_them(drawn):
    probabilities, labels = drawn
    guesses = probabilities.argmax(1)
    rows = measures.per_class(*drawn)
    for name, function in (
        ("precision", sklearn.precision_score),
        ("recall", sklearn.recall_score),
        ("f1", sklearn.f1_score),
    ):
        expected = 100 * function(labels, guesses, labels=range(6), average=None, zero_division=0)
        assert [row[name] for row in rows] == pytest.approx(expected.tolist())
    assert [row["images"] for row in rows] == np.bincount(labels, minlength=6).tolist()


def test_confusion_by_hand():
    found = [tuple(row.values()) for row in measures.confusion(PROBABILITIES, LABELS)]
    # A class with no image keeps its place.
    assert found == [(0, 0, 1), (1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 2, 0)]


@pytest.mark.parametrize("name", entries("metric"))
def test_every_metric_gives_what_it_states(name, drawn):
    entry = entries("metric")[name]
    found = entry.load()(*drawn)
    if columns := entry.facts.get("columns"):
        assert found and all(tuple(row) == tuple(columns) for row in found)
    else:
        assert found and all(isinstance(value, float) for value in found.values())


@pytest.mark.parametrize("count", [1, 8, 13])
def test_bits_of_images_come_back(count, tmp_path):
    right = np.random.default_rng(count).random(count) < 0.5
    folder = tmp_path / "net-0123456789"
    folder.mkdir()
    (folder / correct.FILE).write_bytes(correct.packed(right))
    assert (folder / correct.FILE).stat().st_size == -(-count // 8)
    (folder / "metrics.csv").write_text(f"images\n{count}\n")
    seal(folder, "evaluate")
    from espalier.runs.record import complete

    assert np.array_equal(correct.read(complete(folder)), right)
