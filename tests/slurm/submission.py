"""A study sent to the cluster with the shipped profile, watched and disturbed while it runs."""

import csv
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cluster import Cluster

from support.snakemake_as_run import SNAKEMAKE, of_a_user

ROOT = Path(__file__).parents[2]
# Every machine has another mood; what takes longer than this has hung.
PATIENCE_S = 1800.0
T = TypeVar("T")


def copy_repository(folder: Path) -> Path:
    """What a user has after a clone, without results."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for part in ("config", "workflow", "profiles", "envs", "espalier", "snakemake_logger_plugin_espalier"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/studies", folder / "config/studies", dirs_exist_ok=True)
    (folder / "results").mkdir()
    return folder


def until(seen: Callable[[], T], what: str, patience_s: float = PATIENCE_S, every_s: float = 0.2) -> T:
    """The first true answer of `seen`, which is mostly told by a process."""
    deadline = time.monotonic() + patience_s
    while not (answer := seen()):
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s for {what}"
        time.sleep(every_s)
    return answer


class Submission:
    """A copy of the repository, its SITE lines edited as a user edits them, and the Snakemake that runs there."""

    def __init__(self, folder: Path, cluster: Cluster, partition: str, memory: str = "2000", minutes: str = "60"):
        self.folder, self.cluster = folder, cluster
        self.log = folder / "snakemake.txt"
        self._process: subprocess.Popen | None = None
        profile = folder / "profiles/slurm/config.yaml"
        text = profile.read_text()
        for old, new in (
            ('&partition "gpu"', f'&partition "{partition}"'),
            ("attempt * 8000", f"attempt * {memory}"),
            ("attempt * 4000", "attempt * 1500"),
            ("attempt * 120", f"attempt * {minutes}"),
        ):
            site = [line for line in text.splitlines() if old in line]
            assert len(site) == 1, f"{old!r} stands in {len(site)} lines of the profile"
            assert "# SITE" in site[0] or "4000" in old, f"{site[0]} is no SITE line"
            text = text.replace(old, new)
        # Every step is saved, so that a disturbance finds a checkpoint at once.
        memory_line = next(line for line in text.splitlines() if "&memory" in line)
        profile.write_text(text.replace(memory_line, "    checkpoint_minutes: 0\n" + memory_line))

    def start(self, *words: str, studies: str = "steady") -> "Submission":
        """Start Snakemake as a user does; only the first look at a job comes sooner here."""
        sooner = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5")
        command = [SNAKEMAKE, "--profile", "profiles/slurm", "--config", f"studies={studies}", *sooner, *words]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, env=of_a_user(), start_new_session=True
            )
        return self

    def train(self) -> "Submission":
        """Start the training of the steady run alone."""
        return self.start("--until", "train")

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Snakemake's exit code; it fails when Snakemake hangs."""
        try:
            return self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"Snakemake hangs:\n{self.told()[-4000:]}") from None

    def succeed(self) -> None:
        assert self.wait() == 0, self.told()[-4000:]

    def kill(self) -> None:
        """Kill Snakemake, and nothing that it has submitted."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        for job in self.alive():
            subprocess.run(["scancel", job], check=False)

    def told(self) -> str:
        return self.log.read_text()

    def submitted(self) -> list[str]:
        """Ids of the jobs that Snakemake says in its logs it has submitted, in order."""
        logs = "".join(path.read_text() for path in sorted(self.folder.glob(".snakemake/log/*.log")))
        return re.findall(r"submitted with SLURM jobid (\d+)", logs)

    def alive(self) -> list[str]:
        return self.cluster.jobs(folder=self.folder)

    def all_jobs(self) -> list[str]:
        """Ids of all jobs that were ever submitted from this folder."""
        return self.cluster.jobs("all", self.folder)

    def state(self, job: str) -> str:
        return self.cluster.job(job)["JobState"]

    def run(self) -> Path:
        """The folder of the one training."""
        (folder,) = (self.folder / "results/runs/train").iterdir()
        return folder

    def training(self) -> tuple[str, int]:
        """The job and the process that train, once they have saved their state."""
        until(lambda: list(self.folder.glob("results/runs/train/*/checkpoint/latest.safetensors")), "a checkpoint")
        return until(lambda: self._training(), "a training process")

    def held(self) -> tuple[str, int]:
        """The same, and the process stands still; SLURM lets go on what it asks to end."""
        job, process = self.training()
        os.kill(process, signal.SIGSTOP)
        return job, process

    def _training(self) -> tuple[str, int] | None:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                if any(word.endswith(b"/stage.py") for word in words[:2]) and (path / "cwd").readlink() == self.folder:
                    values = dict(item.split(b"=", 1) for item in (path / "environ").read_bytes().split(b"\0") if item)
                    return values[b"SLURM_JOB_ID"].decode(), int(path.name)
            except (OSError, ValueError):
                continue
        return None


def environment(process: int) -> dict[str, str]:
    """The environment of a running process."""
    items = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    return dict(item.split("=", 1) for item in items if "=" in item)


def bits(repository: Path) -> tuple[str, list[dict[str, str]]]:
    """Digest of the weights, and the history without its times, of the one training in a repository."""
    (model,) = repository.glob("results/runs/train/*/model.safetensors")
    with model.with_name("history.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k not in ("images_per_s", "epoch_s")} for row in csv.DictReader(file)]
    return hashlib.sha256(model.read_bytes()).hexdigest(), rows
