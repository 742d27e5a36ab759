"""safetensors files of tensors too large to hold, written piece by piece."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

_NAMES = {torch.int64: "I64", torch.uint8: "U8"}
_PIECE = 4 << 20


@dataclass(frozen=True)
class Content:
    """A tensor as the pieces of its bytes."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[bytes | np.ndarray]]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "Content":
        """A contiguous tensor in memory, in one piece."""
        return cls(tensor.dtype, tuple(tensor.shape), lambda: [tensor.numpy()])

    @classmethod
    def of_file(cls, file: BinaryIO, dtype: torch.dtype, shape: tuple[int, ...]) -> "Content":
        """The bytes of a whole open file."""

        def pieces() -> Iterable[bytes]:
            file.seek(0)
            return iter(lambda: file.read(_PIECE), b"")

        return cls(dtype, shape, pieces)


def save(path: Path, contents: Mapping[str, Content], metadata: Mapping[str, str]) -> None:
    """Write byte for byte what `safetensors.torch.save_file` would, which wants the tensors in memory."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    ordered = sorted(contents, key=lambda name: (-contents[name].dtype.itemsize, name))
    end = 0
    for name in ordered:
        one = contents[name]
        start, end = end, end + one.dtype.itemsize * torch.Size(one.shape).numel()
        header[name] = {"dtype": _NAMES[one.dtype], "shape": list(one.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            for piece in contents[name].pieces():
                file.write(piece)
