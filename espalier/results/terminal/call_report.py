"""What the terminal shows of a call of Snakemake: a line for each run that ended, and the log of each that failed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from logging import LogRecord
from pathlib import Path

from espalier.errors import ArtifactError, Mistake
from espalier.results.page.status_table import duration
from espalier.results.read.planned_study import Study
from espalier.results.terminal.names import Names
from espalier.results.terminal.time_left import TimeLeft
from espalier.runs import record as records
from espalier.search import rung_file, trial_file
from espalier.stages import STAGES

NOISE = re.compile(
    r"Select jobs to execute\.\.\.|Using shell: .*|Conda environments: ignored|Building DAG of jobs\.\.\.|"
    r"Rules claiming more threads will be scaled down\.|Assuming unrestricted shared filesystem usage\.|"
    # Once an answer is there.
    r"DAG of jobs will be updated after completion\.|Updating checkpoint dependencies\.|"
    # A cluster's plugin says it of each job.
    r"Job \d+ has been submitted with SLURM jobid .*"
)
"""Messages of Snakemake that the log alone keeps."""
SILENT = ("workflow_started", "job_started", "shellcmd", "progress")
"""Events that the log alone keeps."""
_UNREPORTED = ("all", "outdated", "question")
"""Rules that make nothing that anybody waits for."""
_AGAIN = re.compile(r"Trying to restart job (\d+)\.")
_COMMAND = re.compile(
    r"\s*RuleException:\s+CalledProcessError in file [^\n]*\s+Command '.*?stage\.py \w+ \S+/(\S+-[0-9a-f]{10}) .*' "
    r"(returned non-zero exit status \d+|died with .*)\.\s*",
    re.DOTALL,
)
"""What Snakemake says before a failed run, with all of its command: the run, and how it ended."""
_LAST = 20
"""Lines of the log of a failed job."""
_WIDTH = 60
"""Letters of the column of names, at most; a longer name pushes what follows."""
_HINT = "A line for each run that ends; percentages are validation top-1. What is at work now: espalier status"
_YELLOW, _RED, _PLAIN = "\033[33m", "\033[31m", "\033[0m"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that has begun."""

    rule: str
    run: str
    """its run, or else what its wildcards say"""
    began: float
    """in seconds since the epoch"""
    epochs: int = 0
    """of a training that pauses"""
    key: str = ""
    """of a training that is compared with others"""


class CallReport:
    """Tells the records of a call's loggers, as text for the terminal.

    Args:
        studies: the plans of the call's studies
        submits: whether jobs wait in a queue before they run, so that the time since they began says nothing
        coloured: whether the terminal shows colours
        root: what the paths of the plans are relative to
    """

    def __init__(self, studies: Iterable[Study], *, submits: bool, coloured: bool, root: Path = Path()):
        self._coloured, self._root = coloured, root
        self._jobs: dict[int, Job] = {}
        self._all = self._done = 0
        self._left = TimeLeft(submits)
        self._name(studies)

    def update_plans(self, studies: Iterable[Study], to_make: Mapping[str, int]) -> None:
        """Take plans that have more runs by now.

        Args:
            to_make: stage → how many of its runs have not ended
        """
        self._name(studies)
        self._expect(self._done, to_make)

    def _name(self, studies: Iterable[Study]) -> None:
        self._names = Names(studies)
        self._width = min(_WIDTH, self._names.longest)

    def _expect(self, done: int, to_make: Mapping[str, int]) -> None:
        self._all = done + sum(to_make.values())
        self._left.expect(to_make)

    def __call__(self, record: LogRecord) -> str | None:
        """The text for a record: empty where it is left to the log, None where Snakemake's own words are shown."""
        event = getattr(record, "event", None)
        if event in SILENT:
            return ""
        if event == "run_info":
            self._expect(0, {rule: count for rule, count in record.stats.items() if rule in STAGES})
            return f"{record.getMessage()}\n{_HINT}"
        elif event == "job_info":
            run = str(record.wildcards.get("run") or " ".join(map(str, record.wildcards.values())))
            epochs = int(record.wildcards["epochs"]) if record.rule_name == "rung" else 0
            key = record.wildcards.get("trial") or ""
            self._jobs[record.jobid] = Job(record.rule_name, run, record.created, epochs, key)
            if record.rule_name in STAGES:
                self._left.began(record.jobid, record.created)
            return ""
        elif event == "job_finished":
            return self._finished(self._jobs.pop(record.job_id, None), record)
        elif event == "job_error":
            self._left.failed(record.jobid, record.rule_name)
            return self._failed(record)
        elif event == "error":
            # Only a killed run is reported here: its log cannot say that it was killed.
            ended = _COMMAND.fullmatch(record.getMessage())
            return ended and (f"{self._names.of(ended[1])} {ended[2]}" if ended[2].startswith("died") else "")
        elif event in (None, "resources_info"):
            return self._other_message(record)
        return None

    def _other_message(self, record: LogRecord) -> str | None:
        message = record.getMessage()
        if again := _AGAIN.fullmatch(message):
            job = self._jobs.get(int(again[1]))
            if job:
                self._left.again(job.rule)
                return f"tried again: {job.rule} {self._names.of(job.run)}"
        return "" if NOISE.fullmatch(message) else None

    def _finished(self, job: Job | None, record: LogRecord) -> str | None:
        if job is None:
            return None
        if job.rule in _UNREPORTED:
            return ""
        seconds, score, why = record.created - job.began, "", ""
        if job.rule == "rung":
            score = _reached(self._root / rung_file.path(job.run, job.epochs))
            return self._line(f"epoch {job.epochs}", replace(job, rule="train"), score, seconds, "")
        if job.rule == "trial":
            count, score = _compared(self._root / trial_file.path(job.run, job.key))
            return self._line(count, replace(job, rule="train"), score, seconds, "")
        if job.rule not in STAGES:
            return self._line("", job, score, seconds, "")
        self._done += 1
        if job.rule != "prepare":
            try:
                ended = records.complete(self._root / "results/runs" / job.rule / job.run)
                seconds, top1 = ended.content["wall_s"], ended.metrics.get("validation_top1")
                score = f"{float(top1):.2f} %" if top1 else ended.outcome if ended.reason else ""
                why = ended.reason
            except ArtifactError as error:
                score, why = "damaged", str(error)
        if why:
            # What did not come to its end tells no time.
            self._left.failed(record.job_id, job.rule)
        else:
            self._left.ended(record.job_id, job.rule, seconds)
        said = why or self._left.words(record.created)
        all_ = max(self._all, self._done)
        text = self._line(f"{self._done:>{len(str(all_))}}/{all_}", job, score, seconds, said)
        return self._in(_YELLOW, text) if why else text

    def _line(self, count: str, job: Job, score: str, seconds: float, said: str) -> str:
        counted = count.rjust(2 * len(str(self._all)) + 1)
        name = self._names.of(job.run)
        return f"{counted}  {job.rule:<8}  {name:<{self._width}}  {score:>8}  {duration(seconds):>11}  {said}".rstrip()

    def _failed(self, record: LogRecord) -> str:
        job = self._jobs.get(record.jobid)
        name = self._names.of(job.run) if job else ""
        after = f" after {duration(record.created - job.began)}" if job else ""
        lines = [self._in(_RED, f"failed: {record.rule_name} {name}{after}")]
        if job and job.run not in name:
            lines.append(f"    {job.run}")
        said = {"message": record.rule_msg, **record.aux}
        lines += [f"    {key}: {value}" for key, value in said.items() if value]
        if not record.log:
            lines.append(f"    command: {record.shellcmd}")
        for path in record.log:
            lines += self._last_words(Path(str(path)))
        return "\n".join(lines)

    def _last_words(self, path: Path) -> Iterable[str]:
        try:
            found = (self._root / path).read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        except OSError as error:
            found = [f"({error.strerror})"]
        cut = f", the last {_LAST} of {len(found)} lines" if len(found) > _LAST else ""
        yield f"    log: {path}{cut}"
        yield from (f"      | {line}" for line in found[-_LAST:])

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._coloured else text


def _compared(path: Path) -> tuple[str, str]:
    """The epoch at which a training ended that was compared with others, and its score there."""
    try:
        found = trial_file.read(path)
    except Mistake:
        return "", ""
    return f"epoch {found.ended_at}", found.outcome if found.score is None else f"{abs(found.score):.2f}"


def _reached(path: Path) -> str:
    """How a training stood when it paused, for the column of scores."""
    try:
        found = rung_file.read(path)
    except Mistake:
        return ""
    return f"{found.best['validation_top1']:.2f} %" if found.best else found.outcome
