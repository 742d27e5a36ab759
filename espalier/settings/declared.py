"""What a file registers, read from its source text alone: nothing is run, and nothing that is wrong is passed over."""

import ast
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from espalier.errors import Mistake
from espalier.settings import plugins
from espalier.settings.misdeclared import is_mark, kind_of, problems


@dataclass(frozen=True)
class Entry:
    """What the source says about one registered function."""

    kind: str
    name: str
    module: str
    doc: str
    facts: dict[str, Any]
    settings: dict[str, tuple[str, Any, str]]
    """Setting → (type as written, default or ..., description)."""
    given: int = 0
    """how many things it takes before its settings"""
    path: Path = Path()
    """the file that holds the function"""
    line: int = 0
    captioned: bool = False
    """whether a function `caption` stands beside it"""
    plugin: bool = False
    """whether the file is one of `plugins`, and the module no part of the library"""

    @property
    def place(self) -> str:
        return _place(self.path, self.line)

    @property
    def version(self) -> str:
        """The content of a plugin's file in short; empty in the library."""
        return plugins.version(self.path) if self.plugin else ""

    def imported(self) -> ModuleType:
        """The module of the function."""
        return plugins.module(self.path) if self.plugin else importlib.import_module(self.module)

    def load(self) -> Callable:
        return getattr(self.imported(), self.name)


@cache
def declared(path: Path, module: str, plugin: bool = False) -> list[Entry]:
    """Every function that a file registers, in its order.

    Raises:
        Mistake: all that keeps one from being read, each with its line and its mend.
    """
    try:
        text = path.read_text()
        tree = ast.parse(text, path)
    except SyntaxError as error:
        raise Mistake(f"{_place(path, error.lineno or 1)}: this is no Python: {error.msg}") from None
    if wrong := [f"{_place(path, line)}: {message}" for line, message in problems(tree, text)]:
        raise Mistake("\n".join(wrong))
    captioned = any(isinstance(node, ast.FunctionDef) and node.name == "caption" for node in tree.body)
    found = []
    for function in tree.body:
        for mark in filter(is_mark, getattr(function, "decorator_list", ())):
            doc = ast.get_docstring(function) or ""
            described = _described(doc)
            settings = {
                arg.arg: (
                    ast.unparse(arg.annotation),
                    ... if default is None else ast.literal_eval(default),
                    described.get(arg.arg, ""),
                )
                for arg, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            }
            facts = {word.arg: ast.literal_eval(word.value) for word in mark.keywords}
            given = len(function.args.posonlyargs) + len(function.args.args)
            about = (kind_of(mark), function.name, module, doc, facts, settings, given)
            found.append(Entry(*about, path, function.lineno, captioned, plugin))
    return found


def _place(path: Path, line: int) -> str:
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{line}"


def _described(doc: str) -> dict[str, str]:
    """Setting → description, from the ``Args:`` lines of a docstring."""
    lines = iter(doc.partition("Args:\n")[2].splitlines())
    found: dict[str, str] = {}
    key = ""
    for line in lines:
        if not line.startswith("    "):
            break
        if not line.startswith("     "):
            key, _, text = line.strip().partition(": ")
            found[key] = text
        else:
            found[key] += " " + line.strip()
    return found
