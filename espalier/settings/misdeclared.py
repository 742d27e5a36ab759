"""What is wrong with the functions that a file registers, found in its source text."""

import ast
import builtins
import difflib
import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel

from espalier.settings import types

GIVEN = {
    "dataset": ("source",),
    "model": ("num_classes", "image_size", "in_channels"),
    "augmentation": (),
    "optimizer": ("parameters",),
    "scheduler": ("optimizer", "span"),
    "loss": ("outputs",),
    "pruning": (),
    "quantization": (),
    "metric": ("probabilities", "labels"),
    "table": ("frame", "study"),
    "figure": ("frame", "history", "study"),
}
"""Kind → what a function of it is given, before its settings."""
OPTIONAL = "in_channels"
"""What a function need not take: a network that does not is for images of three channels."""
TAKEN = ("name", "plugin", "columns", "settings", "build", "entry")
"""What a choice has beside the settings of its function, which none of them can be called."""

_MARK = "register"
_REGISTRY = "espalier.settings.registry"
_TYPES = {name for name in vars(types) if not name.startswith("_")} | set(vars(builtins))
_Wrong = Iterator[tuple[ast.AST, str]]


def problems(tree: ast.Module, text: str) -> list[tuple[int, str]]:
    """Every (line, what is wrong and what mends it), in the order of the file."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    marks = [mark for function in functions for mark in function.decorator_list if is_mark(mark)]
    found = [*_wrong(tree, functions)]
    # Searching the whole tree is slow, so count the mark's name in the text first: one import and one use for each
    # registered function; any other count means a mark in a wrong place.
    if not marks or len(re.findall(rf"\b{_MARK}\b", text)) != len(marks) + 1:
        found += _misplaced(tree)
    return sorted({(node.lineno, message) for node, message in found})


def is_mark(node: ast.AST) -> bool:
    """Whether a decorator is a call of `register`."""
    return isinstance(node, ast.Call) and _dotted(node.func) == _MARK


def kind_of(mark: ast.Call) -> Any:
    """The kind that a mark names; None where it stands elsewhere."""
    return mark.args[0].value if mark.args and isinstance(mark.args[0], ast.Constant) else None


def _wrong(tree: ast.Module, functions: list[ast.FunctionDef]) -> _Wrong:
    shown = []
    for function in functions:
        for mark in filter(is_mark, function.decorator_list):
            yield from _wrong_mark(mark)
            if kind_of(mark) in GIVEN:
                yield from _wrong_arguments(function, kind_of(mark))
            shown += [function.name] if kind_of(mark) in ("table", "figure") else []
    for function in tree.body:
        if getattr(function, "name", "") == "caption" and len(shown) > 1:
            message = "give each a file of its own, or leave caption out and say it in their docstrings"
            yield function, f"of which is this the caption, {', '.join(shown)}? {message}"


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` as it is written; empty for anything else."""
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def _spellings(tree: ast.Module) -> set[str]:
    """All ways in which the file can name `register`, by what it imports."""
    found = {_MARK, f"registry.{_MARK}", f"{_REGISTRY}.{_MARK}"}
    room, _, last = _REGISTRY.rpartition(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                bound = name.asname or name.name
                if (node.module, name.name) == (_REGISTRY, _MARK):
                    found.add(bound)
                elif (node.module, name.name) == (room, last):
                    found.add(f"{bound}.{_MARK}")
        elif isinstance(node, ast.Import):
            found |= {f"{name.asname}.{_MARK}" for name in node.names if name.name == _REGISTRY and name.asname}
    return found


def _misplaced(tree: ast.Module) -> _Wrong:
    """Every use of `register` but as a call above a function of the file's outermost level."""
    spellings = _spellings(tree)
    seen: set[ast.AST] = set()
    top = {node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for owner in (node for node in ast.walk(tree) if getattr(node, "decorator_list", ())):
        for mark in owner.decorator_list:
            used = mark.func if isinstance(mark, ast.Call) else mark
            if _dotted(used) not in spellings:
                continue
            seen.add(used)
            if isinstance(owner, ast.ClassDef):
                yield owner, f"{owner.name} is a class; register a function that makes one"
            elif isinstance(owner, ast.AsyncFunctionDef):
                yield owner, f"{owner.name} is async; write it with def alone"
            elif owner not in top:
                yield owner, f"{owner.name} stands inside something else; move it to the outermost level of the file"
            elif _dotted(used) != _MARK:
                yield mark, f"write @{_MARK}(…), after `from {_REGISTRY} import {_MARK}`, not @{_dotted(used)}"
            elif not isinstance(mark, ast.Call):
                yield mark, f'@{_MARK} names no kind; write @{_MARK}("model"), or another of {", ".join(GIVEN)}'
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and node not in seen and _dotted(node) in spellings:
            yield node, f"{_dotted(node)} marks functions alone; write @{_MARK}(…) above one"


def _wrong_mark(mark: ast.Call) -> _Wrong:
    known = ", ".join(GIVEN)
    if len(mark.args) != 1 or not isinstance(kind_of(mark), str):
        yield mark, f"the kind stands first, as a text, and alone; it is one of {known}"
    elif kind_of(mark) not in GIVEN:
        yield mark, f"there is no kind {kind_of(mark)!r}{_near(kind_of(mark), GIVEN)}; the kinds are {known}"
    for word in mark.keywords:
        if word.arg is None:
            yield mark, f"write out each fact, as fact=value, in place of **{ast.unparse(word.value)}"
        else:
            yield from _wrong_literal(word.value)


def _wrong_arguments(function: ast.FunctionDef, kind: str) -> _Wrong:
    args = function.args
    taken = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    given = tuple(name for name in GIVEN[kind] if name != OPTIONAL or name in taken)
    for star, more in (("*", args.vararg), ("**", args.kwarg)):
        if more:
            yield more, f"{function.name} takes {star}{more.arg}; write out each setting with its type"
    before = [*args.posonlyargs, *args.args]
    said = f"a {kind} is given {', '.join(given) or 'nothing'}"
    if len(before) < len(given):
        yield function, f"{said}; {function.name} must take that first"
    for arg in before[len(given) :]:
        yield arg, f"{said}, so {arg.arg} is a setting and must be keyword-only; write `*, ` in front of the first"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if arg.arg in TAKEN or hasattr(BaseModel, arg.arg):
            yield arg, f"a setting cannot be called {arg.arg}; give it another name"
        yield from _wrong_type(arg)
        if default is not None:
            yield from _wrong_literal(default)


def _wrong_type(arg: ast.arg) -> _Wrong:
    written = arg.annotation
    if written is None:
        yield arg, f"the setting {arg.arg} has no type; write one, as in {arg.arg}: Count"
        return
    if isinstance(written, ast.Constant) and written.value is not None:
        yield arg, f"the type of {arg.arg} must stand there without quotation marks"
    for node in ast.walk(written):
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id not in _TYPES):
            name = ast.unparse(node)
            message = f"{name} is no type of settings{_near(name, types.__all__)}"
            yield arg, f"{arg.arg}: {message}; use those of espalier/settings/types.py and Python's own"


def _wrong_literal(node: ast.expr) -> _Wrong:
    """A value must be written out, to be read without running the file; nothing in it is called."""
    try:
        # Python's own reader of literals: unlike eval it knows no names and no calls.
        ast.literal_eval(node)
    except (ValueError, TypeError):
        yield node, f"{ast.unparse(node)} must be a literal, to be read without importing torch"


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
