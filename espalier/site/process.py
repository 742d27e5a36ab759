"""A process that trains for seconds, started and ended without what it does not need.

Each part is independent of results; CPU-seconds are those of a 2-core machine where `import torch` takes 1.9.
"""

import gc
import importlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn

from espalier.site import preload

_COMPILER, _UTILITIES = "torch._dynamo", "torch._dynamo.utils"
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Options of glibc's mallopt, as malloc.h numbers them."""


class _Absent(ModuleType):
    """A module that is imported at the first touch of what this does not have itself."""

    def __getattr__(self, name: str) -> Any:
        # Of a package __path__ is what its modules are found by; a plain module has none.
        if name.startswith("__") and (name, self.__name__) != ("__path__", _COMPILER):
            raise AttributeError(name)
        for module in (_COMPILER, _UTILITIES):
            if isinstance(sys.modules.get(module), _Absent):
                del sys.modules[module]
        return getattr(importlib.import_module(self.__name__), name)


class _Idle(_Absent):
    """What torch calls of its compiler while nothing is compiled."""

    def graph_break(self, msg: str = "") -> None:
        """Mark a place where a compiled graph ends; there is none."""

    def disable(self, fn: Any = None, recursive: bool = True, *, reason: str | None = None, wrapping: bool = True):
        """Keep a function out of compilation, where all of them are."""
        return fn if fn is not None else lambda function: function


class _IdleUtilities(_Absent):
    """What torchvision takes of the compiler when it is imported, and calls if it aligns regions of interest."""

    def is_compile_supported(self, device_type: str) -> Any:
        """Ask the compiler."""
        return self.__getattr__("is_compile_supported")(device_type)


def spare_compiler() -> None:
    """Keep optimizers from importing torch's compiler to tell it that nothing is compiled (1.6), and torchvision."""
    if _COMPILER not in sys.modules:
        sys.modules |= {_COMPILER: _Idle(_COMPILER), _UTILITIES: _IdleUtilities(_UTILITIES)}


def keep_memory() -> None:
    """Keep freed tensors in the process, where glibc would return them to the kernel and fault them in again.

    A training step frees and allocates the same megabytes over and over; on a CPU this is a fifth to a third of
    the time of a small network's step. Elsewhere than on glibc nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    import ctypes

    libc = ctypes.CDLL(None)
    # The threshold of mapped blocks stops at 32 MiB, which one layer's activations pass: none are mapped.
    for option, size in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 1 << 30)):
        libc.mallopt(option, size)


@contextmanager
def without(library: str) -> Iterator[None]:
    """Have what is imported meanwhile find this library missing, unless it is imported already.

    For what is imported only because it is there: timm by Torch-Pruning (1.3), Weights & Biases by timm (1.1).
    """
    if library in sys.modules:
        yield
        return
    # For the import system a name with None is one that was looked for in vain.
    sys.modules[library] = None
    try:
        yield
    finally:
        del sys.modules[library]


@contextmanager
def importing() -> Iterator[None]:
    """Import without looking for garbage, of which modules make none, and never look through them again (0.2)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settings(stage: str, words: list[str]) -> Any:
    """The settings of a stage from `key=value` words; mistakes in them are told and end the process with 2."""
    with importing():
        from espalier.settings.problems import StudyError
        from espalier.settings.words import parse

    try:
        return parse(stage, words)
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and end with its exit code at once, not after taking torch down module by module (0.6).

    Where torch waits imported, `main` is called in a process forked from there.
    """
    if preload.SOCKET in os.environ:
        from espalier.site.preload.client import hand_over

        hand_over()
    error = None
    try:
        main()
        code: Any = 0
    except SystemExit as end:
        code, error = end.code, end.__context__
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    code = code if isinstance(code, int) else int(code is not None)
    if "ESPALIER_PILOT" in os.environ:
        from espalier.site.pilot import exhausted

        exhausted.ended(code, error)
    os._exit(code)
