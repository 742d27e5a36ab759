"""Files of a user's own whose registered functions join the library's: `plugins` of config/config.yaml.

Every process of a workflow finds them named in an environment variable, as a run by hand does.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from espalier.errors import Mistake

VARIABLE = "ESPALIER_PLUGINS"
"""Environment variable with the files, relative to the repository, parted as those of PATH."""

_DIGITS = 10


def listed(found: Any) -> Any:
    """A text of several words, parted by commas or blanks, as the list that it stands for."""
    return found.replace(",", " ").split() if isinstance(found, str) else found


def use(given: Any) -> None:
    """Name the files that `plugins` of the configuration gives, here and in every process that is started from here.

    Raises:
        Mistake: it is no list of files.
    """
    files = listed(given)
    if not (isinstance(files, list | tuple) and all(isinstance(file, str) for file in files)):
        raise Mistake(f"plugins: found {given!r}, expected a list of files, such as [my_models.py]")
    os.environ[VARIABLE] = os.pathsep.join(files)


def files() -> Iterator[Path]:
    """The files that are named, each once.

    Raises:
        Mistake: one cannot be used.
    """
    named = dict.fromkeys(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    for path in map(Path, named):
        if path.suffix != ".py":
            raise Mistake(f"plugins: {path} is no file of Python; name one that ends in .py")
        if not path.is_file():
            raise Mistake(f"plugins: there is no file {path} in {Path.cwd()}; name it as it is found from there")
        yield path


@cache
def sha256(path: Path) -> str:
    """Of the file as this process has first read it, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def version(path: Path) -> str:
    """The file's content in short: part of what a run is that uses the file."""
    return f"sha256-{sha256(path)[:_DIGITS]}"


def module(path: Path) -> ModuleType:
    """The file, imported once.

    Raises:
        Mistake: it has been changed since this process read it.
    """
    name = f"plugin_{path.stem}_{sha256(path)[:_DIGITS]}"
    if name not in sys.modules:
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256(path):
            raise Mistake(f"{path}: was changed while it was read; start again")
        spec = importlib.util.spec_from_file_location(name, path)
        made = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(made)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
