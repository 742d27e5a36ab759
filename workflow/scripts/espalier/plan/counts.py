"""Parameters and MACs of networks at plan time, from a cached table: torch is never imported by the plan."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from espalier.files import write_text
from espalier.registry import Choice

CACHE = Path("results/model_counts.json")
_PROGRAM = Path(__file__).parents[2] / "count.py"


def _key(model: Choice, classes: int, image_size: int) -> str:
    source = hashlib.sha256(model.entry().path.read_bytes()).hexdigest()[:10]
    settings = model.model_dump_json(exclude_defaults=True)
    return f"{settings} classes={classes} image_size={image_size} source={source}"


def counts(networks: Iterable[tuple[Choice, int, int]], cache: Path | None = None) -> list[dict[str, int]]:
    """`params` and `macs` (multiply-accumulates of one image) of each (model, classes, image size).

    Networks that are not in the cache are counted in one subprocess and added to it.

    Raises:
        RuntimeError: a network cannot be built; the message is the model's own.
    """
    cache = cache or CACHE
    networks = list(networks)
    keys = [_key(*network) for network in networks]
    table = json.loads(cache.read_text()) if cache.exists() else {}
    wanted = {key: network for key, network in zip(keys, networks, strict=True) if key not in table}
    if wanted:
        asked = [[model.model_dump(mode="json"), classes, size] for model, classes, size in wanted.values()]
        done = subprocess.run(
            [sys.executable, _PROGRAM], input=json.dumps(asked), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        table |= dict(zip(wanted, json.loads(done.stdout), strict=True))
        write_text(cache, json.dumps(table, indent=1))
    return [table[key] for key in keys]
