"""A run at work: what it reads, its checkpoints, and the record at its end."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.errors import Mistake
from espalier.runs.log import log
from espalier.runs.work import Work
from espalier.settings.keys import flat
from espalier.settings.registry import Spec
from espalier.stages.definition import Stage

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
    data: "Resident | None" = None
    startup_cpu_s: float | None = None

    @property
    def parent(self) -> Path:
        """The run before it."""
        return self.parents[-1]

    def load(self, where: "torch.device | str" = "cpu") -> "Resident":
        """The splits that its stage reads, on a device.

        Raises:
            DataError: the prepared file cannot be used.
        """
        from espalier.data.resident import Resident

        self.data = Resident.load(self.data_file, where, self.stage.splits)
        return self.data

    def network(self, folder: Path | None = None) -> "Network":
        """The network of a run, by default of the one before this one.

        Raises:
            ArtifactError: it cannot be rebuilt, or is not made for this data.
        """
        from espalier.networks import artifact

        folder = self.parent if folder is None else folder
        network = artifact.load(folder)
        artifact.check(network, folder, self.data_file, self.data.num_classes, self.data.image_size)
        return network

    def checkpoints(self, **more: Any) -> "Checkpoints":
        """The run's checkpoints; what it is a function of tells them from another run's.

        Args:
            more: what it is a function of beside its settings, its data and the run before it
        """
        from espalier.runs.checkpoint import Checkpoints
        from espalier.runs.record import identifier

        settings = dict(flat(self.spec.model_dump(mode="json", exclude_defaults=True)))
        parent = {"parent": identifier(self.parent)} if self.parents else {}
        return Checkpoints(self.folder / "checkpoint", settings | {"data": self.data.checksum} | parent | more)

    def ready(self) -> None:
        """Note that all is loaded, and the work itself begins."""
        self.startup_cpu_s = round(time.process_time(), 3)


def make(run: StageRun) -> None:
    """Run the stage, and write its last two files: metrics.csv, and run.json, which says that the run is complete.

    Raises:
        Mistake: settings do not go together, or something that the run reads cannot be used.
        Interrupted: the run was asked to stop; its state is saved.
    """
    from espalier.runs import record

    stage, spec = run.stage, run.spec
    if stage.optional and getattr(spec, stage.name) is None:
        raise Mistake(f"{stage.name}: nothing is asked for; set {stage.name}")
    if wrong := [f"{path}: {message}" for path, message in stage.misfits(spec)]:
        raise Mistake("; ".join(wrong))
    outcome = stage(run, spec)
    if outcome is None:
        return
    startup = {} if run.startup_cpu_s is None else {"startup_cpu_s": run.startup_cpu_s}
    record.write(
        run.folder,
        stage.name,
        spec,
        (stage.metrics, outcome.row),
        parent=run.parent if run.parents else run.data_file,
        data_file=run.data_file,
        data=run.data,
        clock=run.clock,
        **{"seed": getattr(spec, "seed", None), "resumed": 0} | startup | dict(outcome.facts),
    )
    if stage.resumable:
        run.checkpoints().remove()
    run.heartbeat.beat("done")
    log.info("%s", outcome.said)


def section(stage: Stage, spec: Spec) -> Any:
    """The settings of a stage that say how it trains; None where this run does not train."""
    found: Any = spec if stage.training else None
    for key in (stage.training or "").split("."):
        found = getattr(found, key, None)
    return found
