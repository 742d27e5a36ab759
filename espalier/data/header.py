"""The header of a prepared data set, read without torch and without its images."""

import json
from pathlib import Path
from typing import Any

from espalier.errors import DataError

KEY = "espalier-data"


def read(path: Path) -> dict[str, Any]:
    """The metadata of a prepared file: its version, settings, classes, sizes of splits, and `checksum`.

    Raises:
        DataError: the file cannot be read, or is no prepared data set.
    """
    # Plans are made where none is needed.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found = json.loads((file.metadata() or {})[KEY])
        if not isinstance(found, dict):
            raise ValueError("its metadata are no mapping")
        return found
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not a prepared data set of Espalier ({error})") from None
