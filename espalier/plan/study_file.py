"""The text of a study file with its line numbers, and the overrides laid over it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from espalier.settings.keys import flat, merged
from espalier.settings.problems import Problem, StudyError, unknown
from espalier.settings.words import value


class Source:
    """The plain content of a study file after overrides, and where each key was written."""

    def __init__(self, path: Path, overrides: Mapping[str, Any]):
        self.path = path
        self._marks = _read(path)
        self.data = merged(_plain(self._marks), overrides)
        self._overridden = [key.split(".") for key, _ in flat(overrides)]

    def place(self, keys: tuple) -> str:
        """``file:line`` of the key, of its nearest parent when it is missing, or ``--config``."""
        keys = _in_file(keys, self.data)
        strings = [str(key) for key in keys]
        if any(strings[: len(over)] == over for over in self._overridden):
            return "--config"
        node, line = self._marks, 0
        for key in keys:
            try:
                line = (node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key))[0]
                node = node[key]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return f"{self.path}:{line + 1}"


def _read(path: Path) -> CommentedMap:
    try:
        tree = YAML(typ="rt", pure=True).load(path.read_text())
    except OSError as error:
        raise StudyError([Problem("", f"cannot be read: {error.strerror}", str(path))]) from error
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None) if isinstance(error, MarkedYAMLError) else None
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        text = (getattr(error, "problem", None) or str(error)).splitlines()[0]
        raise StudyError([Problem("", f"not valid YAML: {text}", place)]) from error
    if not isinstance(tree, CommentedMap):
        raise StudyError([Problem("", "a study is a mapping of keys to values", f"{path}:1")])
    return tree


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(inner) for key, inner in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(inner) for inner in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def retyped(found: Any) -> Any:
    """Overrides as YAML values: Snakemake hands every nested value of ``--config`` over as a text."""
    if isinstance(found, Mapping):
        return {str(key): retyped(inner) for key, inner in found.items()}
    if isinstance(found, list):
        return [retyped(inner) for inner in found]
    return value(found) if isinstance(found, str) else found


def _in_file(keys: tuple, data: Any) -> tuple:
    """Undo what validators do to the shape: a single grid block, a list of axis values."""
    found = []
    for key in keys:
        if isinstance(data, Mapping) and isinstance(key, int) and key not in data:
            continue
        if isinstance(key, str) and key.startswith("\0"):
            key = int(key[1:])
        found.append(key)
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(found)


def find(name: str, folder: Path) -> Path:
    """The file of a study, named by its file name in `folder` or by a path.

    Raises:
        StudyError: there is none; the message names the nearest.
    """
    by_path = name.endswith((".yaml", ".yml"))
    stem = Path(name).stem if by_path else name
    # The name becomes a folder and a word of command lines.
    if not re.fullmatch(r"\w[\w.-]*", stem):
        message = f"{stem!r} is no name for a study: use letters, digits, dots, - and _, a letter or digit first"
        raise StudyError([Problem("studies", message, name)])
    if by_path:
        return Path(name)
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise StudyError([Problem("studies", unknown("study", name, known))])
    return known[name]
