"""Records of runs that were made by hand."""

import json
from pathlib import Path

from espalier.runs import record

_UNNAMED = (record.FILE, "run.log", "heartbeat.json")
"""What a run leaves beside the files that its record names."""


def seal(folder: Path, stage: str, parent: str | None = None, **said: object) -> None:
    """Write a sound record of a run that is done, with all files in its folder.

    Args:
        said: what it tells beside, or in place of, what is the same in all
    """
    content = {
        "run": record.identifier(folder),
        "stage": stage,
        "outcome": record.DONE,
        "parent": parent,
        "spec": {},
        "data": {
            "path": "results/data/digits.safetensors",
            "checksum": "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef",
        },
        "command": f"python workflow/scripts/stage.py {stage} {folder}",
        "git": {"commit": "1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e", "dirty": False},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "espalier": "0.1.0"},
        "host": "laptop",
        "device": "cpu",
        "started": "2026-03-01T12:00:00+00:00",
        "wall_s": 5.0,
        "cpu_s": 5.0,
    }
    names = [path.name for path in sorted(Path(folder).iterdir()) if path.is_file() and path.name not in _UNNAMED]
    record.write(folder, content | said, names, {})


def reseal(folder: Path, **said: object) -> None:
    """Write a run's record again after its files were changed, with its old content updated by `said`."""
    content = json.loads((Path(folder) / record.FILE).read_text())
    seal(
        folder,
        **{key: value for key, value in content.items() if key not in ("record", "written", "read", "sha256")} | said,
    )
