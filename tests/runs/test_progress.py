import json
import os
import threading
import time

import pytest

from espalier.runs import progress
from espalier.runs.progress import Heartbeat, Progress


@pytest.fixture
def clock(monkeypatch):
    now = [500.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def beat(folder):
    return json.loads((folder / "heartbeat.json").read_text())


def row(epoch, top1=50.0):
    metrics = {"lr": 0.1, "train_loss": 1.0, "train_top1": 40.0, "validation_loss": 1.0, "validation_top1": top1}
    return {"epoch": epoch, "images_per_s": 10.0, **metrics}


def test_the_heartbeat_says_who_and_how_far(tmp_path):
    Heartbeat(tmp_path).beat(now=True, epoch=3, epochs=7, top1=90.5)
    found = beat(tmp_path)
    assert found.pop("time") > 0
    assert found.pop("host")
    assert found == {
        "state": "running",
        "pid": os.getpid(),
        "epoch": 3,
        "epochs": 7,
        "top1": 90.5,
        "seconds_left": None,
        "log": str(tmp_path / "run.log"),
    }


def test_steps_beat_every_five_seconds_and_epochs_always(tmp_path, clock):
    heartbeat = Heartbeat(tmp_path)
    shown = Progress(epochs=2, steps_per_epoch=10, heartbeat=heartbeat)
    for step in range(1, 5):
        clock[0] += 2
        shown.step_ended(1, step)
        # 4 steps at 2 s: the beat of the third step, six seconds in, knows of 17 more.
        assert beat(tmp_path)["seconds_left"] == (None if step < 3 else 34.0)
    shown.epoch_ended(row(1, 77.0))
    assert (beat(tmp_path)["epoch"], beat(tmp_path)["top1"]) == (1, 77.0)


def test_work_without_steps_beats_by_itself_until_its_end(tmp_path):
    heartbeat = Heartbeat(tmp_path, every_s=0.01).alone()
    (tmp_path / "heartbeat.json").unlink()
    while not (tmp_path / "heartbeat.json").exists():
        time.sleep(0.01)
    assert beat(tmp_path)["state"] == "running"
    heartbeat.beat("done")
    time.sleep(0.1)
    assert beat(tmp_path)["state"] == "done"


def test_work_without_steps_beats_at_once_from_a_thread_that_ends_with_the_process(tmp_path):
    before = threading.enumerate()
    heartbeat = Heartbeat(tmp_path, every_s=1e9).alone()
    (thread,) = (one for one in threading.enumerate() if one not in before)
    assert beat(tmp_path)["state"] == "running" and thread.daemon
    heartbeat.beat("done")
    thread.join(5)
    assert not thread.is_alive()


def test_a_disk_that_takes_nothing_for_a_moment_ends_no_beating(tmp_path):
    folder = tmp_path / "run"
    folder.touch()
    heartbeat = Heartbeat(folder, every_s=0.01)
    thread = threading.Thread(target=heartbeat._go_on, daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    folder.unlink()
    while not (folder / "heartbeat.json").exists():
        time.sleep(0.01)
    heartbeat.beat("done")
    thread.join(5)
    assert beat(folder)["state"] == "done"


@pytest.mark.parametrize("state", ["done", "failed", "requeue"])
def test_a_final_state_is_written_at_once(state, tmp_path):
    heartbeat = Heartbeat(tmp_path)
    heartbeat.beat(now=True, epoch=1)
    heartbeat.beat(state)
    assert (beat(tmp_path)["state"], beat(tmp_path)["epoch"]) == (state, 1)


def test_time_left_is_paced_by_what_this_process_did(tmp_path, clock):
    shown = Progress(epochs=4, steps_per_epoch=10, heartbeat=Heartbeat(tmp_path), epoch=3, step=0)
    assert (beat(tmp_path)["epoch"], beat(tmp_path)["epochs"]) == (2, 4)
    clock[0] += 10
    shown.epoch_ended(row(3))
    assert beat(tmp_path)["seconds_left"] == 10.0


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(tmp_path, monkeypatch, capsys, caplog):
    caplog.set_level("INFO", "espalier")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    shown = Progress(epochs=3, steps_per_epoch=2, heartbeat=Heartbeat(tmp_path))
    shown.step_ended(1, 1)
    shown.epoch_ended(row(1, 88.5))
    shown.close()
    bar = capsys.readouterr().err
    assert "epoch 2/3" in bar
    assert "top-1 88.50 %" in bar
    assert "epoch 1/3" in caplog.text
    assert "validation loss 1.0000 top-1 88.50 %" in caplog.text


def test_a_heartbeat_begins_with_nothing_done(tmp_path):
    assert Heartbeat(tmp_path).last() == {}
    Heartbeat(tmp_path).beat(now=True)
    found = beat(tmp_path)
    assert {name: found[name] for name in ("state", "epoch", "epochs", "top1", "seconds_left")} == {
        "state": "running",
        "epoch": 0,
        "epochs": None,
        "top1": None,
        "seconds_left": None,
    }
    assert found["log"] == str(tmp_path / "run.log")
    assert (tmp_path / "heartbeat.json").read_text().endswith("}\n")


def test_a_second_process_goes_on_from_the_facts_of_the_first_alone(tmp_path):
    Heartbeat(tmp_path).beat(now=True, epoch=4, epochs=9, top1=71.5)
    content = beat(tmp_path) | {"unknown": 1, "state": "requeue"}
    (tmp_path / "heartbeat.json").write_text(json.dumps(content))
    Heartbeat(tmp_path).inherit().beat(now=True)
    found = beat(tmp_path)
    assert (found["epoch"], found["epochs"], found["top1"], found["state"]) == (4, 9, 71.5, "running")
    assert "unknown" not in found


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_heartbeat_that_cannot_be_read_is_none(text, tmp_path):
    (tmp_path / "heartbeat.json").write_text(text)
    assert Heartbeat(tmp_path).last() == {}


def test_a_quiet_heartbeat_writes_nothing_but_remembers(tmp_path):
    heartbeat = Heartbeat(tmp_path)
    heartbeat.quiet = True
    heartbeat.beat(now=True, epoch=2)
    assert not (tmp_path / "heartbeat.json").exists()
    heartbeat.quiet = False
    heartbeat.beat(now=True)
    assert beat(tmp_path)["epoch"] == 2


def test_after_its_end_a_run_beats_no_more(tmp_path):
    heartbeat = Heartbeat(tmp_path)
    heartbeat.beat("done", epoch=3)
    heartbeat.beat(now=True, epoch=4)
    assert (beat(tmp_path)["state"], beat(tmp_path)["epoch"]) == ("done", 3)


def test_the_line_of_an_epoch_in_the_log(tmp_path, clock, caplog, monkeypatch):
    caplog.set_level("INFO", logger="espalier")
    shown = Progress(epochs=4, steps_per_epoch=10, heartbeat=Heartbeat(tmp_path), until=2)
    clock[0] += 30
    shown.epoch_ended(row(1, 77.25))
    losses = "train loss 1.0000 top-1 40.00 %  validation loss 1.0000 top-1 77.25 %"
    assert caplog.messages == [f"epoch 1/4  lr 0.1  {losses}  10 images/s  30 s left"]
    clock[0] += 30
    shown.epoch_ended(row(2))
    assert beat(tmp_path)["seconds_left"] == 0


def test_facts_that_the_first_process_has_not_told_stay_unknown(tmp_path):
    (tmp_path / "heartbeat.json").write_text('{"epoch": 4}')
    Heartbeat(tmp_path).inherit().beat(now=True)
    found = beat(tmp_path)
    assert (found["epoch"], found["epochs"], found["top1"], found["seconds_left"]) == (4, None, None, None)


def test_steps_before_a_resume_do_not_count_for_the_pace(tmp_path, clock):
    shown = Progress(epochs=2, steps_per_epoch=10, heartbeat=Heartbeat(tmp_path), epoch=1, step=4)
    clock[0] += 12
    shown.step_ended(1, 7)
    # Three steps in 12 s, and 13 are left.
    assert beat(tmp_path)["seconds_left"] == 52.0


def test_time_left_is_told_in_tenths_of_a_second_from_the_first_step(tmp_path, clock):
    shown = Progress(epochs=1, steps_per_epoch=3, heartbeat=Heartbeat(tmp_path))
    clock[0] += 7.77
    shown.step_ended(1, 1)
    assert beat(tmp_path)["seconds_left"] == 15.5


def test_a_log_gets_no_bar(tmp_path, capsys):
    shown = Progress(epochs=2, steps_per_epoch=2, heartbeat=Heartbeat(tmp_path))
    shown.step_ended(1, 1)
    shown.close()
    assert capsys.readouterr().err == ""


def test_a_bar_counts_the_steps_of_all_epochs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    Progress(epochs=3, steps_per_epoch=4, heartbeat=Heartbeat(tmp_path), epoch=2, step=1).close()
    bar = capsys.readouterr().err
    assert "epoch 2/3:  42%" in bar and "5/12" in bar and "?step/s" in bar


def test_one_of_several_processes_beats_and_shows_a_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("RANK", "1")
    shown = Progress(epochs=2, steps_per_epoch=2, heartbeat=Heartbeat(tmp_path))
    shown.epoch_ended(row(1))
    shown.close()
    assert capsys.readouterr().err == "" and not [*tmp_path.iterdir()]
