import os
import signal
import time

import pytest

from espalier.runs.interruption import JOB_STARTED, Interruption, job_started


@pytest.fixture
def handlers():
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_is_noted(number, handlers):
    interruption = Interruption().listen()
    assert interruption.reason() is None
    os.kill(os.getpid(), number)
    assert interruption.reason() == number.name


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def stop(clock, interruption, gap, limit=10_000):
    """When a run that looks every `gap` seconds is told to stop."""
    for _ in range(limit):
        if interruption.reason():
            return clock[0] - 1000
        clock[0] += gap
    raise AssertionError("never told to stop")


def test_without_a_budget_time_does_not_matter(clock):
    interruption = Interruption()
    clock[0] += 1e9
    assert interruption.reason() is None


def test_the_budget_is_left_with_room_for_a_step_and_a_save(clock):
    interruption = Interruption(minutes=10, started=1000.0)
    interruption.saved(3.0)
    told = stop(clock, interruption, gap=2.0)
    # 600 s less 5 s, twice a step of 2 s and twice a save of 3 s.
    assert 600 - 15 <= told <= 600 - 15 + 2


def test_a_long_validation_widens_the_room(clock):
    interruption = Interruption(minutes=10, started=1000.0)
    interruption.reason()
    clock[0] += 40
    assert stop(clock, interruption, gap=1.0) + 40 + 3 < 600


def test_half_of_a_short_budget_is_used(clock):
    assert 3.0 <= stop(clock, Interruption(minutes=0.1, started=1000.0), gap=0.5) <= 3.5


def test_time_spent_starting_up_counts(clock):
    clock[0] += 599
    assert Interruption(minutes=10, started=1000.0).reason()


def test_a_job_is_left_twice_as_long_before_its_end_as_it_took_to_begin(clock):
    # On a node where Snakemake took 50 s to come to the run, it takes long to end too.
    interruption = Interruption(minutes=10, started=1050.0, began=1000.0)
    clock[0] += 100
    assert 600 - 106 <= stop(clock, interruption, gap=0.5) <= 600 - 105


def test_a_slow_begin_takes_half_of_a_budget_at_most(clock):
    clock[0] += 200
    assert 300 <= stop(clock, Interruption(minutes=10, started=1500.0, began=1000.0), gap=1.0) <= 301


def test_a_save_is_no_gap(clock):
    interruption = Interruption(minutes=10, started=1000.0)
    interruption.reason()
    clock[0] += 100
    interruption.saved(1.0)
    assert 600 - 9 <= stop(clock, interruption, gap=0.5) <= 600 - 7


def test_a_budget_ends_at_the_last_moment_that_leaves_its_reserve(clock):
    interruption = Interruption(minutes=10, started=1000.0)
    clock[0] += 595
    assert interruption.reason() == "595 of 600 s are spent"


def test_the_time_of_a_job_counts_from_its_first_process(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 530.0)
    monkeypatch.setattr(time, "time", lambda: 9030.0)
    monkeypatch.setenv(JOB_STARTED, "8900.0")
    assert job_started(500.0) == 400.0


def test_outside_a_job_time_counts_from_the_process(monkeypatch):
    monkeypatch.delenv(JOB_STARTED, raising=False)
    assert job_started(12.5) == 12.5


def test_a_job_cannot_have_begun_after_its_process(monkeypatch):
    """Where the clocks of two nodes differ."""
    started = time.monotonic()
    monkeypatch.setenv(JOB_STARTED, str(time.time() + 100))
    assert job_started(started) == started
