"""What a pilot tells its runs, and what a run does with it: a slot, its GPU and its cores.

The pilot is whatever keeps runs going: Snakemake with profiles/pilot, or a benchmark. It tells its runs by one
environment variable, which nothing else sets.
"""

import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from espalier.errors import Mistake
from espalier.site.pilot.gpus import gpus
from espalier.site.pilot.slots import CPU, Claim, Slots

VARIABLE = "ESPALIER_PILOT"

_held: Claim | None = None
"""The slot of this process; its files must stay open."""


@dataclass(frozen=True)
class Pilot:
    """Slots, and the cores of a run."""

    slots: Slots
    threads: int

    @classmethod
    def of(cls, runs: int, cores: int, folder: Path | None = None) -> "Pilot":
        """So many runs at once, spread over this machine's GPUs.

        Threads are the same for every run, also where fewer are left: on a CPU they decide the last bits.
        """
        devices = gpus() or (CPU,)
        each = -(-runs // len(devices))
        return cls(Slots(folder or shared_folder(), devices, each), max(1, cores // runs))

    @classmethod
    def from_environment(cls) -> "Pilot | None":
        """The pilot that has started this process; None where there is none."""
        if VARIABLE not in os.environ:
            return None
        said = json.loads(os.environ[VARIABLE])
        return cls(Slots(Path(said["folder"]), tuple(said["devices"]), said["each"]), said["threads"])

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that runs need in addition to the pilot's own."""
        said = {"folder": str(self.slots.folder), "devices": self.slots.devices, "each": self.slots.each}
        return {VARIABLE: json.dumps(said | {"threads": self.threads})}


def board(processes: int = 1) -> int | None:
    """Claim this run's slot of the pilot's, see its GPU alone, and return the run's threads; None without a pilot.

    Raises:
        Mistake: the machine has fewer slots than the run has processes.
        Interrupted: the pilot ends.
    """
    global _held
    pilot = Pilot.from_environment()
    if pilot is None:
        return None
    if _held is None:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            raise RuntimeError("CUDA has started before the run knows its GPU")
        _held = pilot.slots.claim(processes, alone=note().exists())
        if CPU not in _held.devices:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_held.devices)
    return pilot.threads


def note() -> Path:
    """The file that says that this run's memory did not suffice beside others."""
    folder = Pilot.from_environment().slots.folder
    script, *words = sys.argv
    # Rules name the stage and the run's folder first; other words may differ between two attempts.
    words = words[:2] if words and not words[0].startswith("-") else words
    name = "-".join([Path(script).stem, *words]).replace("/", "_")
    return folder / f"{name[-200:]}.needs_all"


def shared_folder() -> Path:
    """A private folder of this user on this machine, in which pilots side by side share their slots."""
    folder = Path(tempfile.gettempdir(), f"espalier-slots-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise Mistake(f"{folder} must be a folder that you alone can write; remove it, or set TMPDIR to another")
    return folder


_WORDS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""How libraries below torch say it, in an error of no class of its own."""


def ended(code: int, error: BaseException | None) -> None:
    """Note how a pilot's run has ended: with an exit code, and by `error` where there was one."""
    if VARIABLE not in os.environ:
        return
    if code == 0:
        note().unlink(missing_ok=True)
    elif out_of_memory(error):
        note().touch()


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that a GPU's memory is used up."""
    torch = sys.modules.get("torch")
    while torch is not None and error is not None:
        known = isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
        if known or isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False
