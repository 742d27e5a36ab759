"""Espalier: small vision networks trained, pruned, quantized and coded on a grid of experiments.

from espalier import frame, load
load("results/runs/train/…").predict(["cat.jpg"])       a network to use
frame("demo")                                           all runs of a study as one pandas frame
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """What a notebook asks for, imported when it is asked for: the workflow must not wait for it."""
    if name in ("frame", "load"):
        from espalier.results import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
