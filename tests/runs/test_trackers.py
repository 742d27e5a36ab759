"""What a process tells trackers of its trainings, and what becomes of it where they fail."""

import os
import sys

import pytest

from espalier.errors import Mistake
from espalier.runs import trackers
from espalier.site import file_lock

NAMES = ("tensorboard", "mlflow", "wandb")
BEST = {"epoch": 5, "validation_top1": 90.0, "validation_loss": 0.3}


def events(folder):
    """What the TensorBoard files of a run hold."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
    )
    return accumulator.EventAccumulator(str(folder / "tracking/tensorboard")).Reload()


class Told:
    """A tracker that keeps what it is told."""

    def __init__(self):
        self.rows, self.finished = [], False

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self):
        self.finished = True


class Full(Told):
    """A tracker that takes nothing and does not end."""

    def log(self, values, step):
        raise OSError("no space left on device")

    def finish(self):
        raise OSError("no space left on device")


@pytest.fixture
def opened(monkeypatch):
    """Trackers that are opened, as (name, run, epoch), where all libraries are there."""
    found = []
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    for name in NAMES:

        def open_one(following, epoch, name=name):
            found.append((name, following.called, epoch))
            return Told()

        monkeypatch.setitem(trackers._OPENING, name, open_one)
    return found


def test_trackers_are_named_once_each_with_commas_or_blanks(opened):
    assert trackers.named("") == ()
    assert trackers.named("wandb, mlflow,wandb tensorboard") == ("wandb", "mlflow", "tensorboard")


def test_an_unknown_tracker_and_one_that_is_not_installed_are_told(monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "mlflow" else name)
    with pytest.raises(Mistake) as error:
        trackers.named("wandb,excel")
    assert str(error.value) == "tracking: 'excel' is not known; use tensorboard, mlflow, wandb"
    with pytest.raises(Mistake) as error:
        trackers.named("wandb,mlflow")
    assert str(error.value) == "tracking: mlflow is not installed: uv sync --group trackers"


def test_trackers_open_in_their_order_when_the_first_training_begins(opened, tmp_path):
    with trackers.following(tmp_path / "net-437599c568", "wandb,mlflow", {}):
        assert opened == []
        trackers.begin(3)
        trackers.begin(1)
        assert opened == [("wandb", "bright-flower-563", 3), ("mlflow", "bright-flower-563", 3)]


def test_without_words_the_environment_names_the_trackers(opened, tmp_path, monkeypatch):
    monkeypatch.setenv(trackers.VARIABLE, "tensorboard")
    for words in (None, "", "mlflow"):
        with trackers.following(tmp_path, words, {}):
            trackers.begin(1)
    monkeypatch.delenv(trackers.VARIABLE)
    with trackers.following(tmp_path, None, {}):
        trackers.begin(1)
    assert [name for name, *_ in opened] == ["tensorboard", "mlflow"]


def test_the_main_process_follows_alone(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with trackers.following(tmp_path, "mlflow", {}):
        trackers.begin(1)
        trackers.log_epoch({"epoch": 1})
    assert opened == []


def test_a_training_that_nothing_follows_tells_nobody():
    trackers.begin(1)
    trackers.log_epoch({"epoch": 1, "lr": 0.1}, BEST)


def test_a_tracker_that_cannot_begin_ends_the_run(opened, tmp_path, monkeypatch):
    def shut(following, epoch):
        raise ConnectionError("no answer")

    monkeypatch.setitem(trackers._OPENING, "wandb", shut)
    with pytest.raises(Mistake) as error, trackers.following(tmp_path, "wandb,mlflow", {}):
        trackers.begin(1)
    assert str(error.value) == "tracking: wandb cannot begin (ConnectionError: no answer)"
    assert opened == [] and trackers._following is None


def test_every_epoch_is_told_with_the_best_one_so_far(opened, tmp_path):
    with trackers.following(tmp_path, "mlflow", {}):
        trackers.begin(7)
        trackers.log_epoch({"epoch": 7, "lr": 0.1}, BEST)
        trackers.log_epoch({"epoch": 8, "lr": 0.1})
        kept = trackers._following.open["mlflow"]
    assert kept.rows == [(7, {"lr": 0.1, "best_epoch": 5, "best_validation_top1": 90.0}), (8, {"lr": 0.1})]
    assert kept.finished


def test_a_tracker_that_fails_costs_neither_the_training_nor_the_others(tmp_path, caplog):
    one, other = Told(), Told()
    with trackers.following(tmp_path, "", {}):
        trackers._following.open |= {"wandb": one, "tensorboard": Full(), "mlflow": other}
        for epoch in (1, 2):
            trackers.log_epoch({"epoch": epoch, "lr": 0.1})
        trackers._following.open = {"tensorboard": Full(), **trackers._following.open}
    why = "has failed and follows no more (OSError: no space left on device)"
    assert caplog.messages == [f"tracking: tensorboard {why}"]
    assert one.rows == other.rows == [(1, {"lr": 0.1}), (2, {"lr": 0.1})]
    assert one.finished and other.finished


def test_settings_stay_numbers_and_lists_become_texts(tmp_path):
    told = {"lr": 0.1, "epochs": 5, "nesterov": True, "name": "sgd", "augment": [{"name": "cutout"}], "teacher": None}
    with trackers.following(tmp_path / "net-437599c568", "", told):
        assert trackers._following.settings == {
            **{"lr": 0.1, "epochs": 5, "nesterov": True, "name": "sgd"},
            "augment": '[{"name": "cutout"}]',
        }
        assert trackers._following.called == "bright-flower-563"


def test_a_run_that_goes_on_or_starts_anew_shows_its_settings_and_each_epoch_once(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: uv sync --group trackers")
    folder = tmp_path / "train/run"
    for begin, epochs, shown in ((1, (1, 2, 3), [1, 2, 3]), (3, (3, 4), [1, 2, 3, 4]), (1, (1,), [1])):
        with trackers.following(folder, "tensorboard", {"train.epochs": 4, "model.blocks": [1]}):
            trackers.begin(begin)
            for epoch in epochs:
                trackers.log_epoch({"epoch": epoch, "lr": epoch / begin})
        rates = {one.step: one.value for one in events(folder).Scalars("lr")}
        assert [one.step for one in events(folder).Scalars("lr")] == shown
        assert all(rates[epoch] == pytest.approx(epoch / begin, rel=1e-6) for epoch in epochs)
    settings = [(one.step, one.tensor_proto.string_val) for one in events(folder).Tensors("settings/text_summary")]
    assert settings == [(0, [b"    train.epochs=4\n    model.blocks=[1]"])] * 3


def test_mlflow_that_is_not_installed_is_told_and_sends_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "MLFLOW_LOGGING_LEVEL"):
        # Set before it is removed, so that it is removed again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with pytest.raises(Mistake) as error:
        trackers.mlflow_library()
    why = "import of mlflow halted; None in sys.modules"
    assert str(error.value) == f"mlflow is not installed ({why}): uv sync --group trackers"
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]) == ("true", "true")
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "WARNING"
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    with pytest.raises(Mistake):
        trackers.mlflow_library()
    assert os.environ["MLFLOW_LOGGING_LEVEL"] == "DEBUG"


def test_trainings_that_share_a_file_of_sqlite_begin_one_after_the_other(tmp_path):
    lock = tmp_path / "deep/live.db.lock"
    with trackers._alone(f"sqlite:///{tmp_path}/deep/live.db?timeout=9"):
        assert file_lock.take(lock) is None
    file_lock.take(lock).close()
    with trackers._alone("https://example.org/live.db"):
        pass
