"""Where runs lie, and one of them by its name."""

from pathlib import Path

from espalier.errors import Mistake
from espalier.runs import record as records
from espalier.runs.spoken_name import spoken_name

RUNS, DATA = Path("results/runs"), Path("results/data")


def folders() -> list[Path]:
    """The folders of all runs that lie here."""
    return sorted(path for path in RUNS.glob("*/[!.]*") if path.is_dir())


def find(name: str) -> Path:
    """The folder of a run, named by its path, its folder's name, its id or its spoken name.

    Raises:
        Mistake: there is none, or more than one.
    """
    place = Path(name).resolve()
    found = [path for path in folders() if name in _names(path) or path.resolve() == place]
    if len(found) == 1:
        return found[0]
    if found:
        raise Mistake(f"{name}: several runs have this name ({', '.join(map(str, found))}); name one by its path")
    raise Mistake(
        f"{name}: no run of this id, name, spoken name or path lies in {RUNS}; `espalier status` knows those of a study"
    )


def path_or_run(name: str | Path) -> Path:
    """A file or folder by its path, or else the folder of the run of this name.

    Raises:
        Mistake: there is neither, or more than one run.
    """
    return Path(name) if Path(name).exists() else find(str(name))


def _names(path: Path) -> tuple[str, ...]:
    identifier = records.identifier(path)
    return path.name, identifier, spoken_name(identifier)
