import json
import subprocess
import sys
import warnings

import pytest

from espalier.errors import ArtifactError, Interrupted, Mistake
from espalier.runs.log import log, recording
from espalier.runs.progress import Heartbeat
from espalier.site import ranks


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        (Mistake("x.yaml: write it so"), 2, "failed"),
        (ArtifactError("model.json: gone"), 2, "failed"),
        (RuntimeError("a surprise"), 1, "failed"),
        (Interrupted("SIGTERM: stopped"), 75, "requeue"),
        (KeyboardInterrupt(), 130, "requeue"),
    ],
)
def test_how_a_run_ends_is_in_its_code_its_log_and_its_heartbeat(error, code, state, tmp_path):
    with pytest.raises(SystemExit) as end, recording(tmp_path, Heartbeat(tmp_path)):
        raise error
    assert end.value.code == code
    assert json.loads((tmp_path / "heartbeat.json").read_text())["state"] == state
    text = (tmp_path / "run.log").read_text()
    assert str(error) in text
    assert ("Traceback" in text) == (code == 1)
    assert code == 1 or len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Mistake("x.yaml: 5 % is no number"), "ERROR x.yaml: 5 % is no number"),
        (RuntimeError("a surprise"), "ERROR RuntimeError: a surprise"),
        (Interrupted("SIGTERM: stopped"), "WARNING SIGTERM: stopped. Run the same command again to go on"),
        (KeyboardInterrupt(), "WARNING interrupted from the keyboard"),
    ],
)
def test_the_line_that_says_how_a_run_ended(error, line, tmp_path):
    with pytest.raises(SystemExit), recording(tmp_path):
        raise error
    date, time, found = (tmp_path / "run.log").read_text().splitlines()[0].split(" ", 2)
    assert (len(date), len(time), found) == (10, 8, line)


def lines(folder):
    """Those of a log, without date and time."""
    return [line.split(" ", 2)[2] for line in (folder / "run.log").read_text().splitlines()]


def test_a_mistake_that_all_processes_make_is_told_once(tmp_path, monkeypatch):
    monkeypatch.setenv(ranks.RENDEZVOUS, str(tmp_path / "meeting"))
    for mistake in ("x: one", "x: one", "x: another"):
        with pytest.raises(SystemExit) as end, recording(tmp_path):
            raise Mistake(mistake)
        assert end.value.code == 2
    assert lines(tmp_path) == ["ERROR x: one", "ERROR x: another"]


def test_a_process_whose_peer_has_ended_says_so_without_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as end, recording(tmp_path, Heartbeat(tmp_path)):
        raise RuntimeError("Connection closed by peer")
    assert end.value.code == 1
    assert json.loads((tmp_path / "heartbeat.json").read_text())["state"] == "failed"
    assert lines(tmp_path) == ["ERROR another process of this run has ended, and so must this one"]


def test_a_process_that_is_not_the_main_one_tells_its_errors(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit), recording(tmp_path):
        log.warning("what the main process tells too")
        raise Mistake("x: one")
    assert lines(tmp_path) == ["ERROR rank 1: x: one"]


def test_lines_and_warnings_are_kept_once(tmp_path):
    for _ in range(2):
        with recording(tmp_path):
            log.info("a line")
            warnings.warn("a warning", stacklevel=1)
    text = (tmp_path / "run.log").read_text()
    assert text.count("a line") == 2
    assert text.count("a warning") >= 1


def test_stderr_that_is_the_log_already_is_not_written_twice(tmp_path):
    code = f"""
from pathlib import Path
from espalier.runs.log import log, recording
with recording(Path({str(tmp_path)!r})):
    log.info("only once")
    raise RuntimeError("a surprise")
"""
    with (tmp_path / "run.log").open("w") as stderr:
        subprocess.run([sys.executable, "-c", code], stderr=stderr, env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    text = (tmp_path / "run.log").read_text()
    assert text.count("only once") == 1
    assert text.count("Traceback") == 1
