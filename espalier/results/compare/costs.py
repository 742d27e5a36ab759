"""What a network costs, for figures of accuracy against it: size, work, bytes, latency, time."""

from pathlib import Path
from typing import TYPE_CHECKING

from espalier.results.format import numbers
from espalier.results.read import convergence, trainings
from espalier.results.read.planned_study import Study, ending_in
from espalier.runs.record import DONE

if TYPE_CHECKING:
    import pandas as pd

WORDS = {
    "params": "parameters",
    "nonzeros": "parameters that are not zero",
    "macs": "multiply-accumulates of one image",
    "file_bytes": "bytes of the file that holds the network",
    "latency_1": "CPU latency of one image",
    "latency_64": "CPU latency of 64 images",
    "train_time": "wall time of training",
    convergence.COLUMN: "epochs to convergence",
}
_NAMES = {"params": "Parameters", "nonzeros": "Parameters that are not zero", "macs": "MACs"}
_LATENCIES = {"latency_1": "CPU latency of one image (ms)", "latency_64": "CPU latency of 64 images (ms)"}


def costs(frame: "pd.DataFrame", study: Study, x: str) -> "pd.Series":
    """The cost `x` (a key of `WORDS`) of every row of the frame, in ones, bytes, milliseconds, seconds or epochs.

    A trained network that nothing has changed has no zeros, and the file its run has left. Its latency is that measured
    in turn with the networks pruned from it; of quantized ones, which run in floats here, it is missing. Where chains
    of a configuration are done, those that are not have no cost: the stage they have come to is another network's.
    """
    done = frame["state"] == DONE
    return _so_far(frame, study, x).where(done | ~done.groupby(frame["configuration"]).transform("any"))


def _so_far(frame: "pd.DataFrame", study: Study, x: str) -> "pd.Series":
    import pandas as pd

    if x == "train_time":
        return trainings.wall_s(frame)
    column = f"{x}_ms" if x in _LATENCIES else x
    found = frame[column] if column in frame else pd.Series(float("nan"), frame.index)
    if x == "nonzeros":
        return found.fillna(frame["params"])
    if x == "file_bytes":
        return found.fillna(ending_in(frame, "train")["run.train"].map(lambda run: _size(study, run)).astype(float))
    if x in _LATENCIES and "run.prune" in frame:
        pruned = frame.drop_duplicates("run.prune")
        times = pruned[column] * pruned[f"speedup_{x.rpartition('_')[2]}"]
        before = times.groupby(trainings.last(pruned)).mean()
        measured = ending_in(frame, "prune")
        own = trainings.last(measured).map(before).astype(float)
        return found.reindex(measured.index).fillna(own).reindex(frame.index)
    return found


def unit(cost: "pd.Series", x: str) -> tuple[float, str]:
    """Divisor and label of an axis of the cost `x`."""
    if x == "train_time":
        divisor, name = numbers.time_unit(cost)
        return divisor, f"Train time ({name})"
    if x == convergence.COLUMN:
        return 1.0, convergence.HEADING
    if x in _LATENCIES:
        return 1.0, _LATENCIES[x]
    if x == "file_bytes":
        divisor, name = numbers.byte_unit(cost)
        return divisor, f"File ({name})"
    divisor, prefix = numbers.count_unit(cost)
    return divisor, f"{_NAMES[x]} ({prefix})" if prefix else _NAMES[x]


def _size(study: Study, run: object) -> float:
    try:
        return float(Path(study["runs"][run]["path"], "model.safetensors").stat().st_size)
    except (KeyError, OSError):
        return float("nan")
