"""Everything in a chain that has a score: each stage's network, each setting of widths, each exported form."""

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from espalier.networks import artifact
from espalier.quantization.qparams import FULL
from espalier.runs.record import Record, complete, identifier

EAGER = "eager"


class ScoredNetwork(NamedTuple):
    """One network, and how a row of scores names it."""

    model: nn.Module
    row: dict[str, Any]
    pixels: bool = False
    """whether it takes pixels, uint8, as exported forms do, and not normalized images"""


def scored_networks(folders: Iterable[Path], place: Callable[[nn.Module], nn.Module]) -> Iterator[ScoredNetwork]:
    """The networks of a chain's folders, one at a time, with their columns of scores.csv but the scores.

    Args:
        folders: those of the line, from its first network to its last, and then the branches
        place: puts a network where it is scored

    Raises:
        ArtifactError: a folder cannot be used.
    """
    before: artifact.Network | None = None
    widths = {"weight_bits": FULL, "activation_bits": FULL}
    for folder in map(Path, folders):
        record = complete(folder)
        artifact.verify(record)
        stage = record.content["stage"]
        names = {"stage": stage, "run": identifier(folder)}
        if stage == "export":
            from espalier.export.forms import forms

            for form, model in forms(folder):
                yield ScoredNetwork(
                    model, names | {"weight_bits": "", "activation_bits": "", "format": form, "kept": 1}, True
                )
            continue
        network = artifact.load(folder)
        if stage == "quantize":
            for scored in _settings(record, names, before, place):
                if scored.row["kept"]:
                    widths = {name: scored.row[name] for name in widths}
                    scored = ScoredNetwork(place(network.model), scored.row)
                yield scored
        else:
            yield ScoredNetwork(place(network.model), names | widths | {"format": EAGER, "kept": 1})
        before = network


def _settings(
    record: Record, names: dict[str, Any], before: artifact.Network, place: Callable[[nn.Module], nn.Module]
) -> Iterator[ScoredNetwork]:
    """Every setting of a grid of widths; the one that is kept is scored as the run saved it, by the caller."""
    from espalier.quantization.cells import Cells, at

    cells = {(cell.weight_bits, cell.activation_bits): cell for cell in Cells.read(record.path("cells.safetensors"))}
    for widths, kept in _grid(record):
        row = names | dict(zip(("weight_bits", "activation_bits"), widths, strict=True))
        row |= {"format": EAGER, "kept": int(kept)}
        model = before.model if kept else place(at(copy.deepcopy(before.model), cells[widths]))
        yield ScoredNetwork(model, row)


def _grid(record: Record) -> list[tuple[tuple[int, int], bool]]:
    rows = record.rows("grid.csv")
    return [((int(row["weight_bits"]), int(row["activation_bits"])), row["kept"] == "1") for row in rows]
