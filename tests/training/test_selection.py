import pytest

from espalier.settings.sections import EarlyStopping, Training
from espalier.training.selection import best, finished, stalled


def rows(*pairs):
    return [
        {"epoch": epoch, "validation_top1": top1, "validation_loss": loss}
        for epoch, (top1, loss) in enumerate(pairs, 1)
    ]


@pytest.mark.parametrize(
    ("history", "select", "epoch"),
    [
        (rows((50, 2.0), (70, 1.0), (60, 0.5)), "top1", 2),
        (rows((50, 2.0), (70, 1.0), (60, 0.5)), "loss", 3),
        (rows((70, 2.0), (70, 1.0), (70, 1.5)), "top1", 2),
        (rows((70, 1.0), (70, 1.0)), "top1", 1),
        (rows((10, 1.0), (90, 1.0)), "loss", 1),
        ([row | {"validation_balanced_top1": 50 - row["epoch"]} for row in rows((50, 1), (70, 1))], "balanced_top1", 1),
    ],
)
def test_the_best_epoch_is_the_first_of_the_best(history, select, epoch):
    assert best(history, select)["epoch"] == epoch


def test_stalled_counts_epochs_since_the_last_real_improvement():
    early = EarlyStopping(patience=2, min_delta=1.0)
    assert not stalled(rows((50, 1)), "top1", early)
    assert not stalled(rows((50, 1), (50.9, 1)), "top1", early)
    assert stalled(rows((50, 1), (50.9, 1), (51.0, 1)), "top1", early)
    assert not stalled(rows((50, 1), (50.9, 1), (51.1, 1)), "top1", early)


def test_small_gains_add_up_against_the_last_mark():
    early = EarlyStopping(patience=2, min_delta=1.0)
    assert not stalled(rows((50, 1), (50.6, 1), (51.2, 1), (51.8, 1)), "top1", early)


def test_loss_must_fall():
    early = EarlyStopping(patience=1)
    assert stalled(rows((1, 1.0), (99, 1.0)), "loss", early)
    assert not stalled(rows((99, 1.0), (1, 0.9)), "loss", early)


def test_training_ends_after_its_epochs_or_when_stalled():
    history = rows((50, 1), (40, 2))
    assert finished(history, Training(epochs=2))
    assert not finished(history, Training(epochs=3))
    assert finished(history, Training(epochs=3, early_stopping=EarlyStopping(patience=1)))
    assert not finished([], Training(epochs=1))
