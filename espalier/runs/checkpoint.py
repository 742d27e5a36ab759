"""Checkpoints without pickle: tensors and a JSON tree in one safetensors file, checksummed, the last two kept.

The tree holds everything that is no tensor: Python writes the shortest text that reads back as the same float,
so numbers are exact; mappings are lists of pairs, so keys may be integers or tuples.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from espalier.counted import counted
from espalier.errors import CheckpointError, Damaged
from espalier.files import replacing
from espalier.site import ranks

log = logging.getLogger("espalier")


def pack(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """`value` as a JSON tree; its tensors go into `tensors`, where the tree names them.

    Raises:
        TypeError: there is something in it that is neither a tensor nor plain data.
    """
    if isinstance(value, Tensor):
        label = f"{len(tensors)}:{name}"
        # Copied, since tied weights share memory, which safetensors refuses; contiguous, since it must be.
        tensors[label] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        nhwc = value.dim() == 4 and not value.is_contiguous()
        return {"tensor": label, "channels_last": nhwc}
    if isinstance(value, Mapping):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[pack(k, tensors), pack(v, tensors, f"{name}/{k}")] for k, v in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [pack(inner, tensors, f"{name}/{i}") for i, inner in enumerate(value)]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{name}: a checkpoint cannot hold a {type(value).__name__}")


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `pack` made `tree` and `tensors` of, on the CPU."""
    if not isinstance(tree, dict):
        return tree
    (kind, inner), *layout = tree.items()
    if kind == "tensor":
        tensor = tensors[inner]
        return tensor.contiguous(memory_format=torch.channels_last) if dict(layout)["channels_last"] else tensor
    if kind in ("dict", "counter"):
        made = {unpack(k, tensors): unpack(v, tensors) for k, v in inner}
        return Counter(made) if kind == "counter" else made
    items = [unpack(item, tensors) for item in inner]
    return tuple(items) if kind == "tuple" else items


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over a text and contiguous CPU tensors with their names, types and shapes."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def write(path: Path, value: Any, keep: Path | None = None) -> None:
    """Write `value` to `path` in one rename; what stood there becomes `keep`."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(pack(value, tensors))
    with replacing(path) as temporary:
        # One entry: safetensors writes several in an order that changes from process to process.
        save_file(tensors, temporary, {"tree": f"{digest(text, tensors)} {text}"})
        if keep and path.exists():
            path.replace(keep)


def read(path: Path) -> Any:
    """The value in a file.

    Raises:
        Damaged: the file is cut short, or a bit of it has changed.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # Cloned out of the memory map: later operations may depend on a tensor's alignment.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        sha256, _, text = metadata["tree"].partition(" ")
        if sha256 != digest(text, tensors):
            raise Damaged("its checksum is wrong")
        return unpack(json.loads(text), tensors)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise Damaged(str(error)) from error


class Checkpoints:
    """The checkpoint of a run and the one before it.

    `identity` is what the run is a function of; a checkpoint of another identity is refused. Of several processes
    the main one writes, and all read the same.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        self.folder = Path(folder)
        self.latest = self.folder / "latest.safetensors"
        self.previous = self.folder / "previous.safetensors"
        self.identity = dict(identity)

    def save(self, state: Mapping[str, Any]) -> None:
        if ranks.main():
            self.write(self.latest, state, keep=self.previous)

    def write(self, path: Path, state: Mapping[str, Any], keep: Path | None = None) -> None:
        """Write a state of the run to a file, as a checkpoint has it; what stood there becomes `keep`."""
        write(path, {"identity": self.identity, "threads": torch.get_num_threads(), "state": state}, keep)

    def within(self, name: str) -> "Checkpoints":
        """Checkpoints of a part of the run that is done before others, which do not replace them."""
        return Checkpoints(self.folder / name, self.identity)

    def begin(self, saved: Mapping[str, Any]) -> None:
        """Make what another run has saved the first checkpoint of this one."""
        write(self.latest, {**saved, "identity": self.identity})

    def load(self) -> dict[str, Any] | None:
        """The newest sound state, or None for a fresh start; torch then has the threads that it was saved with.

        Sums of another number of threads are other bits. A damaged file is set aside with a warning. When no sound one
        is left the run starts anew: its result is the same, since it depends on nothing but its settings; only time is
        lost.

        Raises:
            CheckpointError: the checkpoint is of another run.
        """
        with ranks.main_first():
            return self._newest()

    def _newest(self) -> dict[str, Any] | None:
        found = [path for path in (self.latest, self.previous) if path.exists()]
        for path in found:
            try:
                saved = read(path)
            except Damaged as error:
                log.warning("%s is damaged (%s) and is passed over", path, error)
                path.replace(path.with_suffix(".damaged"))
                continue
            self._check(path, saved["identity"])
            if saved["threads"] != torch.get_num_threads():
                threads = counted(saved["threads"], "thread")
                log.info("goes on with %s, as it was begun: others would give other bits", threads)
                torch.set_num_threads(saved["threads"])
            return saved["state"]
        if found:
            log.warning("%s holds no sound checkpoint: training starts anew from epoch 1", self.folder)
        return None

    def _check(self, path: Path, found: Mapping[str, Any]) -> None:
        wanted = self.identity
        keys = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        if keys:
            there, here = ({key: repr(side.get(key, "the default")) for key in keys} for side in (found, wanted))
            differences = ", ".join(f"{key} is {there[key]} there and {here[key]} here" for key in keys)
            raise CheckpointError(
                f"{path} belongs to another run: {differences}. "
                f"Remove {self.folder} to start anew, or train into another folder"
            )
