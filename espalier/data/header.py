"""The header of a prepared data set, read without torch and without its images."""

import json
from pathlib import Path
from typing import Any

from espalier.errors import DataError

KEY = "espalier-data"
_LENGTH_BYTES = 8
_MOST = 100 << 20
"""safetensors refuses longer headers."""


def read(path: Path) -> dict[str, Any]:
    """The metadata of a prepared file: its version, settings, classes, sizes of splits, and `checksum`.

    Raises:
        DataError: the file cannot be read, or is no prepared data set.
    """
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > _MOST:
                raise ValueError("it is no safetensors file")
            found = json.loads(json.loads(file.read(length))["__metadata__"][KEY])
            if not isinstance(found, dict):
                raise ValueError("its metadata are no mapping")
            return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a prepared data set of Espalier ({error})") from None
