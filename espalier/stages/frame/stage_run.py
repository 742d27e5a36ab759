"""A run at work: what it reads, its checkpoints, and the record at its end."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.data import channel_rules
from espalier.errors import ArtifactError, Diverged, Mistake, Paused
from espalier.runs import record as records
from espalier.runs.columns import write_rows
from espalier.runs.log import log
from espalier.runs.owner import sweep
from espalier.runs.provenance import provenance
from espalier.runs.work import Work
from espalier.search.rung_file import PAUSED
from espalier.settings.keys import flat
from espalier.settings.registry import Spec
from espalier.settings.sections import Training
from espalier.site import device, fail_fast, ranks
from espalier.stages.definition import Outcome, Stage
from espalier.stages.frame.pause import RungPause
from espalier.stages.frame.trial import TrialStop

if TYPE_CHECKING:
    import torch

    from espalier.data.resident import Resident
    from espalier.networks.artifact import Network
    from espalier.runs.checkpoint import Checkpoints


@dataclass
class StageRun(Work):
    """A run at work, and what it reads."""

    stage: Stage
    spec: Spec
    data_file: Path
    parents: tuple[Path, ...] = ()
    """folders of the runs whose networks it may read: from the first of its chain to the last"""
    branches: tuple[Path, ...] = ()
    """folders of runs beside the chain"""
    teacher: Path | None = None
    """folder of the run whose answers it learns"""
    pausing: RungPause | TrialStop | None = None
    """by what its training pauses, or ends before its end, and where that is told"""
    continued: str = ""
    """folder's name of the shorter run from whose end it goes on; empty where it began with nothing"""
    data: "Resident | None" = None
    startup_cpu_s: float | None = None
    read: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files that it reads beside the prepared data: <run>/<file> of a run, the path of own weights"""

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings as its record tells them: those that differ from their defaults."""
        return self.spec.model_dump(mode="json", exclude_defaults=True)

    @property
    def parent(self) -> Path:
        """The run before it."""
        return self.parents[-1]

    def load(self, where: "torch.device | str" = "cpu") -> "Resident":
        """The splits that its stage reads, on a device.

        Raises:
            DataError: the prepared file cannot be used.
            Mistake: the settings ask for what is not defined for images of so many channels.
        """
        from espalier.data.resident import Resident

        self.data = Resident.load(self.data_file, where, self.stage.splits)
        if wrong := [f"{path}: {message}" for path, message in channel_rules.misfits(self.spec, self.data.channels)]:
            raise Mistake("; ".join(wrong))
        return self.data

    def network(self, folder: Path | None = None) -> "Network":
        """The network of a run, by default of the one before this one.

        Raises:
            ArtifactError: it cannot be rebuilt, or is not made for this data.
        """
        from espalier.networks import artifact

        folder = self.parent if folder is None else folder
        network = artifact.load(folder)
        sizes = self.data.num_classes, self.data.image_size, self.data.channels
        artifact.check(network, folder, self.data_file, *sizes)
        return network

    def taught_by(self, train: Training) -> "torch.nn.Module | None":
        """The network whose answers a training learns, on the device; None where it has no teacher.

        Raises:
            ArtifactError: it cannot be rebuilt, or is not made for this data.
            Mistake: a teacher is asked for, and no run of one is named.
        """
        import torch

        if train.teacher is None:
            return None
        if self.teacher is None:
            raise Mistake("a teacher is asked for; name the folder of its run, --teacher FOLDER")
        layout = torch.channels_last if train.channels_last else torch.contiguous_format
        return self.network(self.teacher).model.requires_grad_(False).to(self.data.device, memory_format=layout)

    def checkpoints(self) -> "Checkpoints":
        """The run's checkpoints. They are valid only for the same settings, data and other input files."""
        from espalier.runs.checkpoint import Checkpoints

        identity = dict(flat(self.settings)) | {"data": self.data.checksum} | self.read
        return Checkpoints(self.folder / records.CHECKPOINTS, identity)

    def ready(self) -> None:
        """Note that all is loaded, and the work itself begins."""
        self.startup_cpu_s = round(time.process_time(), 3)


def make(run: StageRun) -> None:
    """Run the stage in a folder that this process owns, and write metrics.csv and then the run's record.

    A run that is complete already, since another process has ended it, is left as it is. One whose loss diverges is
    complete too, and those that would read its network end as not run. A run that pauses has no record, but a
    file that tells how it stood, and heartbeat.json tells of it.

    Raises:
        Mistake: settings do not go together, or something that the run reads cannot be used.
        Interrupted: the run was asked to stop; its state is saved.
    """
    try:
        _make(run)
    except Paused as paused:
        log.info("%s; its state is saved", paused)
        run.pausing.tell(run)
        run.heartbeat.beat(PAUSED)
        if ranks.main():
            fail_fast.ended(None)
        return
    if run.pausing:
        run.pausing.tell(run)


def _make(run: StageRun) -> None:
    stage, spec = run.stage, run.spec
    if _complete(run):
        return
    if stage.optional and getattr(spec, stage.name) is None:
        raise Mistake(f"{stage.name}: nothing is asked for; set {stage.name}")
    if wrong := [f"{path}: {message}" for path, message in stage.misfits(spec)]:
        raise Mistake("; ".join(wrong))
    folders = (*run.parents, *run.branches, *([run.teacher] if run.teacher else []))
    before = {folder: records.complete(folder) for folder in folders}
    ended = next((found for found in before.values() if found.outcome != records.DONE), None)
    if ended:
        because = ended.content.get("because", ended.folder.name)
        reason = f"{because} diverged"
        _end(run, Outcome({}, f"not run: {reason}", {"because": because}), records.NOT_RUN, reason)
        return
    for folder, found in before.items():
        for name, digest in found.written.items():
            found.path(name)
            # Tables of numbers hold times, which are others each time a run is made.
            if not name.endswith(".csv"):
                run.read[f"{folder.name}/{name}"] = digest
    try:
        outcome = stage(run, spec)
    except Diverged as error:
        _end(run, Outcome({}, f"diverged: {error}"), records.DIVERGED, str(error))
        return
    # Of several processes the main one alone has an outcome.
    if outcome is not None:
        _end(run, outcome, records.DONE)


def _complete(run: StageRun) -> bool:
    """Whether another process has made the run meanwhile; what that has left half-way is removed.

    Raises:
        ArtifactError: the record cannot be used, or is of other settings.
    """
    if ranks.main():
        sweep(run.folder)
    found = records.read(run.folder)
    if found is None:
        return False
    if found.content["stage"] != run.stage.name or found.content["spec"] != run.settings:
        raise ArtifactError(f"{run.folder} holds a run of other settings; give this one a folder of its own")
    if ranks.main():
        sweep(run.folder, complete=True)
        run.heartbeat.beat("done")
        log.info("%s is complete: %s", run.folder, found.outcome)
    return True


def _end(run: StageRun, outcome: Outcome, how: str, reason: str = "") -> None:
    """Write what a run measured, then its record; nothing is left to resume."""
    if not ranks.main():
        return
    stage, spec, folder = run.stage, run.spec, run.folder
    run.clock.lap()
    times = {f"{part}_s": round(run.clock.seconds[part], 3) for part in ("wall", "cpu")}
    ids = {
        "run": records.identifier(folder),
        "parent": records.identifier(run.parent if run.parents else run.data_file),
    }
    if how == records.DONE:
        memory = {"peak_memory_mib": round(device.peak_memory_mib(run.data.device), 1)}
        write_rows(folder / "metrics.csv", stage.metrics, [{**outcome.row, **ids, **times, **memory}])
        names = [name for name in stage.written if name != records.FILE] + list(outcome.files)
    else:
        # The run ended without a network: its record lists the files written on the way.
        names = [name for name in stage.files if (folder / name).exists()]
    content = {
        **{"run": ids["run"], "stage": stage.name, "outcome": how},
        **({"reason": reason} if reason else {}),
        "parent": ids["parent"],
        **({"teacher": records.identifier(run.teacher)} if run.teacher else {}),
        **({"continued": records.identifier(Path(run.continued))} if run.continued else {}),
        "spec": run.settings,
        "data": _data(run),
        **provenance(run.clock),
        **_machine(run),
        **times,
        **{"seed": getattr(spec, "seed", None), "resumed": 0},
        **({} if run.startup_cpu_s is None else {"startup_cpu_s": run.startup_cpu_s}),
        **outcome.facts,
    }
    records.write(folder, content, names, run.read)
    sweep(folder, complete=True)
    run.heartbeat.beat("done")
    if how != records.NOT_RUN:
        fail_fast.ended(reason or None)
    log.log(logging.INFO if how == records.DONE else logging.WARNING, "%s", outcome.said)


def _machine(run: StageRun) -> dict[str, Any]:
    """What computed; nulls of a run that is not run, which loads no data and no torch."""
    if run.data is None:
        return {"threads": None, "device": None, "gpu": None}
    import torch

    where = run.data.device
    return {"threads": torch.get_num_threads(), "device": device.name(where), "gpu": device.gpu(where)}


def _data(run: StageRun) -> dict[str, Any]:
    """The prepared data that the run read; a run that is not run has read none."""
    if run.data is None:
        return {"path": str(run.data_file), "checksum": None}
    optimistic = {"protocol": run.data.protocol, "accuracy": "best epoch on the test split: optimistic"}
    said = {"path": str(run.data_file), "checksum": run.data.checksum, "images": dict(run.data.sizes)}
    return said | (optimistic if run.data.protocol != "clean" else {})


def section(stage: Stage, spec: Spec) -> Training | None:
    """The settings of a stage that say how it trains; None where this run does not train."""
    found: Any = spec if stage.training else None
    for key in (stage.training or "").split("."):
        found = getattr(found, key, None)
    return found
