"""What every run leaves at its end, whatever its stage: `metrics.csv` and `run.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espalier.runs import provenance
from espalier.runs.clock import Clock
from espalier.runs.columns import METRICS, write_rows
from espalier.settings.registry import Spec
from espalier.site import device, preload

if TYPE_CHECKING:
    from espalier.data.resident import Resident

_MEMORY = "peak_memory_mib"


def write(
    folder: Path,
    stage: str,
    spec: Spec,
    row: Mapping[str, Any],
    *,
    parent: Path,
    data_file: Path,
    data: "Resident",
    clock: Clock,
    **facts: Any,
) -> None:
    """Write a run's last two files.

    Args:
        row: the columns of metrics.csv that only the stage knows; beside them stand the run and its parent, seconds on
            the wall and on the CPU, and the peak of memory, in MiB, where the stage has a column for it
        parent: the run that was read, or the prepared file of a training
        clock: of the whole run; it stops here
        facts: what else run.json tells: seed, params, macs, resumed, …

    Raises:
        ValueError: the row has a key that is no column of the stage, or lacks one.
    """
    import torch

    clock.lap()
    times = {f"{part}_s": round(clock.seconds[part], 3) for part in ("wall", "cpu")}
    ids = {"run": provenance.identifier(folder), "parent": provenance.identifier(parent)}
    columns = METRICS[stage]
    memory = {_MEMORY: round(device.peak_memory_mib(data.device), 1)} if _MEMORY in columns else {}
    write_rows(Path(folder) / "metrics.csv", columns, [{**row, **ids, **times, **memory}])
    provenance.write(
        folder,
        stage,
        spec,
        parent=parent,
        data={"path": str(data_file), "checksum": data.checksum},
        device=device.name(data.device),
        threads=torch.get_num_threads(),
        started=clock.began,
        preloaded=preload.preloaded(),
        **times,
        **facts,
    )
