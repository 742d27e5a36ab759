"""Runs on the prepared digits in this process, stopped and resumed at will."""

from contextlib import suppress
from pathlib import Path
from unittest import mock

import torch

from espalier.data.resident import Resident
from espalier.errors import Interrupted
from espalier.metrics import latency
from espalier.runs.checkpoint import Checkpoints
from espalier.runs.clock import Clock
from espalier.runs.progress import Heartbeat
from espalier.runs.work import Work
from espalier.settings.words import parse
from espalier.site import device
from espalier.stages import STAGES
from espalier.stages.frame.pause import RungPause
from espalier.stages.frame.stage_run import StageRun, make
from espalier.stages.frame.trial import TrialStop
from espalier.stages.train import build
from espalier.training.loop import fit
from espalier.training.state import State
from espalier.training.watch import Watch


class StopAt:
    """An interruption that comes after so many looks; never for None."""

    def __init__(self, looks: int | None = None):
        self.looks = looks

    def reason(self) -> str | None:
        if self.looks is not None:
            self.looks -= 1
        return "asked to" if self.looks == 0 else None

    def saved(self, seconds: float) -> None:
        """Nothing is timed here."""


def train(folder: Path, data: Resident, words: list[str], stop: int | None = None) -> State | None:
    """The state at the end of training, or None when it was stopped at that look (steps and epoch ends count)."""
    device.prepare()
    spec = parse(STAGES["train"].settings, words)
    accelerator = device.accelerate()
    model, policy = build(spec, data, accelerator.device)
    steps = data.steps_per_epoch(spec.train.batch_size)
    state = State.begin(model, spec.train, steps)
    checkpoints = Checkpoints(folder / "checkpoint", {"words": words})
    if saved := checkpoints.load():
        state.load_state_dict(saved)
    work = Work(folder, StopAt(stop), Heartbeat(folder), 60, Clock())
    watch = Watch(work, checkpoints, state, epochs=spec.train.epochs, steps_per_epoch=steps)
    try:
        fit(state, data, policy, spec.train, seed=spec.seed, accelerator=accelerator, watch=watch)
    except Interrupted:
        return None
    return state


def made(
    folder: Path,
    data: Path,
    *words: str,
    stage: str = "train",
    parents: tuple[Path, ...] = (),
    branches: tuple[Path, ...] = (),
    teacher: Path | None = None,
    stop: int | None = None,
    until: int | None = None,
    rung: Path | None = None,
    pausing: TrialStop | None = None,
) -> Path:
    """Make a run of a stage and return its folder.

    Args:
        stop: interrupt it at this look
        until: pause it at the end of this epoch, and write the file `rung`
    """
    folder.mkdir(exist_ok=True)
    spec = parse(STAGES[stage].settings, words)
    work = (folder, StopAt(stop), Heartbeat(folder), 60, Clock())
    pausing = RungPause(until, rung) if rung else pausing
    # Latencies are measured for a tenth of the time: 0.1 instead of 1.2 seconds of every pruning.
    with suppress(Interrupted), mock.patch.object(latency, "_BLOCK_S", 0.002):
        make(StageRun(*work, STAGES[stage], spec, data, parents, branches, teacher, pausing))
    return folder


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two networks have the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(history: list[dict]) -> list[dict]:
    """History without the columns that depend on the machine's mood."""
    return [{k: v for k, v in row.items() if k not in ("images_per_s", "epoch_s")} for row in history]
