"""All checks of a profile, in words."""

import platform
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from espalier.site.preflight import cluster, machine, slurm
from espalier.site.preflight.finding import DOUBTFUL, WRONG, Finding
from espalier.site.preflight.profile import Profile


def findings(profile: Profile, results: Path = Path("results")) -> list[Finding]:
    """What is right, doubtful and wrong; what several attempts or rules share stands there once."""
    found = list(cluster.findings(profile)) if profile.slurm else []
    found += machine.findings(results, nodes=_hosts() if profile.slurm else None)
    return list(dict.fromkeys(found))


def text(profile: Profile, found: Iterable[Finding]) -> str:
    counts = Counter(finding.level for finding in found)
    end = f"{counts[WRONG]} wrong, {counts[DOUBTFUL]} doubtful"
    end = end if counts[WRONG] or counts[DOUBTFUL] else "nothing is in the way"
    return "\n".join([f"{profile.path} on {platform.node()}", *map(str, found), end])


def _hosts() -> set[str]:
    try:
        return {node.host for node in slurm.nodes()}
    except slurm.Silent:
        return {"unknown"}
