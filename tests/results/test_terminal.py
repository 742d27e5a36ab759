"""What the terminal shows of a call, from the records that Snakemake's loggers get."""

import logging

import pytest
from snakemake_interface_logger_plugins.tests import MockOutputSettings, TestLogHandlerBase

from espalier.results import call_end
from espalier.results.read.tidy import states
from espalier.results.terminal.call_report import CallReport
from espalier.results.terminal.dry_run import SHOWN, DryRun
from espalier.results.terminal.names import Names
from espalier.results.terminal.time_left import TimeLeft, roughly
from snakemake_logger_plugin_espalier import LogHandler
from support.study_on_disk import BASELINE, diverge, finish, plan, product, pruned, write_plan


def settings(**asked):
    usual = MockOutputSettings()
    usual.printshellcmds = False
    for key, value in asked.items():
        setattr(usual, key, value)
    return usual


class TestLogger(TestLogHandlerBase):
    """What Snakemake asks of every logger."""

    __test__ = True

    def get_log_handler_cls(self):
        return LogHandler

    def get_log_handler_settings(self):
        return None


def record(event=None, message="", level=logging.INFO, created=0.0, **said):
    found = logging.LogRecord("snakemake.logging", level, "", 0, message, (), None)
    found.__dict__.update(said, event=event, created=created)
    return found


def begun(job, rule, run, created=0.0):
    return record("job_info", created=created, jobid=job, rule_name=rule, wildcards={"run": run})


def folder(run):
    return run["path"].rpartition("/")[2]


def runs_of(study, stage):
    return [run for run in study["runs"].values() if run["stage"] == stage]


def train_of(study, repeat=0, **labels):
    wanted = dict(BASELINE) | labels
    (point,) = (one for one in study["points"] if one["labels"] == wanted and one["repeat"] == repeat)
    return study["runs"][point["runs"]["train"]]


@pytest.fixture
def study(tmp_path):
    found = plan()
    finish(tmp_path, found)
    return found


@pytest.fixture
def call(study, tmp_path):
    found = CallReport([study], submits=False, coloured=False, root=tmp_path)
    found(record("run_info", "Job stats:", stats={"train": 30, "evaluate": 4, "page": 1, "all": 1, "total": 36}))
    return found


def test_a_run_that_has_ended_is_one_line(call, study):
    run = train_of(study, 2, **{"train.optimizer": "AdamW"})
    assert call(begun(7, "train", folder(run))) == ""
    line = call(record("job_finished", created=9.0, job_id=7))
    assert line.split()[:5] == ["1/34", "train", "AdamW,", "seed", "2"]
    assert " %" in line and "left" not in line, "nothing is said of the rest after one run"


def test_runs_that_come_with_a_later_plan_have_their_words_and_are_counted(study, tmp_path):
    call = CallReport([study | {"points": study["points"][:3]}], submits=False, coloured=False, root=tmp_path)
    run = train_of(study, 2, **{"train.optimizer": "AdamW"})

    def line():
        call(begun(7, "train", folder(run)))
        return call(record("job_finished", created=9.0, job_id=7))

    call(record("run_info", "Job stats:", stats={"train": 3, "all": 1, "total": 4}))
    assert line().startswith("1/3") and folder(run) in line()
    call.update_plans([study], {"train": 4, "evaluate": 5})
    assert line().startswith(" 3/11") and " AdamW, seed 2 " in line()


def test_no_line_tells_of_the_test_split(call, study):
    call(begun(7, "evaluate", folder(runs_of(study, "evaluate")[0])))
    assert "%" not in call(record("job_finished", created=9.0, job_id=7))


@pytest.mark.parametrize("event", ["job_started", "shellcmd", "progress", "workflow_started"])
def test_job_blocks_are_left_to_the_log(call, event):
    assert call(record(event, "words")) == ""


@pytest.mark.parametrize(
    "message, shown",
    [
        ("Select jobs to execute...", False),
        ("Job 3 has been submitted with SLURM jobid 17 (log: x.log).", False),
        ("Building DAG of jobs...", False),
        ("Nothing to be done (all requested files are present and up to date).", True),
        ("Complete log(s): x.log", True),
        ("what another plugin says", True),
    ],
)
def test_of_other_words_the_known_chatter_alone_is_left_out(call, message, shown):
    assert call(record(message=message)) == (None if shown else "")


@pytest.mark.parametrize("event", ["error", "group_error", None])
def test_errors_are_shown_as_snakemake_says_them(call, event):
    assert call(record(event, "WorkflowError:\nmistakes", logging.ERROR)) is None


@pytest.mark.parametrize(
    "how, shown", [("returned non-zero exit status 2", ""), ("died with <Signals.SIGKILL: 9>", "baseline, seed 0 died")]
)
def test_the_command_of_a_failed_run_is_left_to_the_log(call, study, how, shown):
    path = train_of(study)["path"]
    command = f"set -euo pipefail;  python workflow/scripts/stage.py train {path} --parents a/b-0123456789 --data x a=1"
    words = f"RuleException:\nCalledProcessError in file \"workflow/rules/train.smk\", line 27:\nCommand '{command}' "
    told = call(record("error", f"{words}{how}.", logging.ERROR, exception="RuleException"))
    assert told.startswith(shown) and "stage.py" not in told


def test_a_diverged_run_says_why(call, study, tmp_path):
    point = study["points"][0]
    diverge(tmp_path, study, point)
    call(begun(1, "train", folder(study["runs"][point["runs"]["train"]])))
    line = call(record("job_finished", created=1.0, job_id=1))
    assert "diverged" in line and "the training loss is nan" in line


def test_a_failed_run_names_itself_its_log_and_its_last_words(call, study, tmp_path):
    run = train_of(study)
    log = f"{run['path']}/run.log"
    (tmp_path / log).write_text("".join(f"line {number}\n" for number in range(100)) + "RuntimeError: no memory\n")
    call(begun(5, "train", folder(run)))
    said = {"jobid": 5, "rule_name": "train", "rule_msg": None, "aux": {"external_jobid": 17}, "log": [log]}
    lines = call(record("job_error", level=logging.ERROR, created=3.0, shellcmd="x", **said)).splitlines()
    assert lines[0] == "failed: train baseline, seed 0 after 3 s" and folder(run) in lines[1]
    assert "    external_jobid: 17" in lines
    assert f"    log: {log}, the last 20 of 101 lines" in lines
    assert lines[-1] == "      | RuntimeError: no memory" and "line 80" not in "\n".join(lines)
    assert call(record(message="Trying to restart job 5.")) == "tried again: train baseline, seed 0"


def test_a_log_that_is_not_there_is_told(call, study):
    call(begun(5, "train", folder(train_of(study))))
    said = {"jobid": 5, "rule_name": "train", "rule_msg": None, "aux": {}, "log": ["missing.log"]}
    assert "missing.log" in (text := call(record("job_error", shellcmd="x", **said))) and "No such file" in text


def test_a_shared_run_is_called_by_what_its_configurations_have_in_common():
    found = pruned(plan(repeats=1))
    names = Names([found])
    assert names.of(folder(train_of(found, **dict.fromkeys(("prune", "prune.ratio"), "–")))) == "baseline"
    assert names.of(folder(runs_of(found, "prune")[0])).startswith("channels, ratio 0.3")
    data = folder(runs_of(found, "prepare")[0]).removesuffix(".safetensors")
    assert names.of(data) == data
    two = Names([found, found | {"study": "other"}])
    assert two.of(folder(runs_of(found, "prune")[0])).startswith("demo: channels")


def test_the_time_left_is_the_rest_of_the_work_at_the_pace_so_far():
    left = TimeLeft()
    left.expect({"train": 10, "evaluate": 1})
    for job in (1, 2):
        left.began(job, 0.0)
    for number, job in enumerate(range(1, 4), 1):
        left.ended(job, "train", 100.0)
        left.began(job + 2, number * 50.0)
        said = left.words(number * 50.0)
        assert bool(said) == (number == 3)
    # Of 700 s, one of the two at work has been for 50 s; two go on at once: 650 s × 150 s / 350 s.
    assert said == "over 5 min left", "of the evaluation nothing is known"
    left.ended(9, "evaluate", 1.0)
    assert left.words(150.0).startswith("about ")


def test_in_a_queue_the_runs_that_have_ended_tell_the_pace():
    left = TimeLeft(submits=True)
    left.expect({"train": 100})
    for job in range(100):
        left.began(job, 0.0)
    for job in range(10):
        left.ended(job, "train", 60.0)
    assert left.words(600.0) == "about 1.5 h left"


@pytest.mark.parametrize(
    "seconds, words", [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h"), (1e5, "28 h")]
)
def test_times_are_rounded(seconds, words):
    assert roughly(seconds) == words


def listed(study):
    told = DryRun([study])
    counted = record("run_info", "Job stats:", stats={})
    assert told(counted) is None
    for run in study["runs"].values():
        assert told(begun(0, run["stage"], folder(run).removesuffix(".safetensors"))) == ""
    assert told(record("job_info", rule_name="page", wildcards={"study": "demo"})) == ""
    assert told(record(message="Reasons:\n    (check individual jobs above for details)")) == ""
    return told(counted).splitlines()


def test_a_dry_run_has_each_configuration_once_with_its_runs(study):
    head, first, *rest, last = listed(study)
    assert first.split()[:7] == ["baseline", "prepare", "1,", "train", "3,", "evaluate", "3"]
    assert sum("AdamW" in line for line in rest) == 1 and all("train 3, evaluate 3" in line for line in rest)
    assert head.startswith("To make") and "-n -p" in last


def test_a_large_grid_is_cut():
    points = [labels | {"model": f"{labels['model']} {number}"} for number in range(5) for labels in product()]
    lines = listed(plan(points, repeats=2))
    assert len(lines) == SHOWN + 3 and f"{len(points) - SHOWN} more configurations: train" in lines[-2]


def test_nothing_is_told_in_other_words_where_more_or_less_is_asked(capsys):
    for asked, told in (({}, True), ({"printshellcmds": True}, False), ({"verbose": True}, False)):
        handler = LogHandler(settings(**asked), None)
        handler.tell_by(lambda record: "in our words")
        handler.emit(record(message="in its words"))
        assert ("in our words" in capsys.readouterr().err) == told


def test_a_teller_that_fails_ends_no_call(capsys):
    handler = LogHandler(settings(), None)
    handler.tell_by(lambda record: 1 / 0)
    handler.emit(record(message="words"))
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_no_colour_where_nobody_sees_it(monkeypatch):
    assert not LogHandler(settings(), None).coloured, "no terminal"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not LogHandler(settings(), None).coloured


def test_the_end_names_the_best_on_the_validation_split(study, tmp_path):
    write_plan(tmp_path, study)
    found = states(study, tmp_path)
    (line,) = call_end.best(study, found)
    scores: dict[tuple, list[tuple[float, str]]] = {}
    for point in study["points"]:
        run = point["runs"]["train"]
        own = scores.setdefault(tuple(point["labels"].values()), [])
        own.append((float(found[run].record.metrics["validation_top1"]), run))
    best = max(scores.values(), key=lambda own: sum(score for score, _ in own))
    # The mean over seeds decides, and the folder is that of the best of them.
    assert f"best validation top-1 {sum(score for score, _ in best) / 3:.2f} % (mean of 3 seeds): " in line
    assert folder(study["runs"][max(best)[1]]) in line
    lost = next(point for point in study["points"] if point["runs"]["train"] == max(best)[1])
    diverge(tmp_path, study, lost)
    assert call_end.best(study, states(study, tmp_path)) != [line]
