"""Slots: which of the runs that a machine does at once has which GPU.

A slot is a locked file that the run itself holds. Free ones are looked for by one run at a time.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from espalier.errors import Interrupted, Mistake
from espalier.site import file_lock

CPU = "cpu"
"""The one device where there is no GPU."""

_CHOICE, _CLOSED = "choice", "closed"
_POLL_S = 0.1


@dataclass(frozen=True)
class Claim:
    """Slots that this process holds until it ends or lets go."""

    devices: tuple[str, ...]
    """of each process that this one starts, or its own"""
    files: tuple[IO, ...]

    def release(self) -> None:
        for file in self.files:
            file.close()


@dataclass(frozen=True)
class Slots:
    """The slots of one machine.

    Args:
        folder: where their files are, on a disk of this machine
        devices: GPUs as CUDA_VISIBLE_DEVICES names them, or `CPU` alone
        each: slots of a device
    """

    folder: Path
    devices: tuple[str, ...]
    each: int

    def claim(self, processes: int = 1, *, alone: bool = False) -> Claim:
        """Wait for a slot for each process, on the least used devices; processes share no GPU.

        Args:
            alone: wait until nobody else is on the device, and let nobody else begin there from now on

        Raises:
            Mistake: there are not so many.
            Interrupted: the slots were closed.
        """
        most = self.each if self._shared else len(self.devices)
        if processes > most:
            raise Mistake(f"processes: {processes} is more than the {most} that this machine has a slot for; lower it")
        while True:
            with self._choosing():
                found = self._bars(1 if self._shared else processes) if alone else self._free(processes)
            if found:
                break
            time.sleep(_POLL_S)
        for file in found:
            file_lock.sign(file, os.getpid())
        devices = tuple(Path(file.name).stem.replace("%", "/") for file in found)
        return Claim(devices, (*found, *(self._emptied(devices) if alone else ())))

    @property
    def _shared(self) -> bool:
        return self.devices == (CPU,)

    def _files(self, device: str) -> list[Path]:
        return [self._file(device, str(number)) for number in range(self.each)]

    def _bar(self, device: str) -> Path:
        """The lock of whoever has a device alone, or will have it as soon as it is empty."""
        return self._file(device, "alone")

    def _file(self, device: str, which: str) -> Path:
        # Some slices of GPUs have a slash in their name.
        return self.folder / f"{device.replace('/', '%')}.{which}"

    @contextmanager
    def _choosing(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file_lock.take(self.folder / _CHOICE, wait=True):
            self._refuse_when_closed()
            yield

    def _refuse_when_closed(self) -> None:
        if (self.folder / _CLOSED).exists():
            raise Interrupted("no run begins any more: the pilot ends")

    def _free(self, processes: int) -> list[IO]:
        """A free slot for each process, or none at all."""
        free = {device: _taken(self._files(device)) for device in self._unbarred()}
        if self._shared:
            offered = free.get(CPU, [])
        else:
            offered = [files[0] for files in sorted(free.values(), key=len, reverse=True) if files]
        chosen = offered[:processes] if len(offered) >= processes else []
        for file in (file for files in free.values() for file in files if file not in chosen):
            file.close()
        return chosen

    def _unbarred(self) -> list[str]:
        bars = {device: file_lock.take(self._bar(device)) for device in self.devices}
        for bar in filter(None, bars.values()):
            bar.close()
        return [device for device, bar in bars.items() if bar]

    def _bars(self, count: int) -> list[IO]:
        """The bars of the least used devices, so many or none at all."""
        used = {}
        for device in self._unbarred():
            free = _taken(self._files(device))
            used[device] = self.each - len(free)
            for file in free:
                file.close()
        chosen = sorted(used, key=used.__getitem__)[:count]
        return _taken(map(self._bar, chosen)) if len(chosen) == count else []

    def _emptied(self, devices: tuple[str, ...]) -> list[IO]:
        """Every slot of `devices`, once the runs that hold them have ended."""
        left = [path for device in devices for path in self._files(device)]
        files: list[IO] = []
        while left:
            self._refuse_when_closed()
            for path in left.copy():
                if file := file_lock.take(path):
                    file_lock.sign(file, os.getpid())
                    files.append(file)
                    left.remove(path)
            if left:
                time.sleep(_POLL_S)
        return files


def close(folder: Path) -> list[int]:
    """Give no slot of `folder` from now on; the processes that hold one."""
    with file_lock.take(folder / _CHOICE, wait=True):
        (folder / _CLOSED).touch()
        return sorted({file_lock.holder(path) for path in folder.iterdir() if path.name != _CHOICE} - {None})


def _taken(paths: Iterator[Path] | list[Path]) -> list[IO]:
    return [file for file in map(file_lock.take, paths) if file]
