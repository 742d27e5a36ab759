"""A process that trains for seconds, started and ended without what it does not need.

Each part is independent of results; CPU-seconds are those of a 2-core machine where `import torch` takes 1.9.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

_COMPILER = "torch._dynamo"


class _Idle(ModuleType):
    """What torch calls of its compiler while nothing is compiled; the real one at the first touch of anything else."""

    def graph_break(self, msg: str = "") -> None:
        """Mark a place where a compiled graph ends; there is none."""

    def disable(self, fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True):
        """Keep a function out of compilation, where all of them are."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(importlib.import_module(_COMPILER), name)


def spare_compiler() -> None:
    """Keep optimizers from importing torch's compiler to tell it that nothing is compiled (1.6)."""
    sys.modules.setdefault(_COMPILER, _Idle(_COMPILER))


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage, of which modules make none, and never look through them again (0.2)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and end with its exit code at once, not after taking torch down module by module (0.6)."""
    try:
        main()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
