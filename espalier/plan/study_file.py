"""The text of a study file with its line numbers, and the overrides laid over it."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from espalier.settings.bounded_yaml import CHARACTERS, DEPTH, VALUES, Unreadable, read, shown
from espalier.settings.keys import flat, merged
from espalier.settings.problems import Problem, StudyError, unknown
from espalier.settings.words import value

ENDINGS = (".yaml", ".yml")
_SHOWN = 80


class Source:
    """The plain content of a study file after overrides, and where each key was written."""

    def __init__(self, path: Path, overrides: Mapping[str, Any]):
        self.path = path
        self._marks = _read(path)
        self.own = tuple(_plain(self._marks))
        """the keys of the file"""
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
        # More is not looked at; the message then says what is too much.
        with path.open(encoding="utf-8") as file:
            tree = read(file.read(CHARACTERS + 1), typ="rt")
    except OSError as error:
        raise StudyError([Problem("", f"cannot be read: {error.strerror}", str(path))]) from error
    except Unreadable as error:
        place = f"{path}:{error.line}" if error.line else str(path)
        raise StudyError([Problem("", str(error), place)]) from error
    except UnicodeDecodeError as error:
        raise StudyError([Problem("", f"not valid YAML: {error.reason}", str(path))]) from error
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
    """Overrides as YAML values: Snakemake hands every nested value of ``--config`` over as a text.

    Raises:
        ValueError: a text is no YAML, or there are more values than anyone means.
    """
    return _retyped(found, itertools.count(1), DEPTH)


def _retyped(found: Any, counted: Iterator[int], deep: int) -> Any:
    if next(counted) > VALUES or not deep:
        raise ValueError(f"holds more than {VALUES:,} values, or nests them more than {DEPTH} deep; write fewer")
    if isinstance(found, Mapping):
        return {str(key): _retyped(inner, counted, deep - 1) for key, inner in found.items()}
    if isinstance(found, list):
        return [_retyped(inner, counted, deep - 1) for inner in found]
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
    """The file of a study, named by its file name in `folder`, with or without its ending, or by a path.

    Raises:
        StudyError: there is none; the message names the nearest.
    """
    by_path = name.endswith(ENDINGS)
    stem = Path(name).stem if by_path else Path(name).name
    # The name becomes a folder and a word of command lines.
    if not re.fullmatch(r"\w[\w.-]*", stem):
        message = f"{shown(stem)} is no name for a study: use letters, digits, dots, - and _, a letter or digit first"
        raise StudyError([Problem("studies", message, name[:_SHOWN])])
    if by_path or "/" in name:
        given = [Path(name)] if by_path else [Path(name + ending) for ending in ENDINGS]
        inside = [folder / path for path in given if path.name == str(path)]
        return next((path for path in (*given, *inside) if path.is_file()), given[0])
    known = {path.stem: path for ending in reversed(ENDINGS) for path in sorted(folder.glob(f"*{ending}"))}
    # Snakemake and YAML make a number of a name that is one, and 7 of 007.
    alike = [stem for stem in known if stem == name or _number(stem) == _number(name) is not None]
    if len(alike) > 1:
        message = f"{' and '.join(alike)} are one number; name one by its path, {known[alike[0]]}"
        raise StudyError([Problem("studies", message)])
    if not alike:
        raise StudyError([Problem("studies", unknown("study", name, known))])
    return known[alike[0]]


def _number(text: str) -> int | float | None:
    try:
        found = value(text)
    except ValueError:
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
