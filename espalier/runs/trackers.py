"""Trainings under way as TensorBoard, MLflow or Weights & Biases show them, through Accelerate's trackers.

A look from outside: no setting of a run, so it names none and changes none. Every epoch's row of history is told by
the main process and written beside the run; the address of a server or of a store that several trainings share is used
where its environment variable gives one. All trainings stand in one project, under the names that a person can say,
with their settings as values that can be sorted and grouped.
"""

import importlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from espalier.errors import Mistake
from espalier.runs.record import identifier
from espalier.runs.spoken_name import spoken_name
from espalier.site import file_lock, ranks

log = logging.getLogger("espalier")

VARIABLE = "ESPALIER_TRACKERS"
"""Environment variable with the trackers of every run."""
PROJECT = "espalier"
"""The project or experiment of all runs, unless `WANDB_PROJECT` or `MLFLOW_EXPERIMENT_NAME` names another."""

_PACKAGES = ("tensorboard", "mlflow", "wandb")


class _Following:
    """What this process tells, and whom."""

    def __init__(self, folder: Path, names: Sequence[str], settings: Mapping[str, Any]):
        self.folder = Path(folder)
        self.waiting = list(names)
        self.settings = {key: _sortable(value) for key, value in settings.items() if value is not None}
        self.open: dict[str, Any] = {}

    @property
    def called(self) -> str:
        """The run's spoken name."""
        return spoken_name(identifier(self.folder))


_following: _Following | None = None


def _sortable(value: Any) -> str | float:
    """A number stays one; lists and mappings are JSON."""
    return value if isinstance(value, str | int | float) else json.dumps(value)


def named(text: str) -> tuple[str, ...]:
    """Trackers from a list with commas.

    Raises:
        Mistake: a name is not known, or its library not installed.
    """
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if name not in _PACKAGES:
            raise Mistake(f"tracking: {name!r} is not known; use {', '.join(_PACKAGES)}")
        if find_spec(name) is None:
            raise Mistake(f"tracking: {name} is not installed: uv sync --group trackers")
    return names


@contextmanager
def following(folder: Path, trackers: str | None, settings: Mapping[str, Any]) -> Iterator[None]:
    """Report the trainings inside the block to trackers.

    Args:
        trackers: names, separated by commas; None takes them from the environment variable that Snakemake sets
        settings: key path → value of every setting of the run; null values are not reported

    Raises:
        Mistake: a tracker is not known, or not installed.
    """
    global _following
    _following = _Following(folder, named(os.environ.get(VARIABLE, "") if trackers is None else trackers), settings)
    try:
        yield
    finally:
        for tracker in _following.open.values():
            with suppress(Exception):
                tracker.finish()
        _following = None


def begin(epoch: int) -> None:
    """Open what is to follow, before the first step of a training that begins or goes on at `epoch`.

    Raises:
        Mistake: a tracker cannot be opened.
    """
    if _following is None or not ranks.main():
        return
    while _following.waiting:
        name = _following.waiting.pop(0)
        try:
            _following.open[name] = _OPENING[name](_following, epoch)
        # Each library raises its own.
        except Exception as error:
            raise Mistake(f"tracking: {name} cannot begin ({type(error).__name__}: {error})") from error


def log_epoch(row: Mapping[str, Any], best: Mapping[str, Any] | None = None) -> None:
    """Tell a row of history. A tracker that fails is left out from then on: it must not cost the training.

    Args:
        best: the row of the epoch that the training would keep if it ended now, told as `best_epoch` and
            `best_validation_top1` (percent); None where no epoch may be kept yet
    """
    values = {key: value for key, value in row.items() if key != "epoch"}
    if best is not None:
        values |= {f"best_{key}": best[key] for key in ("epoch", "validation_top1")}
    for name, tracker in [*_following.open.items()] if _following else ():
        try:
            tracker.log(values, step=row["epoch"])
        except Exception as error:
            del _following.open[name]
            log.warning("tracking: %s has failed and follows no more (%s: %s)", name, type(error).__name__, error)


def _place(following: _Following) -> Path:
    place = (following.folder / "tracking").resolve()
    place.mkdir(parents=True, exist_ok=True)
    return place


def _tensorboard(following: _Following, epoch: int) -> Any:
    from accelerate.tracking import TensorBoardTracker

    # Epochs that were told before a run was killed and are done again are shown once.
    tracker = TensorBoardTracker("tensorboard", _place(following), purge_step=epoch)
    tracker.start()
    tracker.log({"settings": "\n".join(f"    {key}={value}" for key, value in following.settings.items())}, step=0)
    return tracker


def _mlflow(following: _Following, epoch: int) -> Any:
    mlflow = mlflow_library()
    artifacts = None
    if "MLFLOW_TRACKING_URI" not in os.environ:
        place = _place(following)
        mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
        artifacts = (place / "artifacts").as_uri()
    from accelerate.tracking import MLflowTracker

    project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    with _alone(mlflow.get_tracking_uri()):
        experiment = _experiment(mlflow, project, artifacts)
        wanted = f"tags.folder = '{following.folder.name}'"
        runs = mlflow.MlflowClient().search_runs([experiment], wanted, max_results=1)
        tracker = MLflowTracker(
            project,
            run_id=runs[0].info.run_id if runs else None,
            run_name=following.called,
            tags={"id": identifier(following.folder), "folder": following.folder.name},
        )
        tracker.start()
        tracker.store_init_configuration(following.settings)
    return tracker


@contextmanager
def _alone(store: str) -> Iterator[None]:
    """Let trainings that share a file of SQLite begin one after the other: MLflow makes and renews its tables then,
    and two that do it at once spoil them."""
    _, sqlite, path = store.partition("sqlite:///")
    if not sqlite:
        yield
        return
    lock = Path(f"{path.partition('?')[0]}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with file_lock.take(lock, wait=True):
        yield


def _experiment(mlflow: Any, name: str, artifacts: str | None) -> str:
    """The id of an experiment, made where there is none yet."""
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            return mlflow.create_experiment(name, artifact_location=artifacts)
        except mlflow.MlflowException:
            # Of trainings that begin at once, another one was quicker.
            found = mlflow.get_experiment_by_name(name)
            if found is None:
                raise
    return found.experiment_id


def mlflow_library() -> Any:
    """MLflow itself, told to send nothing anywhere.

    Raises:
        Mistake: it is not installed.
    """
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        return importlib.import_module("mlflow")
    except ModuleNotFoundError as error:
        raise Mistake(f"mlflow is not installed ({error}): uv sync --group trackers") from error


def _wandb(following: _Following, epoch: int) -> Any:
    os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    from accelerate.tracking import WandBTracker

    project, name = os.environ.get("WANDB_PROJECT", PROJECT), following.folder.name
    place = str(_place(following))
    tracker = WandBTracker(project, name=following.called, id=name, resume="allow", dir=place)
    tracker.start()
    tracker.store_init_configuration({"folder": name, **following.settings})
    return tracker


_OPENING: dict[str, Callable[[_Following, int], Any]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
