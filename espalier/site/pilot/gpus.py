"""The GPUs that this process may use, named before CUDA starts and without starting it."""

import os
import re
import subprocess


def gpus() -> tuple[str, ...]:
    """GPUs, or MIG slices of them, as CUDA_VISIBLE_DEVICES names them: by UUID; empty where there are none.

    What CUDA_VISIBLE_DEVICES says already is kept; its numbers become UUIDs, since a client of an MPS server
    counts the server's devices and not the machine's.
    """
    found = _found()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return tuple(name for slices in found for name in slices)
    words = [word.strip() for word in given.split(",") if word.strip()]
    # As CUDA does: devices listed after one that does not exist are ignored.
    if "-1" in words:
        words = words[: words.index("-1")]
    return tuple(name for word in words for name in _named(word, found))


def _named(word: str, found: list[tuple[str, ...]]) -> tuple[str, ...]:
    return found[int(word)] if word.isdigit() and int(word) < len(found) else (word,)


def _found() -> list[tuple[str, ...]]:
    """Each GPU of the machine, or its MIG slices, in the order of the driver's list."""
    try:
        text = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return listed(text)


def listed(text: str) -> list[tuple[str, ...]]:
    """What `nvidia-smi -L` printed."""
    found: list[tuple[str, ...]] = []
    for line in text.splitlines():
        name = re.search(r"\(UUID: ((?:GPU|MIG)-[^)]+)\)", line)
        if name is None:
            continue
        if name[1].startswith("GPU"):
            found.append((name[1],))
        else:
            # A GPU that is cut into slices is not used as a whole.
            whole = found[-1]
            found[-1] = (name[1],) if whole[0].startswith("GPU") else (*whole, name[1])
    return found
