"""What makes a run: one stage a file, and the frame that all share."""

import importlib
import pkgutil

from espalier.stages.definition import Stage


def _stages() -> dict[str, Stage]:
    stages = []
    for file in (one for one in pkgutil.iter_modules(__path__) if not one.ispkg):
        module = importlib.import_module(f"{__name__}.{file.name}")
        stages += [found for found in vars(module).values() if isinstance(found, Stage)]
    ordered = sorted(stages, key=lambda each: each.place)
    found = {each.name: each for each in ordered}
    if len(found) < len(ordered) or len({each.place for each in ordered}) < len(ordered):
        told = ", ".join(f"{each.name} {each.place}" for each in ordered)
        raise ValueError(f"two stages share a name or a place ({told}); give each its own")
    return found


STAGES: dict[str, Stage] = _stages()
"""Name → stage, in the order of a chain; each reads the network of the one before it that is no branch."""
