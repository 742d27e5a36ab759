"""A training made longer: it goes on from the end of a shorter one of the same settings, with the same bits.

That is so where the rate of a step does not depend on how many come after it: schedulers say it by the fact
`any_length`. The state at the end of such a training is kept in its run's folder. An index beside the runs finds it
without a look at all of them: `.ends/<id of the settings without the epochs>/<epochs>` holds the name of the folder.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espalier.counted import counted
from espalier.errors import Damaged, Mistake
from espalier.files import write_text
from espalier.runs import record as records
from espalier.runs.checkpoint import Checkpoints, read
from espalier.runs.log import log
from espalier.settings.sections import Training
from espalier.site import ranks
from espalier.training.state import State

FILE = "end.safetensors"
INDEX = ".ends"
VARIABLE = "ESPALIER_KEEP_ENDS"
"""Environment variable that is 0 where no states are kept."""
_EPOCHS = "train.epochs"


def keep(state: State, train: Training, checkpoints: Checkpoints, folder: Path) -> None:
    """Keep the state at the end of a training that a longer one may go on from; every process must ask for it."""
    if os.environ.get(VARIABLE) == "0" or not _any_length(train):
        return
    saved = state.state_dict()
    if ranks.main():
        checkpoints.write(folder / FILE, saved)
        write_text(_index(folder, checkpoints) / str(train.epochs), folder.name)


def go_on(train: Training, checkpoints: Checkpoints, folder: Path) -> None:
    """Make the end of the longest shorter training of the same settings the first checkpoint of a run that has none.

    What cannot be used is passed over with a warning: the bits are the same without it, only time is lost.
    """
    if not ranks.main() or not _any_length(train) or checkpoints.latest.exists() or checkpoints.previous.exists():
        return
    for shorter in _shorter(train, checkpoints, folder):
        try:
            saved, sha256 = _end(shorter, checkpoints)
        except (Damaged, Mistake, OSError) as error:
            log.warning("%s cannot be gone on from (%s) and is passed over", shorter / FILE, error)
            continue
        begun = {
            "continued": {"run": shorter.name, "sha256": sha256},
            # Loading it is no resumption, and its time is that of the shorter run.
            "resumed": -1,
            "seconds": dict.fromkeys(saved["state"]["seconds"], 0.0),
        }
        checkpoints.begin(saved | {"state": saved["state"] | begun})
        log.info("goes on from the end of %s, after %s", shorter, counted(len(saved["state"]["history"]), "epoch"))
        return


def _any_length(train: Training) -> bool:
    return bool(train.epochs and train.scheduler.entry().facts.get("any_length"))


def _shorter(train: Training, checkpoints: Checkpoints, folder: Path) -> Iterator[Path]:
    """Folders of shorter trainings of the same settings that are done and keep their end, the longest first."""
    found = {int(path.name): path for path in _index(folder, checkpoints).glob("*") if path.name.isdecimal()}
    for epochs in sorted((each for each in found if each < train.epochs), reverse=True):
        shorter = folder.parent / found[epochs].read_text(encoding="utf-8", errors="replace")
        # Forgotten runs and ends that were removed leave their entry.
        if shorter.parent == folder.parent and (shorter / FILE).exists():
            yield shorter


def _end(shorter: Path, checkpoints: Checkpoints) -> tuple[dict[str, Any], str]:
    """What is kept of a complete run, and the SHA-256 of the file.

    Raises:
        Damaged: it is not what was kept, or of other settings.
        Mistake: the run is not done.
        OSError: the file cannot be read.
    """
    outcome = records.complete(shorter).outcome
    if outcome != records.DONE:
        raise Mistake(f"its run is {outcome}")
    saved = read(shorter / FILE)
    if _without_epochs(saved["identity"]) != _without_epochs(checkpoints.identity):
        raise Damaged("it is of other settings")
    return saved, records.sha256(shorter / FILE)


def _index(folder: Path, checkpoints: Checkpoints) -> Path:
    """Where trainings of the same settings stand, whatever their epochs."""
    text = json.dumps(_without_epochs(checkpoints.identity), sort_keys=True)
    return folder.parent / INDEX / hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_epochs(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key != _EPOCHS}
