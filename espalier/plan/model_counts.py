"""Parameters and MACs of networks at plan time, from a cached table: torch is never imported by the plan."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from espalier.counted import counted
from espalier.files import write_text
from espalier.settings.registry import Choice

CACHE = Path("results/model_counts.json")
_PROGRAM = ("-m", "espalier.networks.count_networks")
_PRUNING = Path(__file__).parents[1] / "pruning"


class Network(NamedTuple):
    """A network to count."""

    model: Choice
    classes: int
    image_size: int
    channels: int
    prune: Choice | None = None
    """structured pruning whose widths do not depend on weights"""


def _key(network: Network) -> str:
    parts = [part for part in (network.model, network.prune) if part]
    files = [network.model.entry().path, *(sorted(_PRUNING.glob("*.py")) if network.prune else ())]
    source = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]
    settings = " ".join(part.model_dump_json(exclude_defaults=True) for part in parts)
    sizes = f"classes={network.classes} image_size={network.image_size} channels={network.channels}"
    return f"{settings} {sizes} source={source}"


def counts(networks: Iterable[Network], cache: Path | None = None) -> list[dict[str, Any]]:
    """`params` and `macs` (multiply-accumulates of one image) of each network, or the `error` that it meets.

    Networks that are not in the cache are counted in one subprocess, which a line on stderr says, and added to it;
    errors are not kept.

    Raises:
        RuntimeError: the counting itself fails.
    """
    cache = cache or CACHE
    networks = list(networks)
    keys = [_key(network) for network in networks]
    table = json.loads(cache.read_text()) if cache.exists() else {}
    wanted = {key: network for key, network in zip(keys, networks, strict=True) if key not in table}
    if wanted:
        # The first count of a study's networks takes from ten seconds to minutes.
        words = counted(len(wanted), "network is", "networks are")
        print(f"{words} counted, once: {cache} keeps the counts", file=sys.stderr, flush=True)
        asked = [
            [model.model_dump(mode="json"), classes, size, channels, prune and prune.model_dump(mode="json")]
            for model, classes, size, channels, prune in wanted.values()
        ]
        table |= dict(zip(wanted, _counted(asked), strict=True))
        if good := {key: row for key, row in table.items() if "error" not in row}:
            write_text(cache, json.dumps(good, indent=1))
    return [table[key] for key in keys]


def _counted(asked: list[list[Any]]) -> list[dict[str, Any]]:
    """The rows that the program prints."""
    done = subprocess.run(
        [sys.executable, *_PROGRAM], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)
