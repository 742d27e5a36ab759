"""A training paused at the end of an epoch: told in the file of its rung, and gone on with to the same bits."""

import hashlib
import json
import signal

import pytest

from espalier.results.page import run_table
from espalier.results.read.run_state import state_of
from espalier.runs import record
from espalier.runs.columns import HISTORY
from espalier.search import rung_file
from espalier.site import fail_fast
from espalier.stages.frame.command_line import main
from espalier.training.selection import best
from support.digits_runs import made
from support.scripts_as_run import ENVIRONMENT, interrupt, run, script, table

WORDS = ["model={name: mlp, hidden: [16], dropout: 0.2}", "augment=[pad_crop]", "train.batch_size=64", "seed=5"]
WORDS += ["train.epochs=6", "train.scheduler=one_cycle", "train.optimizer.lr=0.05"]
WILD = ["model={name: mlp, hidden: [8]}", "train.epochs=3", "train.optimizer.lr=1e30"]
TIMES = ("images_per_s", "epoch_s")


def history(folder):
    return [{key: row[key] for key in row if key not in TIMES} for row in table(folder / "history.csv")]


def outcome(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(), history(folder)


def chosen(rung):
    return {key: value for key, value in rung.best.items() if key not in TIMES}


def best_of(folder, epochs, select="top1"):
    """The best of the first epochs of a run that was not disturbed."""
    rows = [{key: float(value) for key, value in row.items()} for row in history(folder)]
    return best(rows[:epochs], select)


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory):
    return made(tmp_path_factory.mktemp("whole") / "net-00000000a1", digits, *WORDS)


def test_paused_and_killed_again_and_again_a_run_ends_with_the_same_bits(digits, whole, tmp_path):
    cut = tmp_path / "net-00000000a1"
    # 19 steps and an epoch's end are twenty looks: killed within the second epoch, then within the fourth.
    for until, stop in ((2, 25), (2, None), (4, 30), (4, None)):
        rung = tmp_path / f"{until}.json"
        made(cut, digits, *WORDS, until=until, rung=rung, stop=stop)
        assert not (cut / "run.json").exists() and (cut / "checkpoint/latest.safetensors").exists()
        assert rung.exists() == (stop is None)
    told = rung_file.read(tmp_path / "2.json")
    assert (told.run, told.epochs, told.outcome, told.reason, told.select) == ("00000000a1", 2, "paused", "", "top1")
    assert chosen(told) == best_of(whole, 2) and set(told.best) == set(HISTORY)
    assert told.data == record.read(whole).content["data"]["checksum"] and 0 < told.wall_s < 600
    state = state_of({"stage": "train", "path": str(cut)})
    assert (state.name, state.paused_at) == ("paused", "paused at 4 of 6")
    assert "not complete: paused at 4 of 6" in run_table.text(cut)
    made(cut, digits, *WORDS)
    assert outcome(cut) == outcome(whole)
    assert record.read(cut).outcome == "done" and not (cut / "checkpoint").exists()


def test_a_state_beyond_the_epoch_tells_of_it_without_a_step(digits, whole, tmp_path):
    cut, rung = tmp_path / "net-00000000a1", tmp_path / "rungs/2.json"
    made(cut, digits, *WORDS, until=5, rung=tmp_path / "5.json")
    before = history(cut)
    # Stopped at the first look, if there were one.
    made(cut, digits, *WORDS, until=2, rung=rung, stop=1)
    assert history(cut) == before and len(before) == 5
    assert (rung_file.read(rung).outcome, chosen(rung_file.read(rung))) == ("paused", best_of(whole, 2))
    made(cut, digits, *WORDS)
    assert outcome(cut) == outcome(whole)


@pytest.mark.parametrize(("until", "outcome"), [(3, "paused"), (6, "done"), (9, "done")])
def test_a_complete_run_tells_of_the_epoch_from_its_history(until, outcome, digits, whole, tmp_path):
    before = {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "heartbeat.json"}
    made(whole, digits, *WORDS, until=until, rung=tmp_path / "rung.json")
    told = rung_file.read(tmp_path / "rung.json")
    assert (told.outcome, chosen(told)) == (outcome, best_of(whole, until))
    assert told.wall_s == record.read(whole).content["wall_s"]
    assert {path.name: path.read_bytes() for path in whole.iterdir() if path.name != "heartbeat.json"} == before


def test_a_run_that_ends_by_the_epoch_is_complete(digits, tmp_path):
    words = [*WORDS, "train.early_stopping={patience: 1, min_delta: 50}", "train.select=loss"]
    folder = made(tmp_path / "net-00000000a2", digits, *words, until=4, rung=tmp_path / "rung.json")
    told = rung_file.read(tmp_path / "rung.json")
    assert len(history(folder)) == 2 and (folder / "run.json").exists()
    assert (told.outcome, told.select, chosen(told)) == ("done", "loss", best_of(folder, 4, "loss"))
    made(folder, digits, *words, until=1, rung=tmp_path / "rung.json")
    assert rung_file.read(tmp_path / "rung.json").outcome == "paused"


def test_a_run_that_diverges_is_told_of_as_diverged(digits, tmp_path):
    folder = tmp_path / "net-00000000a3"
    for name in ("first", "again"):
        made(folder, digits, *WILD, until=2, rung=tmp_path / f"{name}.json")
    told = rung_file.read(tmp_path / "first.json")
    assert (told.outcome, told.best) == ("diverged", None) and told.reason.startswith("epoch 1: the training loss is")
    assert rung_file.read(tmp_path / "again.json") == told


def test_before_the_epoch_in_which_a_run_diverged_it_was_sound(digits, whole, tmp_path):
    folder, rung = tmp_path / "net-00000000a4", tmp_path / "rung.json"
    made(folder, digits, *WORDS, until=4, rung=rung)
    content = dict(record.read(whole).content) | {"run": "00000000a4", "outcome": "diverged", "reason": "epoch 5: nan"}
    content = {key: content[key] for key in content if key not in ("record", "written", "read")}
    record.write(folder, content, ["history.csv"], {})
    found = {}
    for until in (3, 4, 5):
        made(folder, digits, *WORDS, until=until, rung=rung)
        found[until] = rung_file.read(rung)
    assert [(told.outcome, told.reason) for told in found.values()] == [
        *(("paused", ""), ("paused", ""), ("diverged", "epoch 5: nan"))
    ]
    assert chosen(found[5]) == best_of(whole, 4)


@pytest.mark.slow
def test_from_the_command_line_a_killed_run_pauses_with_exit_code_0(digits, tmp_path):
    whole, cut, rung = tmp_path / "whole-00000000a6", tmp_path / "cut-00000000a6", tmp_path / "rung.json"
    more = [*WORDS, "train.epochs=30"]
    # Saved after every step, so that there is time to kill it.
    words = ["train", cut, "--data", digits, "--checkpoint-minutes", 0, *more]
    paused = [*words, "--until", 20, "--rung", rung]
    assert interrupt(script(*paused), cut, signal.SIGKILL, saves=30, seconds=0, env=ENVIRONMENT) == -9
    assert not rung.exists()
    done = run(*paused)
    assert done.returncode == 0 and "paused at the end of epoch 20 of 30" in done.stderr, done.stderr
    assert json.loads((cut / "heartbeat.json").read_text())["state"] == "paused"
    assert run(*words).returncode == 0
    assert outcome(cut) == outcome(made(whole, digits, *more))
    assert chosen(rung_file.read(rung)) == best_of(whole, 20)
    assert record.read(cut).content["resumed"] == 2


def test_a_pause_is_no_failure_of_the_call(digits, tmp_path, monkeypatch):
    ended = tmp_path / "ended"
    monkeypatch.setenv(fail_fast.VARIABLE, f"1 {ended}")
    made(tmp_path / "net-00000000a7", digits, *WORDS, until=1, rung=tmp_path / "rung.json")
    assert ended.read_text() == "null\n" and fail_fast.stopped() is None


@pytest.mark.slow
def test_two_processes_pause_and_go_on_with_the_same_bits(digits, tmp_path):
    one, cut, rung = tmp_path / "one-00000000a5", tmp_path / "cut-00000000a5", tmp_path / "rung.json"
    words = ["--data", digits, *WORDS, "train.processes=2"]
    for more in ([one], [cut, "--until", 2, "--rung", rung], [cut]):
        assert run("train", *more, *words).returncode == 0
        assert (cut / "run.json").exists() == (more == [cut])
    assert rung_file.read(rung).outcome == "paused" and chosen(rung_file.read(rung)) == best_of(one, 2)
    assert outcome(cut) == outcome(one)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "net", "model.name=mlp", "--until", "2"], "--until EPOCH and --rung FILE go together"),
        (["train", "net", "model.name=mlp", "--rung", "r.json"], "--until EPOCH and --rung FILE go together"),
        (["train", "net", "model.name=mlp", "--until", "0", "--rung", "r.json"], "0 is no epoch; the first is 1"),
        (["train", "net", "model.name=mlp", "train.epochs=0", "--until", "1", "--rung", "r.json"], "train.epochs is 0"),
        (["prune", "net", "--parents", "a", "--until", "2"], "unrecognized arguments: --until 2"),
    ],
)
def test_what_cannot_pause_is_told_in_a_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data", "digits.safetensors"])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
