"""Trainings under way as TensorBoard, MLflow or Weights & Biases show them, through Accelerate's trackers.

A look from outside: no setting of a run, so it names none and changes none. Every epoch's row of history is told by
the main process and written beside the run; an address of a server is used where its environment variable gives one.
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from espalier.errors import Mistake
from espalier.site import ranks

log = logging.getLogger("espalier")

VARIABLE = "ESPALIER_TRACKERS"
"""Environment variable with the trackers of every run."""
PROJECT = "espalier"
"""The project or experiment under which runs stand."""

_PACKAGES = ("tensorboard", "mlflow", "wandb")


class _Following:
    """What this process tells, and whom."""

    def __init__(self, folder: Path, names: Sequence[str], words: Sequence[str]):
        self.folder = Path(folder)
        self.waiting = list(names)
        self.settings = dict(word.split("=", 1) for word in words)
        self.open: dict[str, Any] = {}


_following: _Following | None = None


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
def following(folder: Path, trackers: str | None, words: Sequence[str]) -> Iterator[None]:
    """Let trackers follow the trainings of the block.

    Args:
        trackers: a list with commas; None for that of the environment, where Snakemake states it
        words: the run's settings as key=value

    Raises:
        Mistake: a tracker is not known, or not installed.
    """
    global _following
    _following = _Following(folder, named(os.environ.get(VARIABLE, "") if trackers is None else trackers), words)
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


def told(row: Mapping[str, Any]) -> None:
    """Tell a row of history. A tracker that fails is left out from then on: it must not cost the training."""
    for name, tracker in [*_following.open.items()] if _following else ():
        try:
            tracker.log({key: value for key, value in row.items() if key != "epoch"}, step=row["epoch"])
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
    tracker = TensorBoardTracker("tensorboard", _place(following), purge_step=epoch if epoch > 1 else None)
    tracker.start()
    tracker.log({"settings": "\n".join(f"    {key}={value}" for key, value in following.settings.items())}, step=0)
    return tracker


def _mlflow(following: _Following, epoch: int) -> Any:
    mlflow, place = mlflow_library(), _place(following)
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
    from accelerate.tracking import MLflowTracker

    experiment = mlflow.get_experiment_by_name(PROJECT)
    wanted = f"attributes.run_name = '{following.folder.name}'"
    runs = mlflow.MlflowClient().search_runs([experiment.experiment_id], wanted, max_results=1) if experiment else ()
    tracker = MLflowTracker(
        PROJECT,
        logging_dir=(place / "artifacts").as_uri() if "MLFLOW_TRACKING_URI" not in os.environ else None,
        run_id=runs[0].info.run_id if runs else None,
        run_name=following.folder.name,
    )
    tracker.start()
    tracker.store_init_configuration(following.settings)
    return tracker


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

    name = following.folder.name
    tracker = WandBTracker(PROJECT, name=name, id=name, resume="allow", dir=str(_place(following)))
    tracker.start()
    tracker.store_init_configuration(following.settings)
    return tracker


_OPENING: dict[str, Callable[[_Following, int], Any]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
