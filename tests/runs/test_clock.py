import time

import pytest

from espalier.runs import clock
from espalier.runs.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """Seconds of the monotonic clock, of the CPU and of Unix, which a test moves."""
    found = {"monotonic": 100.0, "process_time": 3.0, "time": 5000.0}
    for name in found:
        monkeypatch.setattr(clock.time, name, lambda name=name: found[name])
    return found


def test_a_clock_counts_for_the_run_and_for_parts_of_the_epoch(now):
    own = Clock()
    assert own.seconds == {"wall": 0, "cpu": 0, "train": 0, "epoch": 0} and own.began == 5000
    now["monotonic"], now["process_time"] = 107, 5
    own.lap("train", "epoch")
    now["monotonic"], now["process_time"] = 110, 6
    own.lap("epoch")
    assert own.seconds == {"wall": 10, "cpu": 3, "train": 7, "epoch": 10}
    own.next_epoch()
    assert own.seconds == {"wall": 10, "cpu": 3, "train": 0, "epoch": 0}


def test_a_run_that_began_before_its_clock_counts_its_start_and_all_its_cpu_time(now):
    own = Clock(started=96.0)
    assert own.began == 4996
    own.lap()
    assert own.seconds == {"wall": 4, "cpu": 3, "train": 0, "epoch": 0}


def test_a_resumed_run_adds_its_start_to_what_was_spent_before(now):
    own = Clock(started=96.0)
    own.lap("train", "epoch")
    own.resume({"wall": 50.0, "cpu": 40.0, "train": 6.0, "epoch": 8.0})
    assert own.seconds == {"wall": 54, "cpu": 43, "train": 10, "epoch": 12}


def test_this_process_began_before_now():
    began = clock.process_began()
    assert time.monotonic() - began > 0
    # What psutil says is a clock tick off at most.
    assert clock.process_began() == pytest.approx(began, abs=0.05)
    assert clock.psutil.Process().create_time() == pytest.approx(time.time() - time.monotonic() + began, abs=0.05)
