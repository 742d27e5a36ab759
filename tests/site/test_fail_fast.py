"""When a call is stopped since its first runs fail alike."""

import os

import pytest

from espalier.site import fail_fast

MEMORY = "RuntimeError: CUDA out of memory: {} MiB asked for in results/runs/train/net-{}/run.log"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """A call that is to stop after three failures alike; notes of calls before lie beside its own."""
    (tmp_path / ".ended-before").write_text('"old"\n' * 3)
    monkeypatch.setattr(
        fail_fast.threading, "Thread", lambda **words: type("Never", (), {"start": lambda self: None})()
    )
    monkeypatch.setenv(fail_fast.VARIABLE, "")
    fail_fast.watch(3, tmp_path, stop=list)
    assert not (tmp_path / ".ended-before").exists()
    return os.environ[fail_fast.VARIABLE]


def test_failures_are_alike_whatever_run_path_and_number_they_name(call):
    for number, id_ in ((512, "0123456789"), (1024, "abcdef0123"), (7.5, "9999999999")):
        assert fail_fast.stopped() is None
        fail_fast.ended(MEMORY.format(number, id_))
    assert (
        "the first 3 runs of this call have all failed alike (RuntimeError: CUDA out of memory" in fail_fast.stopped()
    )


@pytest.mark.parametrize("other", [None, "Mistake: another"])
def test_one_that_ends_well_or_fails_otherwise_keeps_a_call_going(call, other):
    for failure in (MEMORY, other, MEMORY, MEMORY, MEMORY):
        fail_fast.ended(failure)
    assert fail_fast.stopped() is None


def test_without_a_number_nothing_is_noted_and_nothing_stopped(monkeypatch):
    monkeypatch.delenv(fail_fast.VARIABLE, raising=False)
    fail_fast.ended("anything")
    assert fail_fast.stopped() is None


def test_the_call_is_stopped_once_they_have(call, monkeypatch, capsys):
    told = []
    looks = iter([lambda: None, *[lambda: fail_fast.ended("out of memory")] * 3])
    monkeypatch.setattr(fail_fast.time, "sleep", lambda seconds: next(looks)())
    fail_fast._watch(lambda: told.append("stop"))
    assert told == ["stop"] and "have all failed alike (out of memory): no more runs" in capsys.readouterr().err
