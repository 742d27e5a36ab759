"""Counts parameters and MACs of networks before training: python -m espalier.networks.count_networks

Standard input is a JSON list of [model, classes, image size, channels, pruning or null]. Standard output is a list of
{params, macs}, or {error} for a network that cannot be built or pruned so.
"""

import json
import sys
from typing import Any

import torch
from pydantic import TypeAdapter

from espalier.errors import Mistake
from espalier.metrics import cost
from espalier.networks.network import structure
from espalier.settings.registry import choice


def count(model: Any, classes: int, image_size: int, channels: int, prune: Any) -> dict[str, int]:
    """`params` and `macs` (multiply-accumulates of one image), with the channels left that `prune` leaves.

    Args:
        model: settings of a model, as a study has them
        prune: settings of structured pruning, or None

    Raises:
        ValueError: there is no such network.
        Mistake: it cannot be pruned so.
    """
    # Counting needs shapes alone: nothing is allocated on the meta device.
    with torch.device("meta"):
        network = structure(TypeAdapter(choice("model")).validate_python(model), classes, image_size, channels)
    if prune:
        from espalier.pruning import structured

        # At local scope widths depend on the ratio and on which layers are cut, not on what is in them.
        chosen = {key: prune[key] for key in ("steps", "round_to", "head_ratio") if key in prune}
        structured.prune(
            network, image_size, prune["ratio"], prune.get("importance", "l1"), drawn=True, channels=channels, **chosen
        )
    return {"params": cost.params(network), "macs": cost.macs(network, image_size, channels)}


def count_all(requests: list[list[Any]]) -> list[dict[str, Any]]:
    """{params, macs} of each, or the {error} that it meets."""
    rows: list[dict[str, Any]] = []
    for one in requests:
        try:
            rows.append(count(*one))
        except (ValueError, Mistake) as error:
            rows.append({"error": str(error)})
    return rows


def main() -> None:
    json.dump(count_all(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
